"""A shop in a folder: a simulated population, its lake, and the nights of the real jobs.

The jobs that have no exchange run as they are (`build_bitmaps`, `select_audiences`, `build_send_times`,
`score_materials`, `plan_dispatch`'s functions), on one shard and without Spark. Sources come straight from
the world and need no cleaning, so what Spark would join (people with their devices and refusals) is put
together here. Surprise: every message is answered at once, by the truth, with the probability of an open
beside the answer.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from angelia.catalog.apply import carry_out
from angelia.catalog.apply import plan as plan_documents
from angelia.catalog.snapshot import write_snapshot
from angelia.catalog.store import CatalogStore
from angelia.config import Settings
from angelia.contracts import arrow, dataset, ids
from angelia.contracts.core import TIMESTAMP
from angelia.contracts.sending import OWN_HOURS
from angelia.lake import Lake
from angelia.rehearsal.push_log import PushLog, Sent
from angelia.users.days import aggregate_events
from angelia.users.history import WINDOW_DAYS
from angelia.users.index import append_users, require_index
from angelia.world import tables
from angelia.world.activity import EVENT_TYPES, Events, join, organic_day, visits
from angelia.world.answer import Answers, answer, unsubscribed
from angelia.world.clock import day_name, day_number
from angelia.world.draws import Floats, Ints
from angelia.world.parameters import parameters
from angelia.world.policy import names
from angelia.world.population import CHANNELS, contact, topics
from angelia.world.simulate import numbered, simulate
from angelia.world.truth import World, felt_pushes, materials
from spark_jobs.build_features import PROFILE, shard_features
from spark_jobs.running.reading import read_window, window_commits
from spark_jobs.shard_work.curve_shard import CurveInputs, CurveShard

if TYPE_CHECKING:
    from angelia.rehearsal.usual import UsualModel

ROOT = Path(__file__).parents[2]
ANCHOR = "2026-11-14"
SHARD_BITS = 17
FELT_DAYS = 30


class Site:
    """One policy's shop."""

    def __init__(self, home: Path, world: World) -> None:
        self.home, self.world = home, world
        self.lake = Lake.open(str(home / "lake"))
        self.person = world.people(np.arange(world.users))
        self.user_ids = tables.user_ids(self.person)
        self.log = PushLog()
        self.refused: list[tuple[str, str, int]] = []
        self.bounced: set[tuple[str, str]] = set()
        self.usual: UsualModel | None = None

    def copy(self, home: Path) -> Site:
        """Return the same shop in another folder, from where it may go its own way."""
        shutil.copytree(self.home, home)
        twin = Site(home, self.world)
        twin.log, twin.usual, twin.refused = self.log, self.usual, list(self.refused)
        return twin

    @contextmanager
    def here(self) -> Iterator[None]:
        """Point the jobs at this shop while the block runs."""
        # Whatever else is set is the real shop's: its days of history, say, would not fit these campaigns.
        wanted = {f"ANGELIA_{name.upper()}": "" for name in Settings.model_fields}
        wanted |= {"ANGELIA_HOME": str(self.home), "ANGELIA_SHARD_BITS": str(SHARD_BITS),
                   "ANGELIA_SPARK_MASTER": "inline"}  # fmt: skip
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def begin(self, days: int) -> None:
        """Write the catalog, the index and the history of random pushes up to the anchor day."""
        store = CatalogStore.open(f"sqlite:///{self.home / 'catalog.db'}")
        with self.here():
            documents = plan_documents(store, [ROOT / "campaigns"])
            carry_out(store, documents, actor="benchmark", at=datetime.now(UTC))
        users = pa.table({"user_id": self.user_ids})
        append_users(self.lake, users, seen=None, shard_bits=SHARD_BITS)
        last = day_number(ANCHOR)
        campaigns, stuff = names()
        answers: list[tuple[str, Answers]] = []
        for lived in simulate(self.world, self.person, last - days + 1, last):
            pushes, opened = lived.pushes, lived.answers.opened_at
            user = self.user_ids.take(pa.array(pushes.row)).to_pylist()
            name = [campaigns[code] for code in pushes.campaign.tolist()]
            ds = day_name(lived.day)
            sent = Sent(
                pushes.row, name, [stuff[code] for code in pushes.material.tolist()], pushes.at // 3600,
                [ids.message_id(c, u, ds) for c, u in zip(name, user, strict=True)],
                pushes.slot_propensity, pushes.material_propensity,
            )  # fmt: skip
            self._write_events(lived.events, ds)
            self.log = self.log.and_(sent, pushes.at, opened)
            self._write_pushes(lived.day)
            answers.append((ds, lived.answers))
        log, first = self.log, 0
        felt, _ = felt_pushes(self.person, log.row, log.at / 3600.0, log.category)
        for ds, answered in answers:
            here = np.arange(first, first + len(answered.keys))
            first += len(here)
            self._refuse(here[unsubscribed(answered, felt[here])], ds)

    def _refuse(self, numbers: Ints, ds: str) -> None:
        """Let people refuse the topics of these pushes of the log, and write the receipts."""
        log, topic_of = self.log, parameters().campaigns
        numbers = np.array([i for i in numbers.tolist() if topic_of[log.sent.campaign[i]].topic in topics()])
        names = self.user_ids.take(pa.array(log.row[numbers.astype(np.int64)])).to_pylist()
        rows = []
        for i, user in zip(numbers.tolist(), names, strict=True):
            campaign, at = log.sent.campaign[i], int(log.at[i])
            self.refused.append((user, topic_of[campaign].topic, at + 60))
            message = log.sent.message_id[i]
            rows.append(
                {
                    "receipt_id": f"world:unsubscribed:{message}",
                    "dispatch_id": message,
                    "message_id": message,
                    "user_id": user,
                    "campaign_id": campaign,
                    "material_id": log.sent.material[i],
                    "channel": "fcm",
                    "kind": "unsubscribed",
                    "receipt_ts": datetime.fromtimestamp(at + 60, UTC),
                    "sent_ts": datetime.fromtimestamp(at, UTC),
                    "reason": None,
                }
            )
        if rows:
            table = pa.Table.from_pylist(rows, schema=arrow.schema(dataset("push_receipts")))
            self.publish("push_receipts", ds, table, source="world", part="respond")

    def _write_events(self, events: Events, ds: str) -> None:
        words = np.array([*parameters().categories, None], object)
        table = aggregate_events(
            pa.table(
                {
                    "ordinal": pa.array(events.row.astype(np.uint32)),
                    "event_type": pa.array(np.array(EVENT_TYPES, object)[events.kind], pa.string()),
                    "item": pa.array(words[events.category], pa.string()),
                    "value": pa.array(events.value, pa.float64(), from_pandas=True),
                    "event_ts": pa.array(events.at * 1_000_000).cast(TIMESTAMP),
                }
            )
        )
        self.publish("user_days", ds, table)

    def publish(self, name: str, ds: str, table: pa.Table, **leaf: str) -> None:
        """Write one day of a dataset."""
        wanted = arrow.schema(dataset(name))
        with self.lake.attempt(name, ds=ds, **leaf) as attempt:
            attempt.add(
                self.lake.write_file(
                    name,
                    attempt.folder,
                    table.select(wanted.names).cast(wanted),
                    "part-0.parquet",
                    shards=(0, 0),
                )
            )
            attempt.publish(inputs=[require_index(self.lake)])

    def _write_pushes(self, day: int) -> None:
        """Write user_pushes of a UTC day: what was sent on it and what was opened on it."""
        log, parts = self.log.of_day(day), []
        sent, wanted = log.sent, arrow.schema(dataset("user_pushes"))
        for kind, stamp in (("sent", log.at), ("opened", log.opened_at)):
            which = np.flatnonzero((stamp >= day * 86_400) & (stamp < (day + 1) * 86_400))
            numbers = which.tolist()
            values = (
                log.row[which],
                *([column[i] for i in numbers] for column in (sent.message_id, sent.campaign, sent.material)),
                ["fcm"] * len(which),
                [kind] * len(which),
                stamp[which] * 1_000_000,
                log.at[which] * 1_000_000,
            )
            known = (sent.slot_propensity[which], sent.material_propensity[which])
            # A propensity that is unknown is nan here and null there.
            columns = [*map(pa.array, values), *(pa.array(each, from_pandas=True) for each in known)]
            typed = [column.cast(f.type) for f, column in zip(wanted, columns, strict=True)]
            parts.append(pa.table(typed, schema=wanted))
        table = pa.concat_tables(parts).sort_by([("ordinal", "ascending"), ("at_ts", "ascending")])
        self.publish("user_pushes", day_name(day), table)

    def write_features(self, ds: str) -> None:
        """Write user_features as of a day."""
        day = day_number(ds)
        people = self._people(day)
        days = read_window(self.lake, "user_days", window_commits(self.lake, "user_days", ds, WINDOW_DAYS),
                           ["event_type", "n_events", "value_sum"], 0, SHARD_BITS)  # fmt: skip
        window = window_commits(self.lake, "user_pushes", ds, WINDOW_DAYS)
        pushes = read_window(self.lake, "user_pushes", window, ["kind"], 0, SHARD_BITS)
        kinds = np.array(pushes["kind"].to_pylist(), object)
        rate = float((kinds == "opened").sum() / max((kinds == "sent").sum(), 1))
        nobody = arrow.schema(dataset("suppressions")).empty_table()
        table, _ = shard_features(people, days, pushes, nobody, ds=ds, last=WINDOW_DAYS - 1,
                                  population_rate=rate, default_timezone="UTC")  # fmt: skip
        self.publish("user_features", ds, table)

    def _people(self, day: int) -> pa.Table:
        profile = tables.profiles(self.person, day)
        reach = contact(self.person, day_number(ANCHOR))
        active = reach.is_active.tolist()
        channel_out, topic_out = reach.channel_out_day.tolist(), reach.topic_out_day.tolist()
        refused = {(user, topic) for user, topic, at in self.refused if at < (day + 1) * 86_400}
        channels, no_channels, no_topics = [], [], []
        for row, user in enumerate(self.user_ids.to_pylist()):
            has = [c for i, c in enumerate(CHANNELS) if active[row][i] and (user, c) not in self.bounced]
            channels.append(has)
            no_channels.append([c for i, c in enumerate(CHANNELS) if channel_out[row][i] <= day])
            no_topics.append(
                [t for i, t in enumerate(topics()) if topic_out[row][i] <= day or (user, t) in refused]
            )
        words = pa.list_(pa.string())
        return pa.table(
            {
                "ordinal": pa.array(np.arange(len(self.person)), pa.int64()),
                "user_id": self.user_ids,
                **{name: profile[name].combine_chunks() for name in PROFILE},
                "channels": pa.array(channels, words),
                "refused_channels": pa.array(no_channels, words),
                "refused_topics": pa.array(no_topics, words),
                "n_profiles": pa.array(np.ones(len(self.person)), pa.int64()),
                "n_denied": pa.array(np.zeros(len(self.person)), pa.int64()),
                **{name: pa.nulls(len(self.person), pa.int16()) for name in OWN_HOURS},
            }
        )

    def snapshot(self, ds: str) -> None:
        """Take the catalog of a night."""
        with self.here():
            write_snapshot(self.lake, CatalogStore.open(f"sqlite:///{self.home / 'catalog.db'}"), ds)

    def felt(self, row: Ints, hours: Ints, category: Ints) -> tuple[Floats, Floats]:
        """Return how strongly people feel earlier pushes, and the category's, before new ones."""
        log = self.log
        recent = log.at > hours.min(initial=0) * 3600 - FELT_DAYS * 86_400
        felt, own = felt_pushes(
            self.person, np.r_[log.row[recent], row], np.r_[log.at[recent] / 3600.0, hours + 0.5],
            np.r_[log.category[recent], category],
        )  # fmt: skip
        n = int(recent.sum())
        return felt[n:], own[n:]

    def deliver(self, sent: Sent, ds: str) -> dict[str, Any]:
        """Answer a night's messages and write their two UTC days; return the answers."""
        facts = materials(sent.material)
        channel = np.array([parameters().response.channel["fcm"]] * len(sent.row))
        felt, own = self.felt(sent.row, sent.slot, facts.category)
        at = sent.slot * 3600 + 1800
        answers = answer(self.person, sent.row, facts.category, facts.appeal, channel, at, felt, own)
        users = self.user_ids.take(pa.array(sent.row)).to_pylist()
        for i in np.flatnonzero(answers.is_bounced).tolist():
            self.bounced.add((users[i], "fcm"))
        before = len(self.log.row)
        self.log = self.log.and_(sent, at, answers.opened_at)
        self._refuse(before + np.flatnonzero(unsubscribed(answers, felt)), ds)
        rate = parameters().response.unsubscribe_share * answers.seen * (1.0 + felt)
        return {
            "sent": len(sent.row),
            "opens": float(answers.probability.sum()),
            "unsubscribes": float(rate.sum()),
            "predicted": float(sent.predicted.sum()),
            "chance": answers.probability,
        }

    def live(self, day: int) -> None:
        """Let a day after the history pass: its visits, its pushes, its opens."""
        log = self.log
        opened = np.flatnonzero((log.opened_at >= day * 86_400) & (log.opened_at < (day + 1) * 86_400))
        came = numbered(log.row[opened], log.category[opened], log.opened_at[opened])
        events = join([organic_day(self.person, day), visits(self.person, *came, day)])
        self._write_events(events, day_name(day))
        self._write_pushes(day)

    def felt_grid(self, hours: Ints) -> tuple[Floats, Floats]:
        """Return how strongly everybody feels earlier pushes at each of some hours, (n, h).

        The second array is for those of each category, (n, k, h).
        """
        log, n, k = self.log, len(self.person), len(parameters().categories)
        recent = np.flatnonzero(log.at > int(hours[0]) * 3600 - FELT_DAYS * 86_400)
        row, sent_h = log.row[recent], log.at[recent] / 3600.0
        # The last place of a person is for pushes of no category (-1).
        kind = np.where(log.category[recent] < 0, k, log.category[recent])
        place, days = row * (k + 1) + kind, 24.0 * self.person.fatigue_days[row]
        each = np.zeros((n, k + 1, len(hours)))
        for s, hour in enumerate(hours.tolist()):
            age = hour + 0.5 - sent_h
            still = np.where(age > 0, np.exp(-age / days), 0.0)
            each[:, :, s] = np.bincount(place, weights=still, minlength=n * (k + 1)).reshape(n, k + 1)
        return each.sum(axis=1), each[:, :k]

    def activity(self, ds: str) -> Floats:
        """Return each person's decayed active hours by cell of local time, (n, 48)."""
        with self.here():
            features = self.lake.require("user_features", ds=ds)
            days, pushes = (
                window_commits(self.lake, name, ds, WINDOW_DAYS) for name in ("user_days", "user_pushes")
            )
            inputs = CurveInputs(self.lake, features, days, pushes, ds, WINDOW_DAYS, 14.0, SHARD_BITS, {})
            return CurveShard(inputs, 0).activity()
