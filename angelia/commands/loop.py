"""`angelia loop`: the whole loop on a simulated population, as `make run` does it.

World, bootstrap, night, delivery, receipts, report: each step is a command that an operator could paste. A
second run reuses HOME, decides the same bytes and sends nothing twice. Reads and writes through those
commands; its own files are HOME/airflow, HOME/logs, HOME/sandbox and HOME/summary.json.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from angelia.config import lasting, load_settings
from angelia.delivery.pools import airflow_pools
from angelia.errors import AngeliaError, InvalidInput
from angelia.lake import Lake
from angelia.lake.configured import open_lake
from angelia.output import JsonFlag, emit, parse_ds, progress
from models.registry import Registry
from spark_jobs import QUICK_JVM, SPARK_ARCHIVE

PROJECT = Path(__file__).resolve().parents[2]
SANDBOX_LIFE_S = 1800


def environment(home: Path) -> dict[str, str]:
    """Return the environment of every step: one home, with Airflow beside the lake."""
    spec = importlib.util.find_spec("pyspark")
    spark_home = str(Path(spec.origin).parent) if spec and spec.origin else ""
    airflow = home / "airflow"
    archived = (
        f' "-XX:SharedArchiveFile={SPARK_ARCHIVE}" -Xlog:cds=off -Xlog:cds+dynamic=off'
        if SPARK_ARCHIVE.is_file()
        else ""
    )
    return {
        "ANGELIA_HOME": str(home),
        "ANGELIA_SHARD_BITS": os.environ.get("ANGELIA_SHARD_BITS", "14"),
        "AIRFLOW_HOME": str(airflow),
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{airflow / 'airflow.db'}",
        # Airflow writes these two into its own file as the home is then; a moved home needs them anew.
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(airflow / "logs"),
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(
            airflow / "logs" / "dag_processor"
        ),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__CORE__MAX_MAP_LENGTH": "4096",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(airflow / "plugins"),
        **_who_may(os.environ.get("ANGELIA_AIRFLOW_USER", ""), airflow),
        "AIRFLOW_CONN_SPARK_DEFAULT": os.environ.get(
            "AIRFLOW_CONN_SPARK_DEFAULT", json.dumps({"conn_type": "spark", "host": "local[2]"})
        ),
        "SPARK_HOME": spark_home,
        "SPARK_SUBMIT_OPTS": os.environ.get("SPARK_SUBMIT_OPTS", QUICK_JVM + archived),
        "SPARK_LAUNCHER_OPTS": QUICK_JVM,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONPATH": str(PROJECT),
    }


def _who_may(user: str, airflow: Path) -> dict[str, str]:
    """Return Airflow's settings for one administrator with a generated password.

    Without a name, everybody on this machine is administrator.

    Raises:
        InvalidInput: the name holds more than letters, digits, dots, dashes and underscores.
    """
    if not user:
        # Airflow listens on loopback only, and only for known host names (dags/_host_check.py).
        return {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True"}
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", user):
        raise InvalidInput(
            "ANGELIA_AIRFLOW_USER is not a user name", fix="use letters, digits, dots, dashes and underscores"
        )
    return {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{user}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(airflow / "passwords.json"),
    }


class Steps:
    """Runs commands one after the other and times each.

    Output of quiet commands goes to a log, which is shown only on failure.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = {
            **os.environ,
            **environment(home),
            "ANGELIA_TASK_RETRIES": "0",
        }  # a person is watching: fail at once
        self.seconds: dict[str, float] = {}
        (home / "logs").mkdir(parents=True, exist_ok=True)

    def run(
        self, step: str, argv: Sequence[str], *, extra: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Run one command and return the JSON object of its last line; {} if there is none.

        Raises:
            AngeliaError: it failed; its log is named, and its last lines are shown.
        """
        began = time.monotonic()
        log = self.home / "logs" / f"{step.replace(' ', '_')}.log"
        progress(f"· {step}: {shlex.join(argv)}")
        with log.open("w", encoding="utf-8") as file:
            # This interpreter's own command, whatever `angelia` is on the PATH.
            words = [sys.executable, "-m", "angelia.cli", *argv[1:]] if argv[0] == "angelia" else list(argv)
            done = subprocess.run(
                words,
                env={**self.env, **(extra or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=file,
                encoding="utf-8",
                errors="replace",
                cwd=PROJECT,
                check=False,
            )
            file.write(done.stdout)
        self.seconds[step] = round(self.seconds.get(step, 0.0) + time.monotonic() - began, 1)
        if done.returncode:
            output = (log.read_text("utf-8", errors="replace").strip().splitlines() or ["nothing"])[-15:]
            progress("\n".join(output))
            raise AngeliaError(
                f"step {step!r} ended with exit code {done.returncode}",
                fix=f"see {log.relative_to(self.home.parent)}",
            )
        progress(f"  {self.seconds[step]:.0f} s")
        last = done.stdout.strip().splitlines()[-1:] or [""]
        return dict(json.loads(last[0])) if last[0].startswith("{") else {}


def prepare_airflow(steps: Steps) -> None:
    """Create Airflow's database and pools under HOME/airflow, once.

    Its settings and its host check are written anew each time.
    """
    folder = steps.home / "airflow"
    ready = folder / "ready"
    (folder / "plugins").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(PROJECT / "dags" / "_host_check.py", folder / "plugins" / "angelia_host_check.py")
    wanted = {**lasting(), **environment(steps.home)}
    file = folder / "env.sh"
    file.touch(mode=0o600)
    file.chmod(0o600)  # addresses of databases hold passwords
    file.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in wanted.items()))
    if "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE" in wanted:
        # Airflow writes the password into it; nobody else reads it.
        (folder / "passwords.json").touch(mode=0o600)
    if ready.exists():
        return
    (folder / "pools.json").write_text(json.dumps(airflow_pools(load_settings().delivery_slots)), "utf-8")
    steps.run("airflow", [sys.executable, "-m", "airflow", "db", "migrate"])
    steps.run("airflow", [sys.executable, "-m", "airflow", "pools", "import", str(folder / "pools.json")])
    ready.write_text("ok\n")


@contextmanager
def sandbox(steps: Steps) -> Iterator[dict[str, str]]:
    """Run the provider sandbox while the block runs; yield the environment that points to it."""
    folder = steps.home / "sandbox"
    folder.mkdir(parents=True, exist_ok=True)
    ready = folder / "ready.json"
    # The file of an earlier run names ports on which nobody listens any more.
    ready.unlink(missing_ok=True)
    words = [
        "sandbox",
        *("--port", "0", "--http-port", "0", "--ready-file", str(ready), "--state-dir", str(folder)),
        *("--max-seconds", str(SANDBOX_LIFE_S)),
    ]
    with (steps.home / "logs" / "sandbox.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "angelia.cli", *words],
            env=steps.env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=PROJECT,
        )
        try:
            for _ in range(300):
                # A file that is there and empty is being written.
                if ready.exists() and ready.stat().st_size:
                    break
                if process.poll() is not None:
                    raise AngeliaError(
                        "the sandbox did not start", fix="see logs/sandbox.log in ANGELIA_HOME"
                    )
                time.sleep(0.1)
            else:
                raise AngeliaError(
                    "the sandbox was not ready within 30 s", fix="see logs/sandbox.log in ANGELIA_HOME"
                )
            at = json.loads(ready.read_text("utf-8"))
            yield {
                "ANGELIA_FCM_URL": f"https://127.0.0.1:{at['port']}",
                "ANGELIA_FCM_CREDENTIALS": at["credentials"],
                "ANGELIA_CA_FILE": at["ca_file"],
            }
        finally:
            # Asked to end, the sandbox writes down what it counted; killed, it does not.
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()


def command(
    users: Annotated[int, typer.Option(min=100, help="Size of the population.")] = 100_000,
    days: Annotated[int, typer.Option(min=10, max=90, help="Days of history.")] = 28,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the population.")] = 7,
    ds: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="The last closed day.")] = "2026-11-14",
    airflow_only: Annotated[
        bool, typer.Option("--airflow-only", help="Only prepare Airflow under HOME/airflow.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run the whole loop on a simulated population and print what happened.

    HOME/summary.json holds the same numbers.
    """
    began, ds, settings = time.monotonic(), parse_ds(ds), load_settings()
    home = settings.home.absolute()
    steps = Steps(home)
    prepare_airflow(steps)
    if airflow_only:
        progress(f"Airflow is prepared; before calling it: . {shlex.quote(str(home / 'airflow' / 'env.sh'))}")
        return
    apply = ["angelia", "catalog", "apply", str(PROJECT / "campaigns"), "--actor", "loop", "--on", ds]
    steps.run("catalog", [*apply, "--json"])
    lake = open_lake("main", settings)
    _world(steps, lake, users, days, seed, ds)
    # A home that has a champion keeps it: a second run of the loop plans with what was promoted there.
    if Registry.configured(settings).champion() is None:
        steps.run("bootstrap", ["angelia", "bootstrap", "--ds", ds, "--json"])
    night(steps, lake, ds)
    deliver(steps, ds)
    steps.run("respond", ["angelia", "world", "respond", "--ds", ds, "--json"])
    summary = finish(steps, ds, time.monotonic() - began)
    emit(summary, describe(summary), as_json)


def _world(steps: Steps, lake: Lake, users: int, days: int, seed: int, ds: str) -> None:
    """Create the population, or reuse the population in HOME if it is the same."""
    standing = lake.head("user_profiles", ds=ds)
    wanted = {"users": users, "days": days, "seed": seed}
    if standing is None:
        steps.run(
            "world",
            [
                "angelia",
                "world",
                "create",
                *("--users", str(users), "--days", str(days), "--seed", str(seed), "--ds", ds),
                "--json",
            ],
        )
    elif any(standing.params.get(name, standing.meta.get(name)) != value for name, value in wanted.items()):
        raise InvalidInput(
            f"{steps.home.name}/ holds another population",
            fix="set ANGELIA_HOME to a new folder, or remove this one",
        )
    else:
        steps.seconds["world"] = 0.0


def night(steps: Steps, lake: Lake, ds: str) -> None:
    """Run the nightly DAG of one day, on a simulated clock.

    Raises:
        AngeliaError: a task failed; its message is among the last lines shown.
    """
    conf = json.dumps({"mode": "plan", "clock": "simulated", "ask": False})
    before = lake.head("dispatch_manifest", ds=ds)
    words = ["airflow", "dags", "test", "nightly_personalization", f"{ds}T02:00:00+00:00", "--conf", conf]
    with tasks_as_they_end(steps.home / "airflow" / "airflow.db"):
        steps.run("night", [sys.executable, "-m", *words])
    start_as_it_was(steps.home / "airflow" / "airflow.db")
    after = lake.head("dispatch_manifest", ds=ds)
    if after is None or (
        before is not None and after.number == before.number and after.nonce != before.nonce
    ):
        raise AngeliaError("the night ended without manifests", fix="see logs/night.log in ANGELIA_HOME")


def start_as_it_was(database: Path) -> None:
    """Correct the start of the sample's runs in Airflow's database.

    `dags test` writes the logical date as the start, so a run would seem to take days.
    """
    first = "SELECT min(t.start_date) FROM task_instance t WHERE t.run_id = r.run_id AND t.dag_id = r.dag_id"
    began = f"coalesce(({first}), r.start_date)"
    statement = f"UPDATE dag_run AS r SET start_date = {began} WHERE start_date = logical_date"  # noqa: S608
    # Only Airflow's pages show this, so a failure here does not stop the night.
    with suppress(sqlite3.Error), closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement)


@contextmanager
def tasks_as_they_end(database: Path) -> Iterator[None]:
    """Print a line for every task that ends while the block runs.

    `airflow dags test` itself is silent for minutes.
    """
    began, stop, shown = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"), threading.Event(), set[str]()
    query = (
        "SELECT task_id, state, duration FROM task_instance WHERE start_date >= ? AND end_date IS NOT "
        "NULL ORDER BY end_date"
    )

    def watch() -> None:
        while not stop.wait(1.0):
            # This only reads: if the database is busy, the next look is a second later.
            with (
                suppress(sqlite3.Error),
                closing(sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)) as connection,
            ):
                for task, state, seconds in connection.execute(query, (began,)):
                    if task not in shown:
                        shown.add(task)
                        progress(f"  {task}: {state}, {seconds or 0:.0f} s")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def deliver(steps: Steps, ds: str) -> dict[str, Any]:
    """Deliver the plan's 24 hours to the sandbox, on a simulated clock."""
    with sandbox(steps) as env:
        return steps.run(
            "deliver",
            ["angelia", "deliver", "--ds", ds, "--all-hours", "--clock", "simulated", "--json"],
            extra=env,
        )


def finish(steps: Steps, ds: str, seconds: float) -> dict[str, Any]:
    """Render the report, write HOME/summary.json and return it."""
    path = steps.home / "summary.json"
    steps.run("report", ["angelia", "report", "--ds", ds, "--summary-json", str(path), "--json"])
    delivered = json.loads((steps.home / "logs" / "deliver.log").read_text("utf-8").strip().splitlines()[-1])
    summary: dict[str, Any] = json.loads(path.read_text("utf-8"))
    summary["already_delivered"] = delivered.get("already_delivered", 0)
    summary["seconds"] = {**steps.seconds, "total": round(seconds + steps.seconds["report"], 1)}
    path.write_text(json.dumps(summary, indent=1, sort_keys=True) + "\n", "utf-8")
    return summary


def describe(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield the summary as lines for people."""
    yield f"users            {summary['users']:,}"
    yield "audiences        " + ", ".join(
        f"{name} {size:,}" for name, size in sorted(summary["audiences"].items())
    )
    yield "decisions        " + ", ".join(f"{name} {n:,}" for name, n in sorted(summary["decisions"].items()))
    yield (
        f"manifest         {summary['manifest_parts']} parts, {summary['manifest_rows']:,} rows, "
        f"sha256 {summary['manifest_sha256'][:16]}…"
    )
    yield "delivered        " + ", ".join(f"{name} {n:,}" for name, n in sorted(summary["delivered"].items()))
    if summary.get("already_delivered"):
        yield f"already delivered: {summary['already_delivered']:,}"
    yield f"opens            {summary['opens']:,}"
    yield f"report           {summary['report']}"
    yield "seconds          " + ", ".join(f"{name} {s:g}" for name, s in summary["seconds"].items())
