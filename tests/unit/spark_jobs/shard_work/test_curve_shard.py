"""One shard's evidence: its own people in their order, and nobody the features do not know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.contracts.rows import valid_rows
from angelia.lake import Lake
from angelia.timing.choosing import HALF_LIVES
from angelia.timing.evidence import Cohorts
from spark_jobs.shard_work.curve_shard import CurveInputs, CurveShard, Users, days_between, hours_column

DS, BITS = "2026-11-14", 2


def write(lake: Lake, name: str, table: pa.Table, ds: str = DS) -> None:
    with lake.attempt(name, ds=ds) as attempt:
        attempt.write(table, "part-0000.parquet", conform=False, shards=(0, 2))
        attempt.publish()


def features(lake: Lake, n: int) -> None:
    """Write people in the reverse of their order."""
    table = valid_rows("user_features", n, ds=DS)
    zones = pa.array([f"Etc/GMT+{i % 12}" for i in range(n)], pa.string())
    table = table.set_column(table.schema.get_field_index("timezone"), "timezone", zones)
    write(lake, "user_features", table.take(pa.array(range(n - 1, -1, -1))))


def test_a_shards_people_stand_in_the_order_of_ordinals(lake: Lake) -> None:
    features(lake, 10)
    users = Users.read(lake, lake.require("user_features", ds=DS), 1, BITS)
    assert users.ordinal.tolist() == [4, 5, 6, 7]
    assert users.timezones == [f"Etc/GMT+{i}" for i in range(4, 8)]


def test_who_is_newer_than_the_features_is_left_out(lake: Lake) -> None:
    features(lake, 6)
    row = {"event_type": "view", "item": None, "n_events": 1, "value_sum": 0.0, "hours": 1 << 9}
    days = [row | {"ordinal": ordinal} for ordinal in (4, 7)]
    write(lake, "user_days", pa.Table.from_pylist(days, schema=arrow.schema(dataset("user_days"))))
    window = [(0, lake.require("user_days", ds=DS))]
    inputs = CurveInputs(lake, lake.require("user_features", ds=DS), window, [], DS, 1, 14.0, BITS, {})
    activity = CurveShard(inputs, 1).activity()
    assert activity.shape == (2, 48)
    assert (activity[0].sum() > 0, activity[1].sum()) == (True, 0.0)
    assert np.count_nonzero(activity[0]) == 1


@pytest.mark.parametrize(
    ("slot", "material", "counts"),
    [(None, 0.9, 0), (0.05, 0.9, 2), (0.05, None, 2), (None, None, 2)],
    ids=["chosen by a plan", "drawn by a plan", "drawn alone", "of another product"],
)
def test_an_hour_that_a_plan_chose_moves_no_curve(
    lake: Lake, slot: float | None, material: float | None, counts: int
) -> None:
    features(lake, 6)
    sent = datetime(2026, 11, 13, 9, tzinfo=UTC)
    push = {"ordinal": 4, "message_id": "0" * 32, "campaign_id": "sale", "material_id": "boot",
            "channel": "fcm", "sent_ts": sent, "slot_propensity": slot,
            "material_propensity": material}  # fmt: skip
    kinds = [
        push | {"kind": "sent", "at_ts": sent},
        push | {"kind": "opened", "at_ts": sent + timedelta(0, 60)},
    ]
    table = pa.Table.from_pylist(kinds, schema=arrow.schema(dataset("user_pushes")))
    write(lake, "user_pushes", table, "2026-11-13")
    window = [(0, lake.require("user_pushes", ds="2026-11-13"))]
    people = lake.require("user_features", ds=DS)
    inputs = CurveInputs(lake, people, [], window, DS, 2, 14.0, BITS, {"boot": "shoes"})
    part = CurveShard(inputs, 1)
    each = [count.unknown + count.known_plain for count in part.counts()]
    assert sum(np.count_nonzero(count) for count in each) == counts
    # Beside a person's own curve it says how much they open, and what of.
    assert sum(np.count_nonzero(count.unknown + count.known_plain) for count in part.all_counts()) == 2
    assert sum(len(pushes.user) for pushes in part.by_category(0, 2)) == 2


def test_some_people_count_as_in_their_shard(lake: Lake) -> None:
    features(lake, 8)
    row = {"event_type": "view", "item": None, "n_events": 1, "value_sum": 0.0}
    schema = arrow.schema(dataset("user_days"))
    for back, ds in enumerate(("2026-11-14", "2026-11-13", "2026-11-12", "2026-11-11")):
        days = [row | {"ordinal": ordinal, "hours": 1 << (3 * ordinal - back) % 24} for ordinal in range(8)]
        write(lake, "user_days", pa.Table.from_pylist(days, schema=schema), ds)
    hours = np.arange(8 * 48, dtype=np.float32).reshape(8, 48) / 64
    kept = {"ordinal": pa.array(np.arange(8, dtype=np.uint32))}
    kept |= {hours_column(half): pa.array(list(hours), pa.list_(pa.float32())) for half in HALF_LIVES}
    table = pa.table({name: kept[name] for name in dataset("user_hours").names})
    write(lake, "user_hours", table, "2026-11-11")
    sent = datetime(2026, 11, 13, 9, tzinfo=UTC)
    push = {"message_id": "0" * 32, "campaign_id": "sale", "material_id": "boot", "channel": "fcm",
            "sent_ts": sent, "slot_propensity": 0.05, "material_propensity": None, "at_ts": sent}  # fmt: skip
    rows = [push | {"ordinal": o, "kind": kind} for o in (4, 6, 6, 7) for kind in ("sent", "opened")]
    write(
        lake,
        "user_pushes",
        pa.Table.from_pylist(rows, schema=arrow.schema(dataset("user_pushes"))),
        "2026-11-13",
    )
    days, gap = ([(i, lake.require("user_days", ds=ds)) for i, ds in enumerate(each)] for each in (
        ("2026-11-13", "2026-11-14"), ("2026-11-12",)))  # fmt: skip
    inputs = CurveInputs(
        lake, lake.require("user_features", ds=DS), days, [(0, lake.require("user_pushes", ds="2026-11-13"))],
        DS, 2, 14.0, BITS, {"boot": "shoes"}, lake.require("user_hours", ds="2026-11-11"), gap, 1,
    )  # fmt: skip
    whole, keep = CurveShard(inputs, 1), np.array([False, True, True, False])
    part = whole.only(keep)
    assert part.ordinal.tolist() == [5, 6]
    assert part.timezones == whole.timezones[1:3]
    assert np.array_equal(part.activity(), whole.activity()[keep])
    assert np.array_equal(part.hours(56.0), whole.hours(56.0)[keep])
    assert part.hours(56.0).any(axis=1).all()
    for few, many in zip(part.counts(), whole.counts(), strict=True):
        assert np.array_equal(few.known, many.known[keep])
        assert few.known[1].any()
    assert [pushes.user.tolist() for pushes in part.by_category(0, 2)] == [[1, 1], [1, 1]]
    for few, many in zip(part.sample(), whole.sample(), strict=True):
        assert np.array_equal(few, many[..., keep, :])
    names, cohorts = whole.cohorts()
    assert names == sorted(whole.timezones)
    order = np.argsort(whole.timezones)
    assert np.array_equal(whole.activity(cohorts), whole.activity()[order])
    assert np.array_equal(whole.counts(cohorts=cohorts)[0].known, whole.counts()[0].known[order])
    together = Cohorts(np.zeros(4, np.int64), 1)
    assert np.array_equal(whole.activity(together)[0], whole.activity().sum(axis=0))


def test_days_strictly_between_two_dates() -> None:
    assert days_between("2026-11-13", "2026-11-14") == 0
    assert days_between("2026-02-27", "2026-03-02") == 2
