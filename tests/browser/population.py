"""A planned and indexed night of 600 people, for Audiences, People, what-ifs and replays."""

from __future__ import annotations

import os

from angelia.audience.bitmaps.index import Index
from angelia.audience.holdout import Holdout
from angelia.contracts import arrow, dataset
from angelia.contracts.rows import valid_rows
from angelia.lake.configured import open_lake
from spark_jobs import build_bitmaps, plan_dispatch
from spark_jobs.running.spread import in_processes
from spark_jobs.select_audiences import hold_out
from tests.planned_night import put
from tests.unit.spark_jobs.test_plan_dispatch import DS, POLICY, prepare_night

PEOPLE = 40  # of whom addresses and preferences are known


def populate() -> str:
    """Write the night into the configured lake; return its day."""
    os.environ["ANGELIA_SPARK_MASTER"] = "inline"
    lake = open_lake()
    prepare_night(lake, 14)
    features = lake.read(lake.require("user_features", ds=DS))
    with lake.attempt("user_features", ds=DS) as attempt:
        attempt.write(features, "part-0000.parquet", conform=False, shards=(0, 0))
        attempt.publish(inputs=[lake.require("user_index", chain="0")])
    put(lake, "user_days", arrow.schema(dataset("user_days")).empty_table())
    put(lake, "user_endpoints", valid_rows("user_endpoints", PEOPLE))
    put(lake, "user_preferences", valid_rows("user_preferences", PEOPLE))
    build_bitmaps.main(["--ds", DS])
    hold_out(lake, DS, Index.open(lake, DS), Holdout(**POLICY["holdout"]), in_processes)
    plan_dispatch.main(["--ds", DS])
    del os.environ["ANGELIA_SPARK_MASTER"]
    return DS
