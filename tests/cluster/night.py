"""The first load and one night, as the DAG runs them, without Airflow.

Usage: `python -m tests.cluster.night DS MASTER [OPTION ...]`. Given options, the first job and the last are
spark-submits with them, as Airflow's operator starts each job; the others share a session, which saves the
start of a driver and of executors for each. The settings are those of the environment.
"""

from __future__ import annotations

import importlib
import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from angelia.lake.configured import open_lake
from angelia.output import run_module
from angelia.planning.guard import guard
from angelia.quality.gates import run_gate
from angelia.quality.verdicts import require_open
from spark_jobs import JOBS
from spark_jobs.running.session import spark_session
from tests.nights import GATES_BEFORE

PROJECT = Path(__file__).resolve().parents[2]


SUBMITTED = ("index_users", "emit_manifests")


def run_night(ds: str, master: str, options: Sequence[str]) -> None:
    """Run the gates and the jobs of a night in the order of the DAG."""
    lake = open_lake()
    argv = ["--ds", ds, "--judged"]
    for is_submitted, jobs in itertools.groupby(JOBS, lambda job: bool(options) and job in SUBMITTED):
        with ExitStack() as stack:
            if not is_submitted:
                stack.enter_context(spark_session("night"))
            for job in jobs:
                if gate := GATES_BEFORE.get(job):
                    require_open(gate, ds, run_gate(lake, gate, ds))
                if job == "emit_manifests":
                    guard(lake, ds)
                if is_submitted:
                    submit(job, argv, ["--master", master, *options])
                else:
                    importlib.import_module(f"spark_jobs.{job}").main(argv)


def submit(job: str, argv: Sequence[str], options: Sequence[str]) -> None:
    """Run a job by spark-submit."""
    # Of a session in this process spark-submit must not learn.
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYSPARK_")}
    words = [str(Path(os.environ["SPARK_HOME"]) / "bin" / "spark-submit"), *options]
    done = subprocess.run(
        [*words, str(PROJECT / "spark_jobs" / f"{job}.py"), *argv], env=env, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        sys.exit(done.returncode)


def main(argv: Sequence[str]) -> None:
    """Bootstrap, and run the night."""
    ds, master, *options = argv
    # Commands and sessions take the master from here.
    os.environ["ANGELIA_SPARK_MASTER"] = master
    run_module(["angelia.cli", "bootstrap", "--ds", ds, "--train-days", "7", "--json"])
    run_night(ds, master, options)


if __name__ == "__main__":
    main(sys.argv[1:])
