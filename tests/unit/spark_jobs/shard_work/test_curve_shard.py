"""One shard's evidence: its own people in their order, and nobody the features do not know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.contracts.rows import valid_rows
from angelia.lake import Lake
from spark_jobs.shard_work.curve_shard import CurveInputs, CurveShard, Users, days_between

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


def test_days_strictly_between_two_dates() -> None:
    assert days_between("2026-11-13", "2026-11-14") == 0
    assert days_between("2026-02-27", "2026-03-02") == 2
