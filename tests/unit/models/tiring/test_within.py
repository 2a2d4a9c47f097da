"""Fatigue is learned within people, leans to zero, and knows nothing of the future."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.lake import Lake
from models.card import _fatigue
from models.tiring.learn import SPREAD, RateEffect, conditional, read_refusals

DS = "2026-11-14"


def lives(seed: int, effect: float, people: int = 3000) -> tuple[np.ndarray, ...]:
    """People who open more are sent more: pooled, messages would seem to wake them."""
    rng = np.random.default_rng(seed)
    rate = np.exp(rng.normal(-2.5, 0.8, people))
    n = np.clip(rng.poisson(120 * rate), 2, 40)
    person = np.repeat(np.arange(people), n)
    felt = np.log1p(rng.gamma(2.0, 6 * rate[person]))
    offset = rng.normal(0.0, 0.3, len(person))
    chance = np.minimum(rate[person] * np.exp(effect * felt + offset), 1.0)
    return felt, offset, (rng.random(len(person)) < chance).astype(float), person


def test_an_effect_is_found_within_people() -> None:
    felt, offset, label, person = lives(1, -0.4)
    own = conditional(felt, offset, label, person)
    pooled = conditional(felt, offset, label, np.zeros(len(person), np.int64))
    assert pooled.counted > 0.2, "between people the sign is the other one"
    assert abs(own.counted + 0.4) < 3 * own.error
    assert own.error < 0.1
    assert own.counted < own.leaning < 0.0


def test_its_interval_covers() -> None:
    """The truth lies in 95 % of intervals; 17 of 20 is what luck leaves of that."""
    intervals = [conditional(*lives(seed, -0.3, people=600)) for seed in range(20)]
    assert sum(abs(one.counted + 0.3) < 1.96 * one.error for one in intervals) >= 17


def test_little_evidence_leans_to_zero() -> None:
    felt, offset, label, person = lives(2, -0.4, people=15)
    few = conditional(felt, offset, label, person)
    assert few.error > SPREAD / 2
    assert abs(few.leaning) < 0.85 * abs(few.counted)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_no_evidence_is_no_effect(label: float) -> None:
    x = np.linspace(0.0, 1.0, 10)
    nothing = conditional(x, np.zeros(10), np.full(10, label), np.arange(10))
    assert (nothing.leaning, nothing.n) == (0.0, 0)
    assert nothing.as_dict()["low"] is None
    assert conditional(np.ones(10), np.zeros(10), x, np.zeros(10, int)) == RateEffect(
        0.0, float("inf"), 0.0, 0
    )


def receipts(lake: Lake, ds: str, source: str, kind: str, at: datetime, message: str) -> None:
    row = {
        "receipt_id": message, "dispatch_id": message, "message_id": message, "user_id": "u1",
        "campaign_id": "sale", "material_id": "shoe", "channel": "fcm", "kind": kind, "receipt_ts": at,
        "sent_ts": at, "reason": None,
    }  # fmt: skip
    table = pa.Table.from_pylist([row], schema=arrow.schema(dataset("push_receipts")))
    with lake.attempt("push_receipts", ds=ds, source=source, part=message[:4]) as attempt:
        attempt.write(table, "part-0.parquet", conform=False)
        attempt.publish()


def test_refusals_are_those_known_by_the_night(tmp_path) -> None:
    lake, last = Lake.open(str(tmp_path)), datetime(2026, 11, 14, 23, 59, 59, tzinfo=UTC)
    rows = [
        ("2026-11-13", "receive", "unsubscribed", last, "a"),
        ("2026-11-13", "receive", "unsubscribed", last + timedelta(seconds=1), "b"),
        ("2026-11-13", "receive", "bounced", last, "c"),
        ("2026-11-05", "world", "unsubscribed", last, "d"),  # two days before the cutoff
        ("2026-11-04", "world", "unsubscribed", last, "e"),
        ("2026-11-15", "world", "unsubscribed", last, "f"),
    ]
    for ds, source, kind, at, letter in rows:
        receipts(lake, ds, source, kind, at, letter * 32)
    ids, commits = read_refusals(lake, ds=DS, cutoff="2026-11-07")
    assert sorted(ids.to_pylist()) == ["a" * 32, "d" * 32]
    assert len(commits) == 4


def test_the_card_says_what_is_unknown() -> None:
    effect = RateEffect(0.0, float("inf"), 0.0, 0).as_dict()
    refuses = {"n": 0, "pushes": 10, "low": 0.0, "high": 0.001}
    figures = {"tires": 0.0, "refuses": 0.0, "refuses_more": 0.0, "rate": 0.1, "tired_days": 2.0,
               "evidence": {"tires": effect, "refuses_more": effect, "refuses": refuses}}  # fmt: skip
    assert "| +0.000 | unknown | -0.000 |" in "\n".join(_fatigue(figures))
