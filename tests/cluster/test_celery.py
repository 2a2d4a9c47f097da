"""Airflow on Celery: a night and its hour on two workers, one of which is killed.

PostgreSQL holds Airflow's database, Redis the queue. The killed worker's part is taken over by the retry of
the task it had, on the other worker, in the same run. The sandbox counts what arrived.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from angelia.commands.loop import PROJECT
from angelia.delivery.manifest import sample_plan
from angelia.delivery.pools import airflow_pools
from angelia.lake import Lake
from tests.cluster.celery_site import WORKERS, PatientApi, Services, redis, run, service, settings, worker
from tests.faults.conftest import Sandbox, Site
from tests.faults.conftest import running as sandbox
from tests.unit.catalog.servers import Server, postgresql

__all__ = ["postgresql"]
NIGHT, LATER = "2026-11-14", "2026-11-20"
ROWS, PARTS, SENT_BEFORE = 24_000, 2, 600
OPEN_ROWS = 4 * 2_000  # of a worker's open batches
RULES = "rules:\n  - {match: {token_prefix: slow-}, then: {delay_s: 1.0}}\n"
pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@dataclass
class Installation:
    """Airflow with two workers, the lake, and the sandbox that all messages go to."""

    home: Path
    lake: Lake
    phones: Sandbox
    api: PatientApi
    workers: dict[str, object]

    def hour(self, now: str) -> str:
        """Trigger a rehearsed hour; return its run."""
        return self.api.trigger("hourly_dispatch", {"now": now, "clock": "simulated"})


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory, postgresql: Server) -> Iterator[Installation]:
    """Start everything; a population of 500 is in the lake."""
    folder = tmp_path_factory.mktemp("celery")
    home, phones_home = folder / "home", folder / "sandbox"
    (home / "airflow" / "plugins").mkdir(parents=True)
    phones_home.mkdir()
    (phones_home / "rules.yaml").write_text(RULES)
    with ExitStack() as stack:
        phones = stack.enter_context(sandbox(phones_home, "--rules", str(phones_home / "rules.yaml")))
        database = stack.enter_context(postgresql.database())
        broker = stack.enter_context(redis(folder))
        env = settings(home, database, broker) | {
            "ANGELIA_FCM_URL": phones.names["url"],
            "ANGELIA_CA_FILE": phones.names["ca_file"],
            "ANGELIA_FCM_CREDENTIALS": phones.names["credentials"],
        }
        run(env, "airflow", "db", "migrate")
        (home / "pools.json").write_text(json.dumps(airflow_pools(2)))
        run(env, "airflow", "pools", "import", str(home / "pools.json"))
        angelia = "angelia.cli"
        run(env, angelia, "catalog", "apply", str(PROJECT / "campaigns"), "--actor", "test", "--on", NIGHT)
        run(env, angelia, "world", "create", "--users", "500", "--days", "14", "--ds", NIGHT)
        run(env, angelia, "bootstrap", "--ds", NIGHT)
        words = {
            "api": ("api-server", "--port", env["AIRFLOW__API__PORT"], "--workers", "1"),
            "scheduler": ("scheduler",),
            "dags": ("dag-processor",),
        }
        services = {
            name: stack.enter_context(service(home, env, name, *argv)) for name, argv in words.items()
        }
        workers = {name: stack.enter_context(worker(home, env, name)) for name in WORKERS}
        api = PatientApi(env["AIRFLOW__API__BASE_URL"], Services(services), env)
        api.call("PATCH", "/dags/hourly_dispatch", {"is_paused": False})
        yield Installation(home, Lake.open(str(home / "lake")), phones, api, workers)


def test_a_night_and_its_hour_run_on_both_workers(airflow: Installation) -> None:
    api, lake = airflow.api, airflow.lake
    body = {
        "logical_date": f"{NIGHT}T02:00:00Z",
        "conf": {"mode": "plan", "clock": "simulated", "ask": False},
    }
    night = api.call("POST", "/dags/nightly_personalization/dagRuns", body)["dag_run_id"]
    api.wait(600, lambda: api.ended("nightly_personalization", night))
    tasks = api.tasks("nightly_personalization", night)
    states = {task["task_id"]: task["state"] for task in tasks}
    assert states["emit_manifests"] == "success", states
    hosts = Counter(task["hostname"] for task in tasks if task["hostname"])
    assert set(hosts) <= set(WORKERS)
    manifest = lake.require("dispatch_manifest", ds=NIGHT)
    assert manifest.rows > 50
    busiest = max(hours(lake), key=hours(lake).__getitem__)
    # A minute before it ends, so that the hours before are due, too.
    hour = airflow.hour(f"{busiest}:59:00+00:00")
    api.wait(300, lambda: api.ended("hourly_dispatch", hour))
    sent = [task for task in api.tasks("hourly_dispatch", hour) if task["task_id"].startswith("fan_out_")]
    assert {task["state"] for task in sent} <= {"success", "skipped"}
    print(f"night: {manifest.rows} messages; tasks by worker {dict(hosts)}")


def hours(lake: Lake) -> Counter[str]:
    """Return the rows of the night's manifest that go by FCM, by hour."""
    rows: Counter[str] = Counter()
    for entry in lake.require("dispatch_manifest", ds=NIGHT).files:
        if entry.keys["channel"] == "fcm":
            rows[entry.keys["send_hour"]] += entry.rows
    return rows


def test_a_killed_workers_part_is_taken_over_in_its_run(airflow: Installation) -> None:
    api = airflow.api
    changes = {
        "guarantee": "at_most_once",
        "user_id": "killed-{}".format,
        "message_id": lambda number: sample_plan.ids.message_id("price_drop", f"killed-{number}", "once"),
        "address": "slow-{}".format,
    }
    sample_plan.make(airflow.lake, LATER, ROWS, part_rows=ROWS // PARTS, changes=changes)
    site = Site(airflow.home, airflow.phones, airflow.lake, LATER)
    hour = airflow.hour("2026-11-21T04:10:00+00:00")

    def sending() -> dict[str, str]:
        tasks = api.tasks("hourly_dispatch", hour)
        return {
            task["hostname"]: task["id"]
            for task in tasks
            if task["task_id"] == "fan_out_fcm" and task["state"] == "running"
        }

    api.wait(300, lambda: len(sending()) == PARTS)
    held = sending()
    assert set(held) == set(WORKERS)
    api.wait(120, lambda: len(site.received()) > SENT_BEFORE)
    # The worker, Airflow's supervisor, the task and the delivery: all that is in its namespace.
    airflow.workers["worker1"].kill()
    before = len(site.received())
    assert before < ROWS, "the worker had sent everything before it was killed"
    api.wait(600, lambda: api.ended("hourly_dispatch", hour))
    parts = [task for task in api.tasks("hourly_dispatch", hour) if task["task_id"] == "fan_out_fcm"]
    assert [task["state"] for task in parts] == ["success"] * PARTS
    again = [task for task in parts if task["try_number"] > 1]
    assert [task["hostname"] for task in again] == ["worker2"]
    received, ledger = site.received(), site.ledger(LATER)
    assert set(ledger) == site.dispatches  # lost 0: each is accounted for
    assert max(received.values()) == 1  # doubled 0
    words = Counter(ledger.values())
    assert set(words) <= {"accepted", "ambiguous"}
    assert set(site.dispatches - received.keys()) <= {d for d in ledger if ledger[d] == "ambiguous"}
    assert words["ambiguous"] <= OPEN_ROWS
    print(f"{before} of {ROWS} sent when the worker was killed; in the end {dict(words)}, lost 0, doubled 0")
