"""A night's jobs without Airflow, for tests of what comes before and after them."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from angelia.commands.loop import environment
from angelia.lake import Lake
from angelia.planning.guard import guard
from angelia.quality.gates import run_gate
from angelia.quality.verdicts import require_open
from spark_jobs import JOBS

GATES_BEFORE = {"index_users": "sources", "build_bitmaps": "features", "emit_manifests": "plan"}


def run_night(home: Path, day: str, *, shard_bits: int) -> None:
    """Run a night's jobs and gates in this test run's Spark session, in the order of the DAG.

    A session for each job, as under Airflow, takes minutes.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**environment(home), "ANGELIA_SHARD_BITS": str(shard_bits)}.items():
            patch.setenv(name, value)
        lake = Lake.open(str(home / "lake"))
        for job in JOBS:
            # Jobs read what the gates judged, so a night that is run again is judged again.
            if gate := GATES_BEFORE.get(job):
                require_open(gate, day, run_gate(lake, gate, day))
            if job == "emit_manifests":
                guard(lake, day)
            importlib.import_module(f"spark_jobs.{job}").main(["--ds", day])
