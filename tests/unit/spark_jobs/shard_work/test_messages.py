"""A shard's messages as the manifest holds them."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from angelia.catalog.snapshot import load_snapshot
from spark_jobs.shard_work.messages import messages_of_shard
from tests import planned_night
from tests.planned_night import DS, SALE, plan_a_night, put


def test_rows_carry_the_persons_quiet_hours_joined(lake, settings_home, monkeypatch):
    monkeypatch.setitem(planned_night.POLICY, "quiet_hours", {"start": 22, "end": 8})
    plan_a_night(lake)
    features = lake.read(lake.require("user_features", ds=DS)).sort_by("ordinal")
    for name, own in (("quiet_start", 20), ("quiet_end", 23)):
        at = features.schema.get_field_index(name)
        values = pa.array([own if row == 3 else None for row in range(8)], features.schema.field(at).type)
        features = features.set_column(at, features.schema.field(at), values)
    put(lake, "user_features", features, meta={"n_users": 8})
    commits = (lake.require(name, ds=DS) for name in ("decisions", "user_features"))
    rows = messages_of_shard(lake, *commits, load_snapshot(lake, DS), [], 0)
    spans = list(zip(rows["quiet_start"].to_pylist(), rows["quiet_end"].to_pylist(), strict=True))
    assert spans == [(20, 8) if row == 3 else (22, 8) for row in range(8)]


@pytest.mark.parametrize(
    ("changes", "hours"),
    [
        ({}, 2),
        ({"send_window": {"start": 8, "end": 10}}, 1),
        ({"send_window": {"start": 8, "end": 10}, "guarantee": "at_least_once"}, 12),
    ],
)
def test_what_is_late_leaves_within_its_send_window(lake, settings_home, changes, hours):
    plan_a_night(lake, SALE | changes)
    features = lake.read(lake.require("user_features", ds=DS))
    at = features.schema.get_field_index("timezone")
    features = features.set_column(at, features.schema.field(at), pa.array(["UTC"] * 8))
    put(lake, "user_features", features, meta={"n_users": 8})
    commits = (lake.require(name, ds=DS) for name in ("decisions", "user_features"))
    rows = messages_of_shard(lake, *commits, load_snapshot(lake, DS), [], 0)
    slot = datetime(2026, 11, 15, 9, tzinfo=UTC)
    assert set(rows["not_after"].to_pylist()) == {slot + timedelta(hours=hours)}
