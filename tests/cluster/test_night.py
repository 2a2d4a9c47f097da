"""First load and night on a Spark cluster, beside the same on one machine.

The driver and two workers are machines of their own: none sees another's files, processes or name, and what
they share is an S3 server. While the cluster works, Python workers and executors are killed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import boto3
import pytest

from angelia.commands.loop import environment
from angelia.lake import Lake
from spark_jobs import QUICK_JVM
from tests import s3_server
from tests.cluster.machines import Machine, machines, network

DS = "2026-11-14"
METRICS_PORT = 9327
PROJECT = Path(__file__).resolve().parents[2]
BUCKET = "angelia"
POPULATION = ("--users", "800", "--days", "14")
MADE = (
    *("user_index", "user_days", "user_pushes", "user_features", "send_times", "bitmap_days"),
    *("bitmap_index", "audience_members", "holdout_members", "material_scores", "decisions"),
    "dispatch_manifest",
)
# Of the environment: two executors of a core each, by the cluster's own settings.
SPARK_CONF = (
    "spark.executor.memory=768m spark.executor.cores=1 spark.speculation=true "
    f"spark.executor.extraJavaOptions='{QUICK_JVM}'"
)
OPTIONS = ("--driver-memory", "1g", "--conf", "spark.executor.memory=640m")
DAEMON_JVM = {"SPARK_DAEMON_MEMORY": "256m", "SPARK_DAEMON_JAVA_OPTS": QUICK_JVM}
WITH_US = ("setpriv", "--pdeathsig", "KILL")  # services end with us, however we end
REST_S = 30.0
pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@dataclass(frozen=True)
class Cluster:
    """The machines, the master's address, and the lake's server."""

    driver: Machine
    workers: list[Machine]
    master: str
    endpoint: str

    def applications(self) -> list[dict[str, object]]:
        """Return what the master tells of the jobs that have ended."""
        return list(self._told()["completedapps"])

    def n_workers(self) -> int:
        """Return how many workers the master knows."""
        return int(self._told()["aliveworkers"])

    def _told(self) -> dict[str, list[dict[str, object]]]:
        with urlopen(
            f"http://{self.workers[0].address.rpartition('.')[0]}.1:8081/json/", timeout=30
        ) as answer:
            return dict(json.load(answer))

    def words(self) -> str:
        """Return the last words of every executor, for a test that fails."""
        tail = "tail -n 15 work/*/*/stderr"
        return "\n".join(worker.run(["sh", "-c", f"cd && {tail}"]).stdout for worker in self.workers)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Start an S3 server, a master and two workers; a population is in the lake."""
    home = tmp_path_factory.mktemp("cluster")
    keys = {"AWS_ACCESS_KEY_ID": s3_server.KEY, "AWS_SECRET_ACCESS_KEY": s3_server.KEY}
    base = {
        **{name: os.environ[name] for name in ("JAVA_HOME", "LANG") if name in os.environ},
        **{name: environment(home)[name] for name in ("PATH", "PYTHONPATH", "SPARK_HOME")},
        **{name: str(home) for name in ("HOME", "TMPDIR")},
        **keys,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "ANGELIA_CACHE": str(home / "cache"),
    }
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in base.items():
            patch.setenv(name, value)
        hub = stack.enter_context(network())
        server = s3_server.seaweedfs(tmp_path_factory.mktemp("s3"), hub.address, METRICS_PORT)
        endpoint = stack.enter_context(server)
        boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=BUCKET)
        driver, *workers = stack.enter_context(
            machines(("driver", "worker1", "worker2"), private(home), base)
        )
        spark_class = str(Path(base["SPARK_HOME"]) / "bin" / "spark-class")
        master = f"spark://{hub.address}:7077"
        kind = "org.apache.spark.deploy"
        begin = [
            spark_class,
            f"{kind}.master.Master",
            "--host",
            hub.address,
            "--port",
            "7077",
            "--webui-port",
            "8081",
        ]
        stack.enter_context(running(begin, home / "master.log", **DAEMON_JVM))
        made = Cluster(driver, workers, master, endpoint)
        for worker in workers:
            options = ["--work-dir", str(home / "work"), "--cores", "1", "--memory", "1g"]
            words = worker.words([spark_class, f"{kind}.worker.Worker", *options, master], **DAEMON_JVM)
            stack.enter_context(running(words, home / f"{worker.name}.log"))
        wait_for(lambda: made.n_workers() == 2, home)
        yield made


def private(home: Path) -> list[Path]:
    """Return the folders that no two machines share: not those that Python or the project need."""
    needed = [PROJECT, Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()]
    shared = [Path(tempfile.gettempdir()), Path("/var/tmp"), Path("/dev/shm")]
    return [folder for folder in shared if not any(path.is_relative_to(folder) for path in needed)] + [home]


@contextmanager
def running(words: list[str], log: Path, **more: str) -> Iterator[None]:
    """Run a service; its end is ours."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*WITH_US, *words], stdin=subprocess.DEVNULL, stdout=file, stderr=file, env={**os.environ, **more}
        )
    try:
        yield
    finally:
        process.kill()
        process.wait(timeout=30)


def wait_for(is_done, home: Path) -> None:
    for _ in range(1500):
        try:
            if is_done():
                return
        except (OSError, ValueError):
            pass  # the master does not listen yet, or has not all its pages
        time.sleep(0.2)
    raise RuntimeError("\n".join(log.read_text()[-2000:] for log in home.glob("*.log")))


def requests(cluster: Cluster) -> Counter[str]:
    """Return the requests that the S3 server has answered, by kind."""
    host = cluster.endpoint.rpartition(":")[0]
    with urlopen(f"{host}:{METRICS_PORT}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    counted: Counter[str] = Counter()
    for line in lines:
        if match := re.match(r'SeaweedFS_s3_request_total\{.*type="(\w+)".*\} (\S+)', line):
            counted[match[1]] += int(float(match[2]))
    return counted


@dataclass
class Strikes:
    """Kills a Python worker now and then, and every second time its executor, too."""

    cluster: Cluster
    pythons: int = 0
    executors: int = 0

    @contextmanager
    def striking(self) -> Iterator[None]:
        """Strike while the block runs."""
        stop = threading.Event()
        thread = threading.Thread(target=self._strike, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(timeout=30)

    def _strike(self, stop: threading.Event) -> None:
        # Not too often: a task that is lost four times ends its job, as it should.
        while not stop.wait(REST_S if self.pythons else 0.2):
            worker = self.cluster.workers[self.pythons % 2]
            while not (pythons := worker.processes("pyspark.daemon")):
                if stop.wait(0.2):
                    return
            self.pythons += kill(pythons[-1])
            if self.pythons % 2 and not stop.wait(0.5):
                executors = worker.processes("CoarseGrainedExecutorBackend")
                self.executors += sum(kill(executor) for executor in executors)


def kill(pid: int) -> int:
    """Kill a process of a test's machine; return 1, or 0 if it had ended."""
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return 0
    return 1


def settings(endpoint: str, name: str) -> dict[str, str]:
    """Return the driver's settings: a lake and models of its own in the bucket."""
    local = environment(Path(os.environ["HOME"]) / name)
    # As a shell that has read env.sh: SPARK_LOCAL_IP=127.0.0.1 is among them.
    wanted = {
        key: local[key]
        for key in ("SPARK_SUBMIT_OPTS", "SPARK_LAUNCHER_OPTS", "SPARK_LOCAL_IP", "ANGELIA_HOME")
    }
    return {
        **wanted,
        "ANGELIA_SHARD_BITS": "8",
        "ANGELIA_S3_ENDPOINT": endpoint,
        "ANGELIA_LAKE": f"s3://{BUCKET}/{name}/lake",
        "ANGELIA_MODELS": f"s3://{BUCKET}/{name}/models",
        "ANGELIA_CATALOG": f"sqlite:///{os.environ['HOME']}/catalog.db",
    }


def drive(cluster: Cluster, name: str, module: str, *argv: str, **more: str) -> None:
    """Run a command on the driver, which must end well."""
    env = {**settings(cluster.endpoint, name), **more}
    done = cluster.driver.run([sys.executable, "-m", module, *argv], timeout=3600, **env)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}\n{cluster.words()}"


def contents(endpoint: str, name: str) -> dict[str, list[str]]:
    """Return the sha256 of every file of every dataset that jobs make, by leaf."""
    lake = Lake.open(f"s3://{BUCKET}/{name}/lake", endpoint=endpoint)
    return {
        f"{dataset} {leaf}": sorted(entry.sha256 for entry in lake.require(dataset, **leaf).files)
        for dataset in MADE
        for leaf in lake.partitions(dataset)
    }


def test_night_on_a_cluster_is_the_night_of_one_machine(cluster: Cluster) -> None:
    drive(
        cluster,
        "cluster",
        "angelia.cli",
        "catalog",
        "apply",
        str(PROJECT / "campaigns"),
        "--actor",
        "test",
        "--on",
        DS,
    )
    drive(cluster, "cluster", "angelia.cli", "world", "create", *POPULATION, "--ds", DS)
    client = boto3.client("s3", endpoint_url=cluster.endpoint)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="cluster/"):
        for item in page["Contents"]:
            source = {"Bucket": BUCKET, "Key": item["Key"]}
            client.copy_object(
                Bucket=BUCKET, Key=item["Key"].replace("cluster/", "local/", 1), CopySource=source
            )
    strikes = Strikes(cluster)
    with strikes.striking():
        drive(
            cluster,
            "cluster",
            "tests.cluster.night",
            DS,
            cluster.master,
            *OPTIONS,
            ANGELIA_SPARK_CONF=SPARK_CONF,
        )
    before = requests(cluster)
    drive(cluster, "local", "tests.cluster.night", DS, "local[2]")
    asked = requests(cluster)
    asked.subtract(before)
    made = contents(cluster.endpoint, "cluster")
    assert made == contents(cluster.endpoint, "local")
    assert {leaf.split()[0] for leaf in made} == set(MADE)
    lake = Lake.open(f"s3://{BUCKET}/cluster/lake", endpoint=cluster.endpoint)
    assert lake.require("dispatch_manifest", ds=DS).rows > 100
    assert strikes.pythons >= 2
    assert strikes.executors >= 1
    # What is set for all jobs beats our defaults, and `--conf` beats both.
    memory = {app["name"]: app["memoryperexecutor"] for app in cluster.applications()}
    assert memory == {
        "index_users+aggregate_days+build_features+build_send_times": 768,
        "night": 768,
        "index_users": 640,
        "emit_manifests": 640,
    }
    print(f"one machine asked S3 {dict(asked)}")
    print(f"killed {strikes.pythons} Python workers and {strikes.executors} executors")


@pytest.mark.parametrize(
    ("python", "error"),
    [
        (
            f"{sys.base_prefix}/bin/python{sys.version_info[0]}.{sys.version_info[1]}",
            "an executor has no Python module",
        ),
        ("/nowhere/python", "an executor cannot run /nowhere/python as its Python"),
    ],
)
def test_executor_without_the_package_is_one_line(cluster: Cluster, python: str, error: str) -> None:
    conf = [f"spark.pyspark.python={python}", f"spark.pyspark.driver.python={sys.executable}"]
    words = [word for option in conf for word in ("--conf", option)]
    job = str(PROJECT / "spark_jobs" / "build_features.py")
    submit = str(Path(os.environ["SPARK_HOME"]) / "bin" / "spark-submit")
    done = cluster.driver.run(
        [submit, "--master", cluster.master, *OPTIONS, *words, job, "--ds", DS],
        **settings(cluster.endpoint, "cluster"),
    )
    # Under spark-submit, what the job says on its standard error comes on its standard output.
    assert done.returncode == 2, done.stdout[-3000:]
    assert done.stdout.splitlines()[-1].startswith(f"error: {error}")
    assert "Traceback" not in done.stdout
