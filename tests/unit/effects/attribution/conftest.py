"""Four people and two nights, small enough to count every figure by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset, ids
from angelia.contracts.rows import valid_rows
from angelia.lake import Lake
from tests.unit.effects.conftest import DS, START, put

NEXT = "2026-11-15"
FEATURES = [("DE", "oppo", 3), ("DE", "apple", 400), ("CN", "oppo", None), (None, None, 28)]


def choice(user: str, campaign: str, ds: str, outcome: str = "sent") -> dict[str, Any]:
    is_sent = outcome == "sent"
    return {
        "campaign_id": campaign, "message_id": ids.message_id(campaign, user, ds), "occurrence": ds,
        "material_id": f"{campaign}_a", "material_propensity": 1.0,
        "slot": START + timedelta(days=ds == NEXT, hours=2) if is_sent else None, "slot_propensity": None,
        "channel": "fcm" if is_sent else None, "outcome": outcome, "p_open": 0.1, "value_micros": 1,
        "price_micros": 0, "arm": None, "is_explore": False,
    }  # fmt: skip


def campaign(name: str, **attribution: Any) -> dict[str, Any]:
    body = {"kind": "campaign", "id": name, "audience": "everyone", "guarantee": "at_most_once"}
    return body | ({"attribution": attribution} if attribution else {"attribution": None})


CATALOG = [
    {"kind": "policy", "id": "default"},
    campaign("plain"),
    campaign("shown", since="displayed", conversion_hours=1),
    campaign("other", open_hours=2, conversion="signup"),
    campaign("order") | {"guarantee": "at_least_once"},
]


class Story:
    """Collects what happened, and writes it."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.ledger: dict[str, list[dict[str, Any]]] = {DS: [], NEXT: []}
        self.receipts: dict[str, list[dict[str, Any]]] = {DS: [], NEXT: []}
        self.events: dict[str, list[dict[str, Any]]] = {}

    def plan(self, ds: str, choices: list[list[dict[str, Any]]]) -> None:
        start = START + timedelta(days=ds == NEXT)
        rows = {"ordinal": range(len(choices)), "user_id": [f"u{i}" for i in range(len(choices))]}
        table = pa.table(rows | {"choices": choices}, schema=arrow.schema(dataset("decisions")))
        put(self.lake, "decisions", table, {"start": start.isoformat()}, ds=ds)
        bodies = [{**body, "version": 1, "body": json.dumps(body)} for body in CATALOG]
        kept = [{name: body[name] for name in ("kind", "id", "version", "body")} for body in bodies]
        put(self.lake, "catalog_snapshot", pa.Table.from_pylist(kept), ds=ds)
        features = valid_rows("user_features", len(choices), ds=ds)
        for name, values in {
            "user_id": [f"u{i}" for i in range(len(choices))],
            "country": [row[0] for row in FEATURES],
            "device_vendor": [row[1] for row in FEATURES],
            "days_since_signup": [row[2] for row in FEATURES],
        }.items():
            at = features.schema.get_field_index(name)
            field = features.schema.field(at)
            features = features.set_column(at, field, pa.array(values, field.type))
        put(self.lake, "user_features", features, ds=ds)

    def sent(
        self, ds: str, i: int, name: str, hours: float, outcome: str = "accepted", channel: str = "fcm"
    ) -> None:
        who = self._who(ds, i, name, channel)
        at = START + timedelta(hours=hours)
        self.ledger[ds].append(who | {"outcome": outcome, "reason": None, "provider_id": None, "sent_ts": at,
                                      "n_attempts": 1, "payload_sha256": None})  # fmt: skip

    def answer(self, ds: str, i: int, name: str, kind: str, hours: float, reason: str | None = None) -> None:
        at, sent = START + timedelta(hours=hours), self.ledger[ds][0]["sent_ts"]
        self.receipts[ds].append(self._who(ds, i, name, "fcm") | {
            "receipt_id": f"{i}-{name}-{kind}-{hours}", "kind": kind, "receipt_ts": at,
            "sent_ts": sent, "reason": reason,
        })  # fmt: skip

    def did(
        self, event: str, i: int, kind: str, hours: float, value: float | None = None, day: str = NEXT
    ) -> None:
        self.events.setdefault(day, []).append({
            "event_id": event, "user_id": f"u{i}", "event_type": kind, "item": None, "value": value,
            "event_ts": START + timedelta(hours=hours),
        })  # fmt: skip

    def write(self) -> None:
        for name, days in (("delivery_ledger", self.ledger), ("push_receipts", self.receipts)):
            key = {"send_hour": "2026-11-15T04"} if name == "delivery_ledger" else {"source": "worker"}
            for ds, rows in days.items():
                table = pa.Table.from_pylist(rows, schema=arrow.schema(dataset(name)))
                put(self.lake, name, table, ds=ds, part="0000", **key)
        for day, rows in self.events.items():
            table = pa.Table.from_pylist(rows, schema=arrow.schema(dataset("user_events")))
            put(self.lake, "user_events", table, ds=day)

    @staticmethod
    def _who(ds: str, i: int, name: str, channel: str) -> dict[str, Any]:
        message = ids.message_id(name, f"u{i}", ds)
        return {"dispatch_id": ids.dispatch_id(message, channel, f"a{i}"), "message_id": message,
                "user_id": f"u{i}", "campaign_id": name, "material_id": f"{name}_a",
                "channel": channel}  # fmt: skip


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as own:
        yield own


@pytest.fixture
def story(lake: Lake) -> Story:
    """Four people; u3 is held out; the second night repeats `plain`."""
    plan_story = Story(lake)
    plan_story.plan(DS, [
        [choice("u0", "plain", DS), choice("u0", "shown", DS), choice("u0", "order", DS)],
        [choice("u1", "plain", DS), choice("u1", "other", DS)],
        [choice("u2", "plain", DS), choice("u2", "shown", DS, "capped"),
         choice("u2", "order", DS, "opted_out")],
        [choice("u3", "plain", DS, "holdout_global")],
    ])  # fmt: skip
    plan_story.plan(
        NEXT,
        [[choice(f"u{i}", "plain", NEXT)] for i in range(3)]
        + [[choice("u3", "plain", NEXT, "holdout_global")]],
    )
    plan_story.sent(DS, 0, "plain", 2.0)
    plan_story.sent(DS, 0, "shown", 3.0)
    plan_story.sent(DS, 0, "order", 4.0)
    plan_story.sent(DS, 1, "plain", 2.0, "rejected")
    plan_story.sent(DS, 1, "plain", 2.5, channel="email")  # it fell over
    plan_story.sent(DS, 1, "other", 5.0, "ambiguous")
    plan_story.sent(DS, 2, "plain", 2.0)
    plan_story.sent(NEXT, 0, "plain", 26.0)
    plan_story.sent(NEXT, 1, "plain", 26.0, "skipped")
    plan_story.answer(DS, 0, "plain", "delivered", 2.5)
    plan_story.answer(DS, 0, "plain", "opened", 2.2, "machine")
    plan_story.answer(DS, 0, "shown", "displayed", 3.5)
    plan_story.answer(DS, 1, "other", "opened", 6.0)
    plan_story.answer(DS, 2, "plain", "bounced", 2.1)
    plan_story.answer(DS, 1, "plain", "unsubscribed", 9.0, "complaint")
    plan_story.answer(DS, 0, "order", "unsubscribed", 9.0)
    plan_story.did("e0", 0, "purchase", 4.4, 10.0)  # `shown` an hour long: until 4.5; `order` takes nothing
    plan_story.did("e1", 0, "purchase", 4.6, 20.0)  # `plain`
    plan_story.did("e1", 0, "purchase", 4.6, 20.0)  # arrived twice
    plan_story.did("e2", 0, "open", 4.7)  # `shown` has 24 hours for openings
    plan_story.did("e3", 1, "purchase", 7.0, 30.0)  # `plain`: the conversion of `other` is a signup
    plan_story.did("e4", 1, "signup", 7.5, None)  # `other`
    plan_story.did("e5", 1, "open", 6.5)  # `other` was tapped: no influenced opening
    plan_story.did("e6", 2, "purchase", 3.0, 40.0)  # bounced: nobody's
    plan_story.did("e7", 3, "purchase", 3.0, 50.0)  # held out: nobody's, yet their side's
    plan_story.did("e8", 0, "purchase", 26.2, 60.0, day="2026-11-16")  # the next night's `plain`
    plan_story.write()
    return plan_story
