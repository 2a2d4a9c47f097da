"""Backfills, replays and a resend on a real scheduler (`airflow standalone`).

Backfills and replays write branches, send nothing and leave main as it was; a resend asks. Five hundred
people, three days. Run by `make test-scheduler`: nearly fifty tasks, each a process of its own.
"""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pyarrow.compute as pc
import pytest

from angelia.commands.loop import PROJECT, Steps, environment, prepare_airflow, sandbox
from angelia.lake import Lake
from tests.nights import run_night

DAYS = ("2026-11-12", "2026-11-13", "2026-11-14")
LAST = DAYS[-1]
NOW = "2026-11-16T05:30:00+00:00"  # within the day that a transactional message may still go
pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.scheduler]


def command(home: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command as an operator would."""
    given = {**os.environ, **environment(home), "ANGELIA_SHARD_BITS": "8", **env}
    argv = [sys.executable, "-m", "angelia.cli", *words, "--json"]
    return subprocess.run(
        argv, env=given, cwd=PROJECT, capture_output=True, text=True, timeout=600, check=False
    )


def angelia(home: Path, *words: str, **env: str) -> dict:
    """Run a command that must work; return its JSON object."""
    done = command(home, *words, **env)
    assert done.returncode == 0, done.stderr[-3000:]
    last = done.stdout.strip().splitlines()[-1:]
    return json.loads(last[0]) if last and last[0].startswith("{") else {}


@pytest.fixture(scope="module")
def home(tmp_path_factory, spark) -> Path:
    """Return a home with three nights of main, each decided and delivered.

    Its path has a space, and the last night is reported. In that night a transactional campaign was stopped
    during delivery, and resumed since.
    """
    folder = tmp_path_factory.mktemp("back fill") / "angelia home"
    steps = Steps(folder)
    prepare_airflow(steps)
    steps.run(
        "airflow",
        [sys.executable, "-m", "airflow", "pools", "set", "spark", "2", "nights of five hundred people"],
    )
    angelia(folder, "world", "create", "--users", "500", "--days", "14", "--ds", DAYS[0])
    angelia(folder, "catalog", "apply", str(PROJECT / "campaigns"), "--actor", "test")
    angelia(folder, "bootstrap", "--ds", DAYS[0])
    with sandbox(steps) as at:
        for day in DAYS:
            angelia(folder, "catalog", "snapshot", "--ds", day)
            run_night(folder, day, shard_bits=8)
            if day == LAST:
                angelia(
                    folder, "catalog", "stop", "order_update", "--reason", "wrong link", "--actor", "test"
                )
            angelia(folder, "deliver", "--ds", day, "--all-hours", "--clock", "simulated", **at)
            if day != LAST:
                angelia(folder, "world", "respond", "--ds", day)  # and the sources of the day after
    angelia(folder, "catalog", "resume", "order_update", "--actor", "test")
    angelia(folder, "report", "--ds", LAST)
    return folder


@pytest.fixture(scope="module")
def api(home):
    """Run Airflow's own processes; yields its REST interface."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {
        **Steps(home).env,
        "ANGELIA_SHARD_BITS": "8",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",  # today's own night has no sources here
        "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",  # nobody edits the DAGs meanwhile
    }
    airflow = Processes(home, env)
    try:
        airflow.start("standalone")
        yield Api(f"http://127.0.0.1:{port}", airflow, env)
    finally:
        airflow.stop()


class Processes:
    """Airflow's processes, of which the scheduler is started again when it ends, as a supervisor would.

    On SQLite it can meet a run whose row another process has just taken back, and ends; `standalone` says so
    and goes on without.
    """

    ENDED = "Exception when executing SchedulerJob._run_scheduler_loop"

    def __init__(self, home: Path, env: dict[str, str]) -> None:
        self.home, self.env = home, env
        self.path = home / "logs" / "standalone.log"
        self.path.write_text("")
        self.running: list[subprocess.Popen] = []

    def start(self, name: str) -> None:
        with self.path.open("a") as log:
            words = [sys.executable, "-m", "airflow", name]
            own = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "start_new_session": True}
            self.running.append(subprocess.Popen(words, env=self.env, cwd=self.home, **own))

    def look_after(self) -> None:
        assert self.running[0].poll() is None, "Airflow ended"
        if self.path.read_text(errors="replace").count(self.ENDED) >= len(self.running):
            self.start("scheduler")

    def stop(self) -> None:
        for process in reversed(self.running):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.running:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


class Api:
    """Airflow's REST interface, once it answers and knows the DAGs."""

    def __init__(self, url: str, airflow: Processes, env: dict[str, str]) -> None:
        self.url, self.airflow, self.env, self.token = url, airflow, env, ""
        self.wait(120, lambda: self._login())
        self.wait(
            120,
            lambda: (
                {"nightly_personalization", "campaign_backfill"}
                <= {dag["dag_id"] for dag in self.call("GET", "/dags")["dags"]}
            ),
        )
        for dag in ("nightly_personalization", "campaign_backfill"):
            self.call("PATCH", f"/dags/{dag}", {"is_paused": False})

    def _login(self) -> bool:
        try:
            self.token = json.load(urllib.request.urlopen(f"{self.url}/auth/token", timeout=5))[
                "access_token"
            ]
        except (OSError, ValueError):
            return False
        return True

    def call(self, method: str, path: str, body: object = None) -> dict:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.url}/api/v2{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def wait(self, seconds: float, done) -> None:
        until = time.monotonic() + seconds
        while not done():
            self.airflow.look_after()
            assert time.monotonic() < until, f"not within {seconds:g} s"
            time.sleep(1.0)

    def states(self, dag: str, run: str) -> dict[str, str]:
        instances = self.call("GET", f"/dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]
        return {one["task_id"]: one["state"] for one in instances}

    def trigger(self, dag: str, conf: dict) -> str:
        return self.call("POST", f"/dags/{dag}/dagRuns", {"logical_date": None, "conf": conf})["dag_run_id"]

    def ended(self, dag: str, run: str) -> bool:
        return self.call("GET", f"/dags/{dag}/dagRuns/{run}")["state"] in ("success", "failed")

    def asked(self, dag: str, run: str, task: str) -> dict:
        """Wait until a task asks, and return the question."""
        self.wait(180, lambda: self.states(dag, run).get(task) == "awaiting_input")
        # Airflow takes an answer that comes before it has noted the end of the asking process for a failure;
        # a person takes longer.
        time.sleep(10)
        return self.call("GET", f"/dags/{dag}/dagRuns/{run}/hitlDetails")["hitl_details"][0]

    def answer(self, dag: str, run: str, task: str, option: str) -> str:
        """Wait until a task asks, answer its form, and return the question's body."""
        question = self.asked(dag, run, task)
        form = {name: field["value"] for name, field in question["params"].items()}
        body = {"chosen_options": [option], "params_input": form}
        self.call("PATCH", f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/-1/hitlDetails", body)
        return str(question["body"])


def of_main(home: Path) -> dict[str, str]:
    """Return the hashes of all files that a replay must not touch.

    These are every file of main, its verdicts, reports and models, and the worker's own files. HOME/metrics
    is left out: `plan replay` is a step of its own, which writes there how its last run went.
    """
    roots = [
        home / "lake" / name
        for name in ("main", "quality/main", "seals", "claims", "intents", "outcomes", "followups", "done")
    ]
    roots += [home / "reports", home / "models", home / "catalog.db"]
    files = [
        path
        for root in roots
        for path in ([root] if root.is_file() else sorted(root.rglob("*")))
        if path.is_file()
    ]
    return {
        path.relative_to(home).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def test_airflows_own_backfill_replays_on_branches_only(home, api):
    before = of_main(home)
    words = [
        "--dag-id",
        "nightly_personalization",
        "--from-date",
        DAYS[0],
        "--to-date",
        "2026-11-15",
        "--max-active-runs",
        "3",
    ]
    create = [
        sys.executable,
        "-m",
        "airflow",
        "backfill",
        "create",
        *words,
        "--dag-run-conf",
        json.dumps({"clock": "simulated"}),
    ]
    for _ in range(20):
        done = subprocess.run(
            create, env=api.env, cwd=home, capture_output=True, text=True, timeout=120, check=False
        )
        if "database is locked" not in done.stderr:
            break
        time.sleep(
            2
        )  # SQLite has one writer; Airflow takes back what it had created, and means us to try again
    assert done.returncode == 0, done.stderr[-3000:]

    def runs() -> list[dict]:
        runs_of_dag = api.call("GET", "/dags/nightly_personalization/dagRuns?limit=50")["dag_runs"]
        return [run for run in runs_of_dag if run["run_type"] == "backfill"]

    api.wait(1500, lambda: len(runs()) == 3 and all(run["state"] in ("success", "failed") for run in runs()))
    assert [run["state"] for run in runs()] == ["success"] * 3, [
        api.states("nightly_personalization", run["dag_run_id"]) for run in runs()
    ]
    assert of_main(home) == before
    main = Lake.open(str(home / "lake"))
    for day in DAYS:
        branch = Lake.open(str(home / "lake"), branch=f"replay-{day}")
        plan, manifest = branch.require("decisions", ds=day), branch.require("dispatch_manifest", ds=day)
        assert plan.branch == manifest.branch == f"replay-{day}"
        assert plan.meta["outcomes"]["sent"] > 50
    # The same night from the same sources is the same decision.
    again = Lake.open(str(home / "lake"), branch=f"replay-{LAST}").require("decisions", ds=LAST)
    assert [entry.sha256 for entry in again.files] == [
        entry.sha256 for entry in main.require("decisions", ds=LAST).files
    ]
    asked = api.call("GET", "/dags/nightly_personalization/dagRuns/~/hitlDetails")["hitl_details"]
    assert asked == []  # a replay asks nobody


def test_a_replay_cannot_be_sent(home):
    before = of_main(home)
    branch = f"replay-{LAST}"
    done = command(
        home, "deliver", "--ds", LAST, "--all-hours", "--clock", "simulated", ANGELIA_BRANCH=branch
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        f"error: branch {branch} is a replay; only main can be sent; unset ANGELIA_BRANCH"
        in done.stderr.splitlines()
    )
    assert of_main(home) == before, "seals and claims lie in the lake's root, whatever the branch"


def test_a_campaign_with_other_caps_is_replayed_beside_main(home, api):
    before = of_main(home)
    sent = Lake.open(str(home / "lake")).require("decisions", ds=LAST).meta["by_campaign"]
    campaign = max((name for name in sent if name != "order_update"), key=sent.__getitem__)
    conf = {
        "mode": "replay",
        "first": LAST,
        "last": LAST,
        "changes": {campaign: {"caps": [{"messages": 0, "days": 1}]}},
    }
    run = api.trigger("campaign_backfill", conf)
    api.wait(300, lambda: api.ended("campaign_backfill", run))
    states = api.states("campaign_backfill", run)
    assert states["replay"] == "success", states
    assert states["resend"] == states["count_resend"] == "skipped"
    assert of_main(home) == before
    result = api.call(
        "GET",
        f"/dags/campaign_backfill/dagRuns/{run}/taskInstances/replay/xcomEntries/return_value?deserialize=true",
    )["value"]
    (day,) = result["days"]
    assert day["campaigns"][campaign] == {
        "main": sent[campaign],
        "replay": 0,
        "both": 0,
        "gained": 0,
        "lost": sent[campaign],
    }
    assert result["branch"].startswith(f"replay-{LAST}-")


def ledger(home: Path) -> dict[str, str]:
    lake = Lake.open(str(home / "lake"))
    outcomes = {}
    for leaf in lake.partitions("delivery_ledger", ds=LAST):
        table = lake.read(lake.require("delivery_ledger", **leaf))
        mine = table.filter(pc.equal(table["campaign_id"], "order_update"))
        outcomes |= dict(zip(mine["dispatch_id"].to_pylist(), mine["outcome"].to_pylist(), strict=True))
    return outcomes


def test_a_resend_asks_and_sends_what_the_ledger_lacks(home, api):
    held = ledger(home)
    assert held
    assert set(held.values()) == {"skipped"}
    conf = {"mode": "resend", "first": LAST, "last": LAST, "campaigns": ["order_update"], "now": NOW}
    before = of_main(home)
    refused = api.trigger("campaign_backfill", conf)
    question = api.answer("campaign_backfill", refused, "approve_resend", "Reject")
    api.wait(120, lambda: api.ended("campaign_backfill", refused))
    assert api.states("campaign_backfill", refused)["resend"] == "skipped"
    assert of_main(home) == before
    wanted = int(question.split("**")[1].split()[0])
    assert 0 < wanted <= len(held)

    marked = api.trigger("campaign_backfill", conf)
    question = api.asked("campaign_backfill", marked, "approve_resend")
    again = {"dry_run": False, "dag_run_id": marked, "task_ids": ["approve_resend"]}
    api.call("POST", "/dags/campaign_backfill/clearTaskInstances", {**again, "only_failed": False})
    api.wait(60, lambda: api.states("campaign_backfill", marked)["approve_resend"] != "awaiting_input")
    cleared = api.asked("campaign_backfill", marked, "approve_resend")
    assert cleared["body"] == question["body"], "Airflow keeps what was asked first, deadline included"
    assert cleared["params"] == question["params"]
    task = f"/dags/campaign_backfill/dagRuns/{marked}/taskInstances/approve_resend"
    api.call("PATCH", task, {"new_state": "success"})
    api.wait(120, lambda: api.ended("campaign_backfill", marked))
    states = api.states("campaign_backfill", marked)
    assert (states["approve_resend"], states["resend"]) == ("success", "failed")
    assert of_main(home) == before, "a question that is marked as success sends nothing"

    approved = api.trigger("campaign_backfill", conf)
    api.answer("campaign_backfill", approved, "approve_resend", "Approve")
    api.wait(120, lambda: api.ended("campaign_backfill", approved))
    assert api.states("campaign_backfill", approved)["resend"] == "success"
    received = home / "sandbox" / "received.json"
    shutil.copy(received, home / "received-before.json")
    with sandbox(Steps(home)) as at:
        angelia(home, "deliver", "--ds", LAST, "--all-hours", "--clock", "simulated", **at)
    after = ledger(home)
    assert sum(outcome == "accepted" for outcome in after.values()) == wanted
    counts = json.loads(received.read_text())
    assert set(counts.values()) == {1}
    assert {key for key, outcome in after.items() if outcome == "accepted"} <= set(counts)
