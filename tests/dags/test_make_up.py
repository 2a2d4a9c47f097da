"""What `make up` says about paused DAGs, and that NIGHTS=on really switches them on: the Makefile's own words, on an Airflow of their own."""

import os
import re
import sqlite3
import subprocess
from contextlib import closing

import pytest

from angelia.loop import PROJECT, Steps, environment, prepare_airflow


def recipe(nights: str = "") -> str:
    """Return the commands of `make up`, which are printed, not run."""
    words = ["make", "--dry-run", "--old-file=setup", "up", f"NIGHTS={nights}"]
    return subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=True).stdout


def paused(home) -> dict[str, int]:
    with closing(sqlite3.connect(home / "airflow" / "airflow.db")) as connection:
        return dict(connection.execute("SELECT dag_id, is_paused FROM dag"))


def test_make_up_says_that_new_dags_are_paused():
    said = recipe().splitlines()
    [closing_line] = [line for line in said if "New DAGs are paused" in line]
    assert "make down up NIGHTS=on" in closing_line


def test_a_mistyped_switch_is_an_error():
    done = subprocess.run(["make", "--old-file=setup", "up", "NIGHTS=yes"], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: NIGHTS is on, or left out\n")


@pytest.mark.slow
def test_nights_on_switches_every_dag_on_before_airflow_starts(tmp_path, dags):
    home = tmp_path / "angelia home"
    steps = Steps(home)
    prepare_airflow(steps)
    on = recipe("on")
    found = re.search(r"airflow dags reserialize && airflow dags unpause [^;]+", on)
    assert found
    assert on.index(found[0]) < on.index("airflow standalone")
    done = subprocess.run(["bash", "-c", found[0]], env={**os.environ, **environment(home)}, cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert paused(home) == dict.fromkeys(dags, 0)
