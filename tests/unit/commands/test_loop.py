"""The sample loop: what it corrects in Airflow's database.

The whole loop runs in tests/integration/test_loop.py.
"""

from __future__ import annotations

import importlib.util
import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from angelia.commands.loop import Steps, environment, prepare_airflow, start_as_it_was

SCHEMA = """
CREATE TABLE dag_run (dag_id TEXT, run_id TEXT, logical_date TEXT, start_date TEXT, end_date TEXT);
CREATE TABLE task_instance (dag_id TEXT, run_id TEXT, start_date TEXT);
INSERT INTO dag_run VALUES
    ('nightly', 'test', '2026-11-15 02:00:00', '2026-11-15 02:00:00', '2026-11-28 08:10:00'),
    ('nightly', 'idle', '2026-11-16 02:00:00', '2026-11-16 02:00:00', NULL),
    ('hourly', 'real', '2026-11-28 08:00:00', '2026-11-28 08:00:03', '2026-11-28 08:01:00');
INSERT INTO task_instance VALUES
    ('nightly', 'test', '2026-11-28 08:03:00'), ('nightly', 'test', '2026-11-28 08:02:00'),
    ('hourly', 'real', '2026-11-28 08:00:10'), ('nightly', 'idle', NULL);
"""


def test_a_sample_run_lasts_as_long_as_it_took(tmp_path: Path) -> None:
    database = tmp_path / "airflow.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(SCHEMA)
    start_as_it_was(database)
    with closing(sqlite3.connect(database)) as connection:
        starts = dict(connection.execute("SELECT run_id, start_date FROM dag_run"))
    assert starts == {
        "test": "2026-11-28 08:02:00",
        "idle": "2026-11-16 02:00:00",
        "real": "2026-11-28 08:00:03",
    }


def test_a_database_of_another_shape_stops_no_night(tmp_path: Path) -> None:
    start_as_it_was(tmp_path / "none.db")


def test_every_path_of_airflows_own_follows_a_moved_home(tmp_path: Path) -> None:
    """What Airflow writes into airflow.cfg on the first day is overridden by name."""
    spec = importlib.util.find_spec("airflow")
    (folder,) = spec.submodule_search_locations[:1] if spec and spec.submodule_search_locations else ("",)
    sections = yaml.load(
        (Path(folder) / "config_templates" / "config.yml").read_text("utf-8"), Loader=yaml.CSafeLoader
    )
    of_home = {
        f"AIRFLOW__{section}__{option}".upper()
        for section, described in sections.items()
        for option, about in described["options"].items()
        if "{AIRFLOW_HOME}" in str(about.get("default"))
    }
    moved = environment(tmp_path / "moved")
    assert len(of_home) > 3
    assert of_home <= moved.keys()
    assert str(tmp_path / "moved") in moved["AIRFLOW__LOGGING__BASE_LOG_FOLDER"]


GIVEN = {
    "ANGELIA_LAKE": "s3://bucket/lake",
    "ANGELIA_S3_ENDPOINT": "http://127.0.0.1:8333",
    "ANGELIA_CATALOG": "postgresql+psycopg://angelia:a secret@db/angelia",
    "ANGELIA_SPARK_CONF": "spark.executor.memory=8g",
    "AIRFLOW_CONN_SPARK_DEFAULT": '{"conn_type": "spark", "host": "spark://host:7077"}',
}


def test_a_later_shell_has_the_settings_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "a home"
    (home / "airflow").mkdir(parents=True)
    (home / "airflow" / "ready").touch()  # Airflow's database is not asked
    monkeypatch.chdir(tmp_path)
    more = {"ANGELIA_MODELS": "models of mine", "ANGELIA_BRANCH": "replay-1", "ANGELIA_HOME": "elsewhere"}
    for name, value in {**GIVEN, **more}.items():
        monkeypatch.setenv(name, value)
    prepare_airflow(Steps(home))
    file = home / "airflow" / "env.sh"
    assert file.stat().st_mode & 0o777 == 0o600
    printed = subprocess.run(
        ["bash", "-c", '. "$0" && env -0', str(file)],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    there = dict(line.split("=", 1) for line in printed.split("\0") if line)
    assert {name: there.get(name) for name in GIVEN} == GIVEN
    assert there["ANGELIA_MODELS"] == str(tmp_path / "models of mine")
    assert there["ANGELIA_HOME"] == str(home)
    assert "ANGELIA_BRANCH" not in there
