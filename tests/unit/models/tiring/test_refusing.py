"""Refusals are counted over all kept pushes, and what was felt is as of the day before."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.lake import Lake
from models.tiring.refusing import (
    HALF_LIFE,
    UNKNOWN,
    KeptPushes,
    learn_refusing,
    read_kept,
    read_refusals,
    still_felt,
)

DS = "2026-11-14"
DAY_US = 86_400_000_000
LAST = datetime(2026, 11, 14, 12, tzinfo=UTC)


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


def push(lake: Lake, people: list[int], days_ago: int) -> None:
    """Send everybody a message at noon of a day."""
    at = LAST - timedelta(days=days_ago)
    rows = [
        {
            "ordinal": i, "message_id": f"{i:016x}{days_ago:016x}", "campaign_id": "c", "material_id": "shoe",
            "channel": "fcm", "kind": kind, "at_ts": at, "sent_ts": at, "slot_propensity": None,
            "material_propensity": None,
        }
        for i in people for kind in ("sent", "opened")
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=arrow.schema(dataset("user_pushes")))
    with lake.attempt("user_pushes", ds=at.date().isoformat()) as attempt:
        attempt.write(table, "part-0.parquet", conform=False, shards=(0, 0))
        attempt.publish()


def test_all_kept_days_are_read_and_none_after(tmp_path) -> None:
    lake = Lake.open(str(tmp_path))
    for days_ago in (-1, 0, 1, 10, 365):
        push(lake, [0, 1], days_ago)
    refused = f"{1:016x}{1:016x}"
    receipts(lake, "2026-11-13", "world", "unsubscribed", LAST - timedelta(days=1), refused)
    kept = read_kept(lake, ds=DS)
    assert kept.age.tolist() == [10.5, 1.5, 0.5] * 2
    assert kept.is_refused.tolist() == [0.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    assert kept.felt[0] == kept.felt[1] == 0.0
    # Yesterday noon's message, felt in the middle of today: a day later, by a time constant of two.
    assert kept.felt[2] == pytest.approx(np.log1p(np.exp(-0.5)))
    assert len(kept.inputs) == 4
    assert len(read_kept(lake, ds=DS, most=3).age) < 6, "of too many pushes, those of some people"
    assert len(read_kept(lake, ds="2020-01-01").age) == 0


def test_only_earlier_days_are_felt() -> None:
    noon = DAY_US // 2
    person = np.array([0, 0, 0, 1, 1])
    at = np.array([noon, 2 * DAY_US, 2 * DAY_US + noon, noon, 9 * DAY_US])
    felt = still_felt(person, at)
    two_days = np.exp(-(2.0 - 0.5 + 0.5) / 2.0)
    assert felt == pytest.approx([0.0, two_days, two_days, 0.0, 0.0]), "of the same day none, nor of nine ago"


def some_pushes(n: int, days: int, more: float, seed: int = 3) -> KeptPushes:
    rng = np.random.default_rng(seed)
    felt = np.log1p(rng.gamma(1.0, 0.6, n))
    refused = rng.random(n) < 0.001 * np.exp(more * felt)
    return KeptPushes(felt, rng.uniform(0, days, n), refused.astype(float))


def test_a_year_tells_what_three_weeks_do_not() -> None:
    short, year = (
        learn_refusing(some_pushes(n, days, 1.0), 1.0) for n, days in ((40_000, 21), (700_000, 365))
    )
    assert year.more.error < short.more.error / 2
    assert year.slope == pytest.approx(1.0, abs=0.3)
    assert abs(year.slope - 1.0) < abs(short.slope - 1.0)
    assert year.refuses == pytest.approx(0.001, rel=0.15)
    assert year.evidence["low"] < year.refuses < year.evidence["high"]


def test_no_refusal_leaves_the_prior() -> None:
    nothing = learn_refusing(replace(some_pushes(100, 21, 1.0), is_refused=np.zeros(100)), 1.0)
    assert (nothing.refuses, nothing.slope) == (0.0, 0.0)
    assert nothing.evidence["n"] == 0
    assert nothing.evidence["low"] == 0.0
    nobody = learn_refusing(KeptPushes(np.zeros(0), np.zeros(0), np.zeros(0)), 1.0)
    assert (nobody.refuses, nobody.slope, nobody.evidence["pushes"]) == (0.0, 0.0, 0)


def test_older_pushes_count_half_as_much() -> None:
    refused = np.array([1.0, 0.0, 0.0])
    young, old = (
        learn_refusing(KeptPushes(np.zeros(3), np.array([age, 0.0, 0.0]), refused), 1.0)
        for age in (0.0, HALF_LIFE)
    )
    assert young.refuses == pytest.approx(1.0 / (3.0 + UNKNOWN))
    assert old.refuses == pytest.approx(0.5 / (2.5 + UNKNOWN))
    # Pushes at hours twice as good say half as much of a mean one.
    better = learn_refusing(KeptPushes(np.zeros(3), np.zeros(3), refused), 2.0)
    assert better.refuses == pytest.approx(1.0 / (6.0 + UNKNOWN))
