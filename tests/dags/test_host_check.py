"""Airflow's API as `make up` starts it answers to this machine's own names only.

The check goes through Airflow's own plugin manager, on a real application.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from angelia.commands.loop import Steps, environment, prepare_airflow

# As the API server does: its plugins are integrated into an application, which is then asked under several
# names.
SCRIPT = """
import json, sys, warnings
warnings.simplefilter("ignore")
from fastapi import FastAPI
from starlette.testclient import TestClient
from airflow.api_fastapi.app import init_plugins

app = FastAPI()
app.add_api_route("/api/v2/dags", lambda: {"dags": []}, methods=["GET", "POST"])
init_plugins(app)
client = TestClient(app)
found = {}
for host in json.loads(sys.argv[1]):
    headers = {"Host": host}
    answers = [client.request(method, "/api/v2/dags", headers=headers) for method in ("GET", "POST")]
    found[host] = [answer.status_code for answer in answers]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return a home whose Airflow was prepared before: only its settings are written."""
    folder = tmp_path_factory.mktemp("host check") / "angelia home"
    (folder / "airflow").mkdir(parents=True)
    (folder / "airflow" / "ready").write_text("ok\n")
    prepare_airflow(Steps(folder))
    return folder


def answers(home: Path, *hosts: str, **env: str) -> dict[str, list[int]]:
    """Return the status codes of a reading and a writing request, by the name they ask for."""
    given = {**os.environ, **environment(home), "AIRFLOW__CORE__UNIT_TEST_MODE": "False", **env}
    words = [sys.executable, "-c", SCRIPT, json.dumps(hosts)]
    done = subprocess.run(
        words, env=given, cwd=home, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_airflow_answers_to_this_machines_own_names_only(home):
    own = ("localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST:43210")
    foreign = (
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "www.localhost",
        "airflow.internal",
        "0.0.0.0:8080",
    )
    statuses = answers(home, *own, *foreign)
    assert {host: statuses[host] for host in own} == {host: [200, 200] for host in own}
    assert {host: statuses[host] for host in foreign} == {host: [400, 400] for host in foreign}


def test_further_hosts_are_named_in_the_environment(home):
    statuses = answers(
        home,
        "airflow.internal:8080",
        "evil.example",
        "localhost",
        "10.0.0.7:8080",
        "[fd00::7]:8080",
        ANGELIA_AIRFLOW_HOSTS=" airflow.internal, 10.0.0.7,[fd00::7] ,",
    )
    assert statuses == {
        "airflow.internal:8080": [200, 200],
        "evil.example": [400, 400],
        "localhost": [200, 200],
        "10.0.0.7:8080": [200, 200],
        "[fd00::7]:8080": [200, 200],
    }


def test_a_home_that_stands_gets_the_check_too(home):
    """Homes prepared by an earlier version have no host check, or an older one.

    The present check is copied over it.
    """
    plugin = home / "airflow" / "plugins" / "angelia_host_check.py"
    plugin.write_text("")
    prepare_airflow(Steps(home))
    assert "TrustedHostMiddleware" in plugin.read_text()
    assert "AIRFLOW__CORE__PLUGINS_FOLDER" in (home / "airflow" / "env.sh").read_text()
