"""What `make up` says about paused DAGs, and that NIGHTS=on switches them on.

The Makefile's own recipe runs on an Airflow of its own.
"""

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from angelia.commands.loop import PROJECT, Steps, environment, prepare_airflow
from angelia.errors import InvalidInput


def recipe(nights: str = "") -> str:
    """Return the commands of `make up`, which are printed, not run."""
    words = ["make", "--dry-run", "--old-file=setup", "up", f"NIGHTS={nights}"]
    return subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=True).stdout


def paused(home) -> dict[str, int]:
    with closing(sqlite3.connect(home / "airflow" / "airflow.db")) as connection:
        return dict(connection.execute("SELECT dag_id, is_paused FROM dag"))


def test_make_up_says_that_new_dags_are_paused():
    lines = recipe().splitlines()
    [closing_line] = [line for line in lines if "New DAGs are paused" in line]
    assert "make down up NIGHTS=on" in closing_line


def test_a_mistyped_switch_is_an_error():
    done = subprocess.run(
        ["make", "--old-file=setup", "up", "NIGHTS=yes"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: NIGHTS is on, or left out\n")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return a home with an Airflow that nobody has started yet."""
    folder = tmp_path_factory.mktemp("make up") / "angelia home"
    prepare_airflow(Steps(folder))
    return folder


@pytest.mark.slow
def test_nights_on_switches_every_dag_on_before_airflow_starts(home, dags):
    on = recipe("on")
    command = re.search(r"airflow dags reserialize && airflow dags unpause [^;]+", on)
    assert command
    assert on.index(command[0]) < on.index("airflow standalone")
    done = subprocess.run(
        ["bash", "-c", command[0]],
        env={**os.environ, **environment(home)},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert paused(home) == dict.fromkeys(dags, 0)


# Airflow's own application, asked without a password, and with the one it has generated.
SCRIPT = """
import json, os, warnings
warnings.simplefilter("ignore")
from starlette.testclient import TestClient
from airflow.api_fastapi.app import create_app

client = TestClient(create_app(), base_url="http://localhost:8080")
file = os.environ.get("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE")
found = {"stranger": client.get("/api/v2/pools").status_code, "token": client.get("/auth/token").status_code}
if file:
    login = {"username": "ada", "password": json.load(open(file))["ada"]}
    token = client.post("/auth/token", json=login).json()["access_token"]
    found["ada"] = client.get("/api/v2/pools", headers={"Authorization": "Bearer " + token}).status_code
    found["mode"] = oct(os.stat(file).st_mode & 0o777)
print(json.dumps(found))
"""


@pytest.mark.slow
def test_a_named_user_has_a_password_and_strangers_none(home, monkeypatch):
    def ask():
        steps = Steps(home)
        prepare_airflow(steps)
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env=steps.env,
            cwd=home,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.strip().splitlines()[-1])

    assert ask() == {"stranger": 200, "token": 201}
    monkeypatch.setenv("ANGELIA_AIRFLOW_USER", "ada")
    answers_of = ask()
    assert (answers_of["stranger"], answers_of["ada"], answers_of["mode"]) == (401, 200, "0o600")
    assert answers_of["token"] >= 400


def test_a_user_name_that_would_be_a_setting_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ANGELIA_AIRFLOW_USER", "ada:admin,eve")
    with pytest.raises(InvalidInput, match="ANGELIA_AIRFLOW_USER"):
        environment(tmp_path)
