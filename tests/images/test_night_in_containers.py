"""A night and its hour through the services of docker/compose.yaml, in containers.

Airflow's Celery workers run the tasks, Spark's workers the jobs' partitions. These share a network and an S3
server with their drivers, and nothing else. The sandbox counts what arrived, Prometheus what was written.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.images.containers import Podman, Services, missing, services
from tests.images.test_observability import SELECTOR, queries

NIGHT, PEOPLE, DAYS = "2026-11-14", "2000", "14"
STEP_S = 3600.0  # the longest that start, first load or night may take
MASTER = "spark://spark-master:7077"
# Small enough for a machine of two cores beside seventeen containers.
SIZES = {
    "SHARD_BITS": "8", "WORKER_CONCURRENCY": "2", "SPARK_CORES": "2", "SPARK_EXECUTOR_MEMORY": "768m",
    "SPARK_WORKER_CORES": "1", "SPARK_WORKER_MEMORY": "1g",
}  # fmt: skip
MADE = (
    *("user_index", "user_days", "user_pushes", "user_features", "send_times", "bitmap_days"),
    *("bitmap_index", "audience_members", "holdout_members", "material_scores", "catalog_snapshot"),
    *("decisions", "dispatch_manifest"),
)
READ = """
import json, sys
from collections import Counter
from urllib.request import urlopen
from angelia.lake.configured import open_lake
given = json.loads(sys.argv[1])
lake = open_lake()
made = {name: lake.require(name, **leaf).rows for name in given["made"] for leaf in lake.partitions(name)}
manifest, ledger = lake.require("dispatch_manifest", ds=given["ds"]), {}
hours, planned = Counter(), {}
for entry in manifest.files:
    if entry.keys["channel"] == "fcm":
        hours[entry.keys["send_hour"]] += entry.rows
        ids = lake.read_file(entry, ["dispatch_id"])["dispatch_id"].to_pylist()
        planned.update(dict.fromkeys(ids, entry.keys["send_hour"]))
for leaf in lake.partitions("delivery_ledger", ds=given["ds"]):
    table = lake.read(lake.require("delivery_ledger", **leaf), ["dispatch_id", "outcome"])
    ledger.update(zip(table["dispatch_id"].to_pylist(), table["outcome"].to_pylist()))
received = json.load(urlopen("http://sandbox:8444/received", timeout=60))
print(json.dumps({"made": made, "hours": hours, "planned": planned, "ledger": ledger, "received": received}))
"""
# Those of the environment; the project's own code stands beside it.
INSTALLED = """
import json, sysconfig
from importlib.metadata import distributions
found = distributions(path=[sysconfig.get_path("purelib")])
print(json.dumps([(one.metadata["Name"], one.version) for one in found]))
"""
ASK = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=60).read().decode())"
pytestmark = [
    pytest.mark.images,
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=missing() or "everything is here"),
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Build the images, start the services, and load a world from a worker's container."""
    podman = Podman(tmp_path_factory.mktemp("images"))
    took(podman.build_all, "images built")
    with services(podman, STEP_S, **SIZES) as started:
        world = ("world", "create", "--users", PEOPLE, "--days", DAYS, "--ds", NIGHT)
        started.within("airflow-worker", "angelia", *world)
        load = ("angelia", "bootstrap", "--ds", NIGHT)
        took(
            lambda: started.within("airflow-worker", *load, timeout=STEP_S, ANGELIA_SPARK_MASTER=MASTER),
            "loaded",
        )
        yield started


def took(do: Any, what: str) -> None:
    """Do something and print how long it took."""
    since = time.monotonic()
    do()
    print(f"{what} in {time.monotonic() - since:.0f} s", flush=True)


def read(project: Services) -> dict[str, Any]:
    """Return what the bucket and the sandbox hold, as a container sees them."""
    given = json.dumps({"ds": NIGHT, "made": MADE})
    return dict(json.loads(project.within("airflow-worker", "python", "-c", READ, given)))


@pytest.fixture(scope="module")
def planned(project: Services) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run a night by Airflow; return its tasks and what it made."""
    conf = {"mode": "plan", "clock": "simulated", "ask": False}
    body = {"logical_date": f"{NIGHT}T02:00:00Z", "conf": conf}
    since = time.monotonic()
    tasks = project.ran("nightly_personalization", body, STEP_S)
    states = dict(Counter(task["state"] for task in tasks))
    print(f"night in {time.monotonic() - since:.0f} s: {states}", flush=True)
    seconds = {task["task_id"]: round(task["duration"]) for task in tasks if task["duration"]}
    print(f"seconds by task: {seconds}", flush=True)
    return tasks, read(project)


def test_executors_share_no_disk_with_drivers(project: Services) -> None:
    workers = project.inspect("spark-worker")
    assert len(workers) == 2
    assert [worker["Mounts"] for worker in workers] == [[], []]


def test_the_image_lists_its_python_packages(project: Services) -> None:
    components = json.loads(project.within("airflow-worker", "cat", "/opt/angelia/sbom.json"))["components"]
    listed = {canonical(entry["name"]): entry["version"] for entry in components}
    installed = json.loads(project.within("airflow-worker", "python", "-c", INSTALLED))
    assert len(installed) > 100
    assert {canonical(name): version for name, version in installed} == listed


def canonical(name: str) -> str:
    """Return a package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_a_night_in_containers_reaches_its_manifests(
    project: Services, planned: tuple[list[dict[str, Any]], dict[str, Any]]
) -> None:
    tasks, held = planned
    states = {task["task_id"]: task["state"] for task in tasks}
    assert states["emit_manifests"] == "success", states
    assert set(held["made"]) == set(MADE)
    assert len(held["planned"]) > 100
    hosts = {task["hostname"] for task in tasks if task["hostname"]}
    assert len(hosts) == 2  # both Celery workers had tasks
    jobs = json.loads(project.within("airflow-worker", "python", "-c", ASK, "http://spark-master:8081/json/"))
    assert len(jobs["completedapps"]) >= len([task for task in MADE if task in states])
    print(
        f"{len(held['planned'])} messages planned; {len(jobs['completedapps'])} jobs on the cluster",
        flush=True,
    )


def test_an_hour_in_containers_loses_and_doubles_nothing(
    project: Services, planned: tuple[list[dict[str, Any]], dict[str, Any]]
) -> None:
    hours = planned[1]["hours"]
    busiest = max(hours, key=hours.__getitem__)
    # A minute before it ends: hours before are due, too, and those whose windows have closed.
    now = f"{busiest}:59:00+00:00"
    parts = json.loads(project.within("airflow-worker", "angelia", "ledger", "due", "--now", now, "--json"))
    begun = {hour for hour in hours if hour <= busiest}
    assert begun <= {part["send_hour"] for part in parts["parts"]}
    body = {"logical_date": None, "conf": {"now": now, "clock": "simulated"}}
    tasks = project.ran("hourly_dispatch", body, STEP_S)
    states = {task["task_id"]: task["state"] for task in tasks if task["task_id"].startswith("fan_out_")}
    assert set(states.values()) <= {"success", "skipped"}, states
    held = read(project)
    due = {one for one, hour in held["planned"].items() if hour in begun}
    ledger = {one: outcome for one, outcome in held["ledger"].items() if one in held["planned"]}
    accepted = {one for one, outcome in ledger.items() if outcome == "accepted"}
    assert due <= ledger.keys()  # lost 0: each is accounted for
    assert accepted <= held["received"].keys()
    assert max(held["received"].values()) == 1  # doubled 0
    assert len(accepted) > 20
    outcomes = dict(Counter(ledger[one] for one in due))
    print(f"{len(due)} messages due by {busiest}: {outcomes}, lost 0, doubled 0", flush=True)


def test_the_dashboards_queries_return_series(
    project: Services, planned: tuple[list[dict[str, Any]], dict[str, Any]]
) -> None:
    text = project.within("airflow-worker", "sh", "-c", "cat /var/lib/angelia/metrics/*.prom")
    written = set(re.findall(r"^([a-z_]+)\{", text, re.MULTILINE))
    panels = {name: query for name, query in queries().items() if not name.startswith("Angelia")}
    asked = {name: query for name, query in panels.items() if set(dict(SELECTOR.findall(query))) <= written}
    assert len(asked) >= 5, sorted(written)
    until = time.monotonic() + 300
    empty = set(asked)
    # Prometheus looks every 30 s, and a rate wants two looks.
    while empty and time.monotonic() < until:
        time.sleep(10)
        empty = {name for name in empty if not series(project, asked[name])}
    print(
        f"{len(asked)} of {len(panels)} queries ask for what was written; empty: {sorted(empty)}", flush=True
    )
    assert not empty


def series(project: Services, query: str) -> list[object]:
    """Return what Prometheus answers."""
    # What is shown only above nothing may be nothing here.
    query = query.removesuffix(" > 0")
    address = f"http://prometheus:9090/api/v1/query?query={quote(query)}"
    return list(json.loads(project.within("airflow-worker", "python", "-c", ASK, address))["data"]["result"])
