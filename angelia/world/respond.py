"""Answer what was delivered for plan day D, and write the sources of D+1. Grain: receipt.

Reads delivery_ledger (outcome accepted) and dispatch_manifest of D, earlier ledgers and push_history for
fatigue, and user_profiles of D, whose meta names the world; writes push_receipts (source=world, part=respond)
of D and user_profiles, user_endpoints, user_preferences, user_events of D+1. The truth is derived and draws
are counted by user and hour, so a second run writes the same bytes and adopts the standing commits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts import arrow, dataset
from angelia.contracts.core import TIMESTAMP
from angelia.contracts.outcomes import MACHINE
from angelia.errors import NotFound
from angelia.lake import Attempt, Commit, FileEntry, Lake
from angelia.world import draws, tables
from angelia.world.activity import join, organic_day, visits
from angelia.world.answer import answer, unsubscribed
from angelia.world.clock import day_name, day_number
from angelia.world.create import (
    LATE_DAYS,
    SNAPSHOTS,
    Leaf,
    Place,
    block_index,
    event_rows,
    n_blocks,
    publish_once,
    run_blocks,
    snapshot_rows,
)
from angelia.world.draws import Ints
from angelia.world.parameters import parameters, parameters_sha256
from angelia.world.population import user_index
from angelia.world.simulate import numbered
from angelia.world.truth import World, felt_pushes, materials

RECEIPTS = {"source": "world", "part": "respond"}
FELT_DAYS = 21  # older pushes are not felt: the longest time constant is four days


@dataclass(frozen=True)
class Opens:
    """Opens that become visits: user number, category code, seconds since 1970; all (m,)."""

    index: Ints
    category: Ints
    at: Ints


def respond(
    lake: Lake,
    url: str,
    ds: str,
    *,
    next_day: bool = True,
    processes: int = 1,
    endpoint: str | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Write receipts for what was accepted for plan day `ds`; return a summary.

    With `next_day`, the sources of the day after are written too.

    Raises:
        NotFound: there is no plan, or nothing of it has been delivered yet.
        InvalidInput: the people are not a simulated world's.
    """
    world = World.load(lake, ds)
    commit, counts = _write_receipts(lake, world, ds)
    note(f"world: {commit.rows} receipts for {ds}")
    result: dict[str, Any] = {
        "ds": ds,
        "receipts": counts,
        "rejects": dict(commit.rejects),
        "commit": commit.ref,
    }
    if next_day:
        result["next_day"] = _write_next_day(lake, url, world, day_number(ds) + 1, processes, endpoint, note)
    return result


def _ledger(lake: Lake, ds: str) -> tuple[list[Commit], pa.Table]:
    """Return the ledger commits of a plan day and its accepted rows, each message once.

    A person with several devices sees a message once, on any of them.
    """
    columns = [
        "dispatch_id",
        "message_id",
        "user_id",
        "campaign_id",
        "material_id",
        "channel",
        "outcome",
        "sent_ts",
    ]
    commits = [lake.require("delivery_ledger", **leaf) for leaf in lake.partitions("delivery_ledger", ds=ds)]
    parts = [lake.read(commit, columns) for commit in commits]
    empty = arrow.schema(dataset("delivery_ledger")).empty_table().select(columns)
    rows = pa.concat_tables([empty, *parts], promote_options="permissive")
    rows = rows.filter(pc.equal(rows["outcome"], "accepted")).sort_by(
        [("dispatch_id", "ascending"), ("sent_ts", "ascending")]
    )
    first = np.unique(rows["message_id"].to_numpy(zero_copy_only=False), return_index=True)[1]
    return commits, rows.take(pa.array(np.sort(first)))


def _write_receipts(lake: Lake, world: World, ds: str) -> tuple[Commit, dict[str, int]]:
    manifest = lake.require("dispatch_manifest", ds=ds)
    commits, accepted = _ledger(lake, ds)
    if manifest.rows and not commits:
        raise NotFound(
            f"nothing of the plan for {ds} has been delivered",
            fix=f"run `angelia deliver --ds {ds} --all-hours --clock simulated` first",
        )
    planned = lake.read(manifest, ["dispatch_id", "topic", "send_ts"])
    rows = accepted.join(planned, keys="dispatch_id", join_type="left outer").sort_by("dispatch_id")
    index = user_index(rows["user_id"].to_pylist())
    # A row that fell over to another channel stands in the ledger only. It is answered, too, as long as it
    # says when it was sent.
    sent = pc.coalesce(rows["sent_ts"], rows["send_ts"]).cast(pa.int64())
    known = (
        (index >= 0) & (index < world.size(day_number(ds))) & pc.is_valid(sent).to_numpy(zero_copy_only=False)
    )
    rows, index = rows.filter(pa.array(known)), index[known]
    at = pc.fill_null(sent, 0).to_numpy()[known]
    receipts, counts = _receipts(lake, world, ds, rows, index, at)
    with lake.attempt("push_receipts", ds=ds, **RECEIPTS) as attempt:
        attempt.write(receipts, "part-0000.parquet")
        commit = publish_once(
            lake,
            attempt,
            inputs=[manifest, *commits, lake.require("user_profiles", ds=ds)],
            params={"seed": world.seed, "parameters_sha256": parameters_sha256()},
            meta=world.meta(),
            rejects={"no world user or no time": int((~known).sum())},
        )
    return commit, counts


def _receipts(
    lake: Lake, world: World, ds: str, rows: pa.Table, index: Ints, sent_us: Ints
) -> tuple[pa.Table, dict[str, int]]:
    """Return the receipts of accepted rows (m,), and their number by kind.

    `index` holds user numbers, `sent_us` microseconds since 1970.
    """
    given = parameters().response
    numbers, who = np.unique(index, return_inverse=True)
    person = world.people(numbers)
    # Materials are looked up once by name, then indexed by code.
    names = sorted(set(rows["material_id"].to_pylist()))
    place = {name: code for code, name in enumerate(names)}
    facts = materials(names)
    which = np.array([place[name] for name in rows["material_id"].to_pylist()], dtype=np.int64)
    category, appeal = facts.category[which], facts.appeal[which]
    channels = rows["channel"].to_pylist()
    factor = np.array([given.channel[name] for name in channels], dtype=np.float64)

    # Fatigue sums over a person's earlier pushes, so those of others are dropped first; the plan's own stand
    # in front, and only their sums are kept.
    past_index, past_category, past_hours = _past(lake, ds)
    position = np.minimum(np.searchsorted(numbers, past_index), max(len(numbers) - 1, 0))
    relevant = numbers[position] == past_index if len(numbers) else np.zeros(0, dtype=bool)
    hours = sent_us / 3_600e6
    felt, own = felt_pushes(
        person,
        np.r_[who, position[relevant]] if len(who) else who,
        np.r_[hours, past_hours[relevant]] if len(who) else hours,
        np.r_[category, past_category[relevant]] if len(who) else category,
    )
    felt, own = felt[: len(who)], own[: len(who)]
    answers = answer(person, who, category, appeal, factor, sent_us // 1_000_000, felt, own)

    # Only marketing topics can be refused; mail programs also open messages that no person reads.
    marketing = np.array(
        [topic in parameters().reach.opt_out for topic in rows["topic"].to_pylist()], dtype=bool
    )
    mail = np.array([name == "email" for name in channels], dtype=bool)
    pause = 1_000_000 + (20e6 * draws.uniform(answers.keys, "report")).astype(np.int64)
    refused = unsubscribed(answers, felt) & marketing
    machine = (
        mail & answers.is_delivered & (draws.uniform(answers.keys, "machine") < given.machine_open_share)
    )
    opened = answers.opened_at >= 0
    kinds = (
        ("bounced", "", answers.is_bounced, sent_us + pause, "gone"),
        ("delivered", "", answers.is_delivered, sent_us + pause, None),
        ("opened", "", opened, answers.opened_at * 1_000_000 + sent_us % 1_000_000, None),
        ("opened", "-machine", machine, sent_us + pause + 3_000_000, MACHINE),
        ("unsubscribed", "", refused, sent_us + 60_000_000 + 90 * pause, None),
    )
    parts, counts = [], {}
    for kind, suffix, mask, at, reason in kinds:
        answered = rows.filter(pa.array(mask))
        n = len(answered)
        counts[kind + suffix] = n
        ids_of = pc.binary_join_element_wise(f"world:{kind}{suffix}", answered["dispatch_id"], ":")
        columns = {
            name: answered[name].combine_chunks()
            for name in ("dispatch_id", "message_id", "user_id", "campaign_id", "material_id", "channel")
        }
        columns |= {
            "receipt_id": pa.array(ids_of.to_pylist(), pa.string()),
            "kind": pa.array([kind] * n, pa.string()),
            "receipt_ts": pa.array(at[mask]).cast(TIMESTAMP),
            "sent_ts": pa.array(sent_us[mask]).cast(TIMESTAMP),
            "reason": pa.array([reason] * n, pa.string()),
        }
        parts.append(tables.as_contract("push_receipts", columns))
    return pa.concat_tables(parts).sort_by([("receipt_ts", "ascending"), ("receipt_id", "ascending")]), counts


def _past(lake: Lake, ds: str) -> tuple[Ints, Ints, draws.Floats]:
    """Return earlier pushes that may still be felt on plan day `ds`.

    They come as user number, category code and hours since 1970.
    """
    day = day_number(ds)
    sources = []
    for back in range(FELT_DAYS + 1):
        past = day_name(day - back)
        commit = lake.head("push_history", ds=past)
        if commit is not None:
            sources.append(lake.read(commit, ["user_id", "material_id", "sent_ts"]))
        if back:
            sources.append(_ledger(lake, past)[1].select(["user_id", "material_id", "sent_ts"]))
    # There is always the (perhaps empty) ledger of the day before.
    rows = pa.concat_tables(sources, promote_options="permissive")
    rows = rows.filter(pc.is_valid(rows["sent_ts"]))
    return (
        user_index(rows["user_id"].to_pylist()),
        _categories(rows["material_id"].to_pylist()),
        rows["sent_ts"].cast(pa.int64()).to_numpy() / 3_600e6,
    )


def _categories(names: Sequence[str]) -> Ints:
    distinct = sorted(set(names))
    code = dict(zip(distinct, materials(distinct).category.tolist(), strict=True))
    return np.array([code[name] for name in names], dtype=np.int64)


def _world_receipts(lake: Lake, ds: str) -> pa.Table | None:
    commit = lake.head("push_receipts", ds=ds, **RECEIPTS)
    return None if commit is None else lake.read(commit)


def _opens(lake: Lake, day: int) -> tuple[list[Commit], Opens]:
    """Return the opens of a UTC day.

    They answer pushes of the history sent the day before, and of the plans of the two days before.
    """
    commits, parts = [], []
    for name, back, leaf in (
        ("push_history", 1, {}),
        ("push_receipts", 1, RECEIPTS),
        ("push_receipts", 2, RECEIPTS),
    ):
        commit = lake.head(name, ds=day_name(day - back), **leaf)
        if commit is None:
            continue
        commits.append(commit)
        rows = lake.read(commit)
        # A receipt with a reason is a mail scanner's open, which no person felt.
        if name == "push_receipts":
            rows = rows.filter(pc.and_(pc.equal(rows["kind"], "opened"), pc.is_null(rows["reason"])))
        stamp = "opened_ts" if name == "push_history" else "receipt_ts"
        parts.append(
            rows.select(["user_id", "material_id", stamp]).rename_columns(["user_id", "material_id", "at"])
        )
    if not parts:
        return commits, Opens(*(np.zeros(0, np.int64) for _ in range(3)))
    rows = pa.concat_tables(parts, promote_options="permissive")
    rows = rows.filter(pc.is_valid(rows["at"]))
    at = rows["at"].cast(pa.int64()).to_numpy() // 1_000_000
    today = at // 86_400 == day
    rows = rows.filter(pa.array(today))
    return commits, Opens(
        user_index(rows["user_id"].to_pylist()), _categories(rows["material_id"].to_pylist()), at[today]
    )


def _reactions(
    lake: Lake, world: World, day: int
) -> tuple[list[Commit], set[tuple[str, str]], list[tuple[str, str, int]]]:
    """Return what receipts of all plans before a day tell about people's addresses.

    Returns:
        receipts read, dead (user, channel), refused (user, topic, at).
    """
    commits: list[Commit] = []
    bounced: set[tuple[str, str]] = set()
    refused: list[tuple[str, str, int]] = []
    for plan in range(world.anchor_day, day):
        commit = lake.head("push_receipts", ds=day_name(plan), **RECEIPTS)
        if commit is None:
            continue
        commits.append(commit)
        rows = lake.read(commit, ["dispatch_id", "user_id", "channel", "campaign_id", "kind", "receipt_ts"])
        rows = rows.filter(pc.is_in(rows["kind"], pa.array(["bounced", "unsubscribed"])))
        rows = rows.filter(pc.less(rows["receipt_ts"].cast(pa.int64()), (day + 1) * 86_400_000_000))
        for row in rows.to_pylist():
            if row["kind"] == "bounced":
                bounced.add((row["user_id"], row["channel"]))
                continue
            campaign = parameters().campaigns.get(row["campaign_id"])
            refused.append(
                (row["user_id"], campaign.topic if campaign else "promo", int(row["receipt_ts"].timestamp()))
            )
    return commits, bounced, refused


def write_next_block(
    world: World,
    block: int,
    day: int,
    opens: Opens,
    bounced: set[tuple[str, str]],
    refused: list[tuple[str, str, int]],
    place: Place,
) -> list[tuple[Leaf, str]]:
    """Write one block's sources of a day after the window; runs in a worker process."""
    lake = Lake.open(place.url, branch=place.branch, endpoint=place.endpoint)
    size = world.size(day)
    index = block_index(block, size)
    person = world.people(index)
    mine = (opens.index >= index[0]) & (opens.index <= index[-1])
    opened = numbered(opens.index[mine] - index[0], opens.category[mine], opens.at[mine])
    dated = {day - back: organic_day(person, day - back) for back in range(1, LATE_DAYS + 1)}
    dated[day] = join([organic_day(person, day), visits(person, *opened, day)])
    ds = day_name(day)
    rows = {"user_events": event_rows(person, tables.user_ids(person), day, dated, size)}
    rows |= snapshot_rows(world, person, day, bounced, refused)
    return [place.write(lake, (name, ds), block, table) for name, table in rows.items()]


def _write_next_day(
    lake: Lake,
    url: str,
    world: World,
    day: int,
    processes: int,
    endpoint: str | None,
    note: Callable[[str], None],
) -> dict[str, Any]:
    ds = day_name(day)
    open_commits, opens = _opens(lake, day)
    reaction_commits, bounced, refused = _reactions(lake, world, day)
    inputs = list({commit.ref: commit for commit in (*open_commits, *reaction_commits)}.values())
    # Profiles last: a reader who sees them sees the rest.
    leaves: list[Leaf] = [("user_events", ds), *((name, ds) for name in reversed(SNAPSHOTS))]
    params = {"seed": world.seed, "parameters_sha256": parameters_sha256()}
    with ExitStack() as stack:
        attempts: dict[Leaf, Attempt] = {
            leaf: stack.enter_context(lake.attempt(leaf[0], ds=ds)) for leaf in leaves
        }
        place = Place(
            url, lake.branch, endpoint, {leaf: attempt.folder for leaf, attempt in attempts.items()}
        )
        for written in run_blocks(
            write_next_block,
            n_blocks(world.size(day)),
            (world, day, opens, bounced, refused, place),
            processes,
            note,
        ):
            for leaf, entry in written:
                attempts[leaf].add(FileEntry.from_json(entry))
        commits = {
            leaf[0]: publish_once(lake, attempt, inputs=inputs, params=params, meta=world.meta())
            for leaf, attempt in attempts.items()
        }
    return {
        "ds": ds,
        "rows": {name: commit.rows for name, commit in commits.items()},
        "visits": len(opens.index),
    }
