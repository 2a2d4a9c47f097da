"""Invariants: a consistent night passes; each single inconsistency fails its own invariant."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.contracts.rows import user_name, valid_rows
from angelia.errors import GateClosed
from angelia.lake import Lake
from angelia.lake.views import newest, open_views
from angelia.quality import GATES, require_open, run_gate
from angelia.quality.gates import count_invariants
from angelia.quality.offenders import offending_rows

DS = "2026-11-14"
N = 100
START = datetime.fromisoformat(DS).replace(tzinfo=UTC) + timedelta(hours=28)
Change = Callable[[int, dict[str, Any]], dict[str, Any]]


def put(lake: Lake, name: str, table: pa.Table, **extra: Any) -> None:
    leaf = {"chain": "0"} if dataset(name).partition == ("chain",) else {"ds": DS}
    with lake.attempt(name, **leaf) as attempt:
        attempt.write(table, "part-0000.parquet")
        attempt.publish(**extra)


def rows_with(name: str, change: Change | None = None, n: int = N) -> pa.Table:
    rows = valid_rows(name, n).to_pylist()
    return pa.Table.from_pylist(
        [change(i, row) if change else row for i, row in enumerate(rows)], schema=arrow.schema(dataset(name))
    )


def choice(campaign: str, outcome: str, user: int, **other: Any) -> dict[str, Any]:
    sent = outcome == "sent"
    return {
        "campaign_id": campaign, "message_id": f"{user:016x}{abs(hash_of(campaign)):016x}",
        "occurrence": "once", "material_id": "camera",
        "material_propensity": 0.5, "slot": START + timedelta(hours=user % 24) if sent else None,
        "slot_propensity": None,
        "channel": "fcm" if sent else None, "outcome": outcome, "p_open": 0.05, "value_micros": 1,
        "price_micros": 0, "arm": None,
        "is_explore": False, **other,
    }  # fmt: skip


def hash_of(text: str) -> int:
    return int.from_bytes(text.encode()[:8], "big") % 2**60


def campaigns() -> pa.Table:
    bodies = [
        {"kind": "campaign", "id": "promo", "topic": "promo", "guarantee": "at_most_once"},
        {"kind": "campaign", "id": "orders", "topic": "orders", "guarantee": "at_least_once"},
        {"kind": "audience", "id": "all", "predicate": "TRUE"},
    ]
    rows = [
        {"kind": body["kind"], "id": body["id"], "version": 1, "body": json.dumps(body)} for body in bodies
    ]
    return pa.Table.from_pylist(rows, schema=arrow.schema(dataset("catalog_snapshot")))


@pytest.fixture
def night(lake: Lake) -> Lake:
    """A consistent night of 100 users.

    User 7 is held out, 8 refused promo, 9 is suppressed; user 7 still gets the transactional message.
    """
    put(lake, "user_index", rows_with("user_index"), meta={"shard_bits": 14, "n_users": N})
    index = lake.require("user_index", chain="0")

    def features(i: int, row: dict[str, Any]) -> dict[str, Any]:
        return {
            **row,
            "is_suppressed": i == 9,
            "opted_out_topics": ["promo"] if i == 8 else [],
            "channels": ["fcm", "email"],
        }

    put(lake, "user_features", rows_with("user_features", features), inputs=[index])
    put(lake, "send_times", rows_with("send_times"))
    put(lake, "user_days", rows_with("user_days"))
    put(lake, "catalog_snapshot", campaigns())
    put(lake, "audience_members", rows_with("audience_members"))
    put(lake, "material_scores", rows_with("material_scores"))
    put_decisions(lake)
    return lake


def put_decisions(lake: Lake, user: int = 0, *choices: dict[str, Any]) -> None:
    """Write decisions, with the choices of one user replaced."""
    outcome = {7: "holdout_global", 8: "opted_out", 9: "suppressed", 3: "no_capacity"}
    rows = []
    for i in range(N):
        own = [
            choice("promo", outcome.get(i, "sent"), i),
            choice("orders", "suppressed" if i == 9 else "sent" if i == 7 else "no_value", i),
        ]
        rows.append(
            {
                "ordinal": i,
                "user_id": user_name(i),
                "choices": list(choices) if choices and i == user else own,
            }
        )
    put(lake, "decisions", pa.Table.from_pylist(rows, schema=arrow.schema(dataset("decisions"))))


def broken(lake: Lake, gate: str) -> dict[str, int]:
    """Return the invariants that some row breaks, without the gate's other checks (fast)."""
    with open_views(lake) as views:
        chosen = GATES[gate]
        opened = {
            name: views.add(name, newest(lake, name, DS)) for name in (*chosen.required, *chosen.context)
        }
        counted = count_invariants(views, opened, (), chosen.invariants, DS, 28)
    assert [one.crashed for one in counted if one.crashed] == []
    assert all(one.n_rows is not None for one in counted)
    return {one.invariant.name: one.n_bad for one in counted if one.n_bad}


def test_a_consistent_night_passes_both_gates(night: Lake) -> None:
    for gate in ("features", "plan"):
        verdicts = run_gate(night, gate, DS, lead_hours=28)
        require_open(gate, DS, verdicts)
        assert all(verdict.n_bad == 0 for verdict in verdicts if verdict.n_rows is not None)
        assert all(verdict.success for verdict in verdicts)


TWICE = choice("promo", "sent", 1)
FAULTS: dict[str, tuple[int, tuple[dict[str, Any], ...]]] = {
    "decisions.outcome.allowed": (0, (choice("promo", "maybe", 0),)),
    "decisions.sent.complete": (0, (choice("promo", "sent", 0, material_id=None),)),
    "decisions.sent.once_per_message": (0, (TWICE,)),
    "decisions.sent.in_plan": (0, (choice("promo", "sent", 0, slot=START + timedelta(hours=24)),)),
    "decisions.sent.not_held_out": (7, (choice("orders", "holdout_global", 7), choice("promo", "sent", 7))),
    "decisions.sent.not_refused": (0, (choice("promo", "sent", 0), choice("promo", "holdout_campaign", 0))),
    "decisions.sent.not_suppressed": (9, (choice("orders", "sent", 9),)),
    "decisions.sent.not_opted_out": (8, (choice("promo", "sent", 8),)),
    "decisions.sent.reachable": (0, (choice("promo", "sent", 0, channel="sms"),)),
    "decisions.sent.known_campaign": (0, (choice("ghost", "sent", 0),)),
}


@pytest.mark.parametrize("check", FAULTS)
def test_each_inconsistency_fails_its_own_invariant(night: Lake, check: str) -> None:
    user, choices = FAULTS[check]
    put_decisions(night, user, *choices)
    n_bad = 2 if check == "decisions.sent.once_per_message" else 1
    assert broken(night, "plan") == {check: n_bad}
    rows = offending_rows(night, "plan", check, DS)
    assert len(rows) == n_bad
    assert user in {row["ordinal"] for row in rows}
    assert all(row["user_id"].startswith("hash:") for row in rows)


def test_leakage_to_a_single_opted_out_person_closes_the_gate(night: Lake) -> None:
    put_decisions(night, 8, choice("promo", "sent", 8))
    with pytest.raises(GateClosed, match="sent about a topic the user refused in 1 of 199 rows") as closed:
        require_open("plan", DS, run_gate(night, "plan", DS, lead_hours=28))
    assert "--check decisions.sent.not_opted_out" in closed.value.one_line()


def test_a_slot_before_the_plan_fails_and_the_first_does_not(night: Lake) -> None:
    put_decisions(night, 0, choice("promo", "sent", 0, slot=START - timedelta(microseconds=1)))
    assert broken(night, "plan") == {"decisions.sent.in_plan": 1}
    put_decisions(night, 0, choice("promo", "sent", 0, slot=START))
    assert broken(night, "plan") == {}


def test_a_plan_that_sends_nothing_closes_the_gate(night: Lake) -> None:
    rows = [
        {"ordinal": i, "user_id": user_name(i), "choices": [choice("promo", "no_value", i)]} for i in range(N)
    ]
    put(night, "decisions", pa.Table.from_pylist(rows, schema=arrow.schema(dataset("decisions"))))
    assert broken(night, "plan") == {"decisions.sent.any": 1}
    with pytest.raises(GateClosed, match="no message planned at all"):
        require_open("plan", DS, run_gate(night, "plan", DS, lead_hours=28))
    put(night, "decisions", pa.Table.from_pylist([], schema=arrow.schema(dataset("decisions"))))
    assert broken(night, "plan") == {"decisions.sent.any": 1}


def test_features_must_cover_the_index_they_were_built_from(night: Lake) -> None:
    put(
        night,
        "user_features",
        rows_with("user_features", n=N - 3),
        inputs=[night.require("user_index", chain="0")],
    )
    assert broken(night, "features") == {"user_features.ordinal.complete": 3}
    assert [
        row["ordinal"] for row in offending_rows(night, "features", "user_features.ordinal.complete", DS)
    ] == [97, 98, 99]


def test_users_appended_after_the_features_need_no_row(night: Lake) -> None:
    put(night, "user_index", rows_with("user_index", n=N + 20), meta={"shard_bits": 14, "n_users": N + 20})
    assert broken(night, "features") == {}


def test_unknown_ordinals_swapped_users_and_missing_curves(night: Lake) -> None:
    index = [night.require("user_index", chain="0")]
    put(night, "user_days", rows_with("user_days", lambda i, row: {**row, "ordinal": row["ordinal"] + 98}))
    assert broken(night, "features") == {"user_days.ordinal.in_index": 4 * 23}
    put(night, "user_days", rows_with("user_days"))
    put(
        night,
        "user_features",
        rows_with(
            "user_features", lambda i, row: {**row, "user_id": user_name(i ^ 1) if i < 2 else row["user_id"]}
        ),
        inputs=index,
    )
    assert broken(night, "features") == {"user_features.user_id.same_user": 2}
    put(night, "user_features", rows_with("user_features"), inputs=index)
    put(night, "send_times", rows_with("send_times", n=90))
    assert broken(night, "features") == {"send_times.ordinal.complete": 10}


def test_an_invariant_on_a_missing_dataset_is_not_measured(night: Lake) -> None:
    with night.attempt("decisions", ds=DS) as attempt:
        attempt.write(rows_with("decisions").drop_columns(["choices"]), "part-0000.parquet", conform=False)
        attempt.publish()
    verdicts = run_gate(night, "plan", DS, lead_hours=28)
    assert {verdict.check: verdict.n_bad for verdict in verdicts if not verdict.success} == {
        "decisions.choices.present": N
    }
    assert not any(verdict.crashed for verdict in verdicts)


def test_an_invariant_that_cannot_run_is_a_crash(night: Lake) -> None:
    with night.attempt("catalog_snapshot", ds=DS) as attempt:
        attempt.write(
            pa.table({"kind": ["campaign"], "id": ["promo"], "body": ["{no json"]}),
            "part-0000.parquet",
            conform=False,
        )
        attempt.publish()
    verdicts = run_gate(night, "plan", DS, lead_hours=28)
    crashed = [verdict for verdict in verdicts if verdict.crashed]
    assert {verdict.check for verdict in crashed} == {
        invariant.name for invariant in GATES["plan"].invariants
    }
    assert all(verdict.blocks and verdict.n_bad is None for verdict in crashed)
    with pytest.raises(GateClosed, match="crashed"):
        require_open("plan", DS, verdicts)
