"""Two whole jobs race for the user index, each with a Spark of its own (`make soak`).

tests/unit/users/test_index.py has many small races.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.lake import Lake

pytestmark = pytest.mark.skipif(not os.environ.get("ANGELIA_SOAK"), reason="two Spark sessions: make soak")
DAYS = {"2026-11-13": range(3_000), "2026-11-14": range(1_500, 5_000)}


def test_jobs_of_two_days_at_once_and_again(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path / "lake"))
    names = ("user_id", "country", "province", "timezone")
    loose = pa.schema([field.with_nullable(True) for field in arrow.schema(dataset("user_profiles"))])
    for ds, people in DAYS.items():
        rows = [dict(zip(names, (f"u{i}", "DE", None, "UTC"), strict=True)) for i in people]
        with lake.attempt("user_profiles", ds=ds) as attempt:
            attempt.write(pa.Table.from_pylist(rows, schema=loose), "part-0000.parquet", conform=False)
            attempt.publish()
    before: dict[str, int] = {}
    for _ in range(2):  # the second time nothing is new
        environment = os.environ | {"ANGELIA_HOME": str(tmp_path)}
        jobs = [
            subprocess.Popen([sys.executable, "-m", "spark_jobs.index_users", "--ds", ds], env=environment)
            for ds in DAYS
        ]
        assert [job.wait(300) for job in jobs] == [0, 0]
        rows = lake.read(lake.require("user_index", chain="0"))
        after = dict(zip(rows["user_id"].to_pylist(), rows["ordinal"].to_pylist(), strict=True))
        assert sorted(after.values()) == list(range(5_000))
        assert len(after) == rows.num_rows
        assert before in ({}, after)
        before = after
