"""A small night in a lake: planned, written, delivered and opened, with a planted effect."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset, ids
from angelia.contracts.certificate import Limit
from angelia.contracts.rows import roaring, user_name
from angelia.lake import Lake

DS = "2026-11-14"
START = datetime(2026, 11, 15, 4, tzinfo=UTC)
CAMPAIGNS = ("price_drop", "weekly_digest", "order_update")
MATERIALS = {
    "price_drop": ("price_drop_camera", "price_drop_shoes"),
    "weekly_digest": ("weekly_digest_books",),
    "order_update": ("order_update_plain",),
}


class Night:
    """Writes the datasets of a night for `n` users.

    Public attributes hold the counts that tests compare with.
    """

    def __init__(self, n: int, seed: int = 7) -> None:
        self.n = n
        self.rng = np.random.default_rng(seed)
        self.choices: list[list[dict[str, Any]]] = []
        self.manifest: list[dict[str, Any]] = []
        self.is_holdout = self.rng.random(n) < 0.10
        self.treated = np.zeros(n, bool)
        for i in range(n):
            self.choices.append([self._choice(i, campaign) for campaign in CAMPAIGNS])

    def _choice(self, i: int, campaign: str) -> dict[str, Any]:
        rng, outcome = self.rng, "sent"
        draw = rng.random()
        if draw < 0.08 and campaign != "order_update":
            outcome = "opted_out"
        elif self.is_holdout[i] and campaign != "order_update":
            outcome = "holdout_global"
        elif draw < 0.18 and campaign == "price_drop":
            outcome = "holdout_campaign"
        elif draw > 0.55:
            outcome = ("not_chosen", "capped", "no_slot", "no_capacity")[int(rng.integers(4))]
        # evening hours of Europe and Asia carry most
        hour = int(min(23, rng.gamma(3.0, 2.2)))
        sent = outcome == "sent"
        materials = MATERIALS[campaign]
        choice = {
            "campaign_id": campaign,
            "message_id": ids.message_id(campaign, user_name(i), DS),
            "occurrence": DS,
            "material_id": materials[i % len(materials)],
            "material_propensity": 0.5,
            "slot": START + timedelta(hours=hour) if sent else None,
            "slot_propensity": None,
            "channel": "fcm" if sent else None,
            "outcome": outcome,
            "p_open": 0.05,
            "value_micros": 2_500,
            "price_micros": 0,
            "arm": ("control", "bold")[i % 2] if campaign == "price_drop" else None,
            "is_explore": False,
        }
        if sent:
            self.treated[i] |= campaign != "order_update"
            self.manifest.append({"user": i, **choice})
        return choice

    def write(self, lake: Lake, *, delivered: bool = True, lived: bool = True) -> None:
        users = [user_name(i) for i in range(self.n)]
        put(
            lake,
            "user_index",
            pa.table({"user_id": users, "ordinal": range(self.n)}),
            {"shard_bits": 14, "n_users": self.n},
            chain="0",
        )
        put(lake, "catalog_snapshot", pa.Table.from_pylist(_catalog()), ds=DS)
        members = [list(range(self.n)), list(range(self.n // 3))]
        rows = {
            "audience": ["everyone", "lapsed_shoppers"],
            "shard": [0, 0],
            "cardinality": [len(m) for m in members],
            "bitmap": [roaring(m[:4000]) for m in members],
        }
        put(lake, "audience_members", pa.table(rows), ds=DS)
        decided = pa.table(
            {"ordinal": range(self.n), "user_id": users, "choices": self.choices},
            schema=arrow.schema(dataset("decisions")),
        )
        put(lake, "decisions", decided, certificate(self), ds=DS)
        sends = [send_row(choice) for choice in self.manifest]
        with lake.attempt("dispatch_manifest", ds=DS) as attempt:
            for hour in sorted({row["send_ts"].replace(minute=0, second=0) for row in sends}):
                own = [row for row in sends if row["send_ts"].replace(minute=0, second=0) == hour]
                keys = {
                    "send_hour": f"{hour:%Y-%m-%dT%H}",
                    "channel": "fcm",
                    "priority": "medium",
                    "part": "0000",
                }
                attempt.write(
                    pa.Table.from_pylist(
                        sorted(own, key=lambda row: row["dispatch_id"]),
                        schema=arrow.schema(dataset("dispatch_manifest")),
                    ),
                    f"send_hour={keys['send_hour']}/channel=fcm/priority=medium/part-0000.parquet",
                    keys=keys,
                )
            attempt.publish()
        if delivered:
            self._deliver(lake, sends)
        if lived:
            self._live(lake)

    def _deliver(self, lake: Lake, sends: list[dict[str, Any]]) -> None:
        ledger, receipts = [], []
        self.n_accepted = self.n_opened = 0
        for row in sends:
            draw = self.rng.random()
            outcome, reason = (
                ("rejected", "UNREGISTERED")
                if draw < 0.03
                else ("skipped", "stopped")
                if draw < 0.04
                else ("accepted", None)
            )
            who = {
                name: row[name]
                for name in ("dispatch_id", "message_id", "user_id", "campaign_id", "material_id", "channel")
            }
            at = row["send_ts"] + timedelta(seconds=40)
            sent = at if outcome != "skipped" else None
            ledger.append({**who, "outcome": outcome, "reason": reason, "provider_id": None, "sent_ts": sent,
            "n_attempts": int(sent is not None),
                           "payload_sha256": None})  # fmt: skip
            receipts.append(
                {
                    **who,
                    "receipt_id": f"{row['dispatch_id']}:{outcome}",
                    "kind": outcome,
                    "receipt_ts": at,
                    "sent_ts": sent,
                    "reason": reason,
                }
            )
            self.n_accepted += outcome == "accepted"
            if (
                outcome == "accepted" and len(receipts) % 7 == 0
            ):  # a scanner opens what it delivers: no open of anybody's
                scan = {
                    "receipt_id": f"{row['dispatch_id']}:opened-machine",
                    "kind": "opened",
                    "receipt_ts": at + timedelta(seconds=3),
                }
                receipts.append({**who, **scan, "sent_ts": at, "reason": "machine"})
            if outcome == "accepted" and self.rng.random() < 0.11:
                delay = timedelta(hours=float(self.rng.exponential(2.0)))
                self.n_opened += delay < timedelta(hours=24)
                receipts.append(
                    {
                        **who,
                        "receipt_id": f"{row['dispatch_id']}:opened",
                        "kind": "opened",
                        "receipt_ts": at + delay,
                        "sent_ts": at,
                        "reason": None,
                    }
                )
        schema = arrow.schema(dataset("delivery_ledger"))
        put(
            lake,
            "delivery_ledger",
            pa.Table.from_pylist(ledger, schema=schema),
            ds=DS,
            send_hour="2026-11-15T04",
            part="0000",
        )
        schema = arrow.schema(dataset("push_receipts"))
        put(
            lake,
            "push_receipts",
            pa.Table.from_pylist(receipts, schema=schema),
            ds=DS,
            source="worker",
            part="0000",
        )

    def _live(self, lake: Lake) -> None:
        """Being told lifts the chance of a purchase from 6 to 10 percent."""
        bought = self.rng.random(self.n) < np.where(self.treated, 0.10, 0.06)
        events = []
        for i in range(self.n):
            for k in range(int(self.rng.poisson(0.8 + 1.5 * self.treated[i]))):
                events.append((i, "open", START + timedelta(hours=float(self.rng.uniform(0, 40))), k))
            if bought[i]:
                events.append((i, "purchase", START + timedelta(hours=float(self.rng.uniform(0, 40))), 99))
        self.bought = bought
        for day in ("2026-11-15", "2026-11-16"):
            own = [event for event in events if f"{event[2]:%Y-%m-%d}" == day]
            rows = {
                "event_id": [f"e{i}-{kind}-{k}" for i, kind, _, k in own],
                "user_id": [user_name(i) for i, *_ in own],
                "event_type": [kind for _, kind, *_ in own],
                "item": [None] * len(own),
                "value": [None] * len(own),
                "event_ts": [at for _, _, at, _ in own],
            }
            put(lake, "user_events", pa.table(rows, schema=arrow.schema(dataset("user_events"))), ds=day)


def put(lake: Lake, name: str, table: pa.Table, meta: dict[str, Any] | None = None, **partition: str) -> None:
    with lake.attempt(name, **partition) as attempt:
        attempt.write(table, "part-0000.parquet")
        attempt.publish(meta=meta)


def send_row(choice: dict[str, Any]) -> dict[str, Any]:
    address = f"sandbox-{user_name(choice['user'])}"
    at = choice["slot"] + timedelta(minutes=17)
    return {
        "dispatch_id": ids.dispatch_id(choice["message_id"], "fcm", address),
        "message_id": choice["message_id"],
        "user_id": user_name(choice["user"]),
        "ordinal": choice["user"], "campaign_id": choice["campaign_id"], "occurrence": DS,
        "material_id": choice["material_id"], "topic": "promo",
        "channel": "fcm", "address": address, "template_id": choice["campaign_id"], "template_version": 1,
        "fields": "{}", "locale": "en",
        "priority": "medium", "guarantee": "at_most_once", "send_ts": at, "not_before": choice["slot"],
        "not_after": choice["slot"] + timedelta(hours=2),
        "timezone": "UTC", "quiet_start": 22, "quiet_end": 8, "collapse_key": None, "ttl_s": 3600,
        "material_propensity": 0.5,
        "slot_propensity": None,
    }  # fmt: skip


def certificate(night: Night) -> dict[str, Any]:
    used: dict[str, int] = {}
    for choice in night.manifest:
        hour = f"{choice['slot']:%Y-%m-%dT%H}"
        used[hour] = used.get(hour, 0) + 1
    hours = [f"{START + timedelta(hours=k):%Y-%m-%dT%H}" for k in range(24)]
    most = int(0.9 * max(used.values()))
    limits = [
        Limit(most, min(most, n), max(0, n - int(0.7 * most)) * 150, channel="fcm", slot=hour).as_meta()
        for hour, n in ((hour, used.get(hour, 0)) for hour in hours)
    ]
    limits.append(Limit(5000, 900, 0, campaign_id="price_drop").as_meta())
    return {"outcomes": {}, "primal_micros": 41_250_000, "bound_micros": 41_400_000, "gap_pct": 0.3623,
    "n_explore": 120, "constraints": limits,
            "messages": [{"slot": hour, "channel": "fcm", "campaign_id": "price_drop", "n": n}
            for hour, n in sorted(used.items())],
            "start": START.isoformat(), "hours_passed": 0}  # fmt: skip


def _catalog() -> list[dict[str, Any]]:
    bodies: list[dict[str, Any]] = [
        {"kind": "policy", "id": "default", "holdout": {"share_pct": 10.0, "salt": "s"}},
        {"kind": "audience", "id": "everyone", "description": "Everybody.", "predicate": "reachable('fcm')"},
        {
            "kind": "audience",
            "id": "lapsed_shoppers",
            "description": "Gone <b>quiet</b>.",
            "predicate": "days_since('open') > 7 AND value < 3",
        },
    ]
    for name in CAMPAIGNS:
        bodies.append(
            {
                "kind": "campaign",
                "id": name,
                "name": name,
                "audience": "everyone",
                "experiment": "copy_test" if name == "price_drop" else None,
                "holdout_pct": 10.87 if name == "price_drop" else 0,  # of who did not opt out, see `_choice`
                "guarantee": "at_least_once" if name == "order_update" else "at_most_once",
            }
        )
    return [
        {"kind": body["kind"], "id": body["id"], "version": 1, "body": json.dumps(body, sort_keys=True)}
        for body in bodies
    ]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Night, Path]:
    """A night of 2,000 people, delivered and lived on, written once."""
    root = tmp_path_factory.mktemp("night") / "lake"
    made = Night(2_000)
    made.write(Lake.open(str(root)))
    return made, root


@pytest.fixture
def night(written: tuple[Night, Path], tmp_path: Path) -> Night:
    """The night, copied into the test's own lake."""
    made, root = written
    shutil.copytree(root, tmp_path / "angelia home" / "lake", dirs_exist_ok=True)
    return made
