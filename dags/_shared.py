"""What the DAGs share: defaults, operators, assets, and the branch a run may write to."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from _notify import FailureNotifier
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import Asset, BaseOperator, Connection, Context, Param, dag
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException

from angelia.config import load_settings
from angelia.contracts import CONTRACTS

PROJECT = Path(__file__).resolve().parent.parent
DELIVERY_SLOTS = load_settings().delivery_slots
# A connection may hold these; others would change which programs a task runs.
_HELD = re.compile(r"(ANGELIA|AWS)_[A-Z0-9_]+")


def take_secrets(_: Context) -> None:
    """Fill a task's environment from the connection that ANGELIA_CONNECTION names.

    Its extra holds the variables; Airflow looks for it in its secrets backends. A task is a process of its own, so nothing else
    sees the values, and no command line or option of Spark carries them.

    Raises:
        AirflowFailException: no backend knows it, or its extra holds something else.
    """
    name = os.environ.get("ANGELIA_CONNECTION", "")
    if not name:
        return
    try:
        held = Connection.get(name).extra_dejson
    except AirflowNotFoundException:
        raise AirflowFailException(
            f"error: no secrets backend of Airflow knows the connection {name}; add it, or unset ANGELIA_CONNECTION"
        ) from None
    if wrong := [key for key, value in held.items() if not (_HELD.fullmatch(key) and isinstance(value, str))]:
        raise AirflowFailException(
            f"error: the connection {name} holds {sorted(wrong)[0]!r}; its extra takes texts named ANGELIA_… or AWS_…"
        )
    os.environ.update(held)


DEFAULTS: dict[str, Any] = {
    "owner": "angelia",
    "retries": int(os.environ.get("ANGELIA_TASK_RETRIES", "2")),
    "retry_delay": timedelta(minutes=2),
    "retry_exponential_backoff": True,
    "execution_timeout": timedelta(hours=2),
    "on_failure_callback": FailureNotifier(),
    "pre_execute": take_secrets,
}
# The environment's own interpreter, whatever PATH the worker has.
PROGRAMS = {"angelia": [sys.executable, "-m", "angelia.cli"], "python": [sys.executable]}
ASSETS = {name: Asset(name) for name in CONTRACTS}


def spark_home() -> str:
    """Return the installed pyspark folder, without importing it.

    pip's spark-submit cannot find itself in a path with a space.
    """
    spec = importlib.util.find_spec("pyspark")
    return str(Path(spec.origin).parent) if spec and spec.origin else ""


def question_dag(runbook: str | None, hours: int, tags: Sequence[str], **kwargs: Any) -> Callable[..., Any]:
    """Return the decorator of a DAG that answers one question with one command.

    Its runs take turns. It runs when somebody asks, unless `kwargs` has a schedule; its id is the function's name.
    """
    return dag(
        doc_md=runbook,
        start_date=datetime(2022, 1, 1),
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=timedelta(hours=hours),
        default_args=DEFAULTS,
        template_undefined=jinja2.StrictUndefined,
        tags=["angelia", *tags],
        **{"schedule": None, **kwargs},
    )


def optional(title: str, description: str, **kwargs: Any) -> Param:
    """Return a field of a form that may stay empty, which leaves the button *Trigger* open."""
    return Param(None, type=["null", "string"], title=title, description=description, **kwargs)


# The day of a run that has a date, as it always was; a run without one (how the command line and the API
# trigger) takes the last closed day.
DAY = "(ds | default(none) or last_closed(dag_run))"


def last_closed(dag_run: Any) -> str:
    """Return the last UTC day that had closed when a run was due."""
    return str((dag_run.run_after.astimezone(UTC) - timedelta(days=1)).strftime("%Y-%m-%d"))


def known_campaigns() -> dict[str, Any]:
    """Return the catalog's campaigns as choices for a form's field.

    Where the catalog is not a local file there are none, and the field takes free lines. The command that
    takes the ids checks them.
    """
    address = load_settings().catalog_url()
    names: list[str] = []
    if address.startswith("sqlite:///"):
        path = quote(address.removeprefix("sqlite:///"))
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection,
        ):
            query = (
                "SELECT id FROM catalog_documents WHERE kind = 'campaign' AND body IS NOT NULL ORDER BY id"
            )
            names = [name for (name,) in connection.execute(query)]
    return {"examples": names} if names else {}


def branch_of(params: dict[str, Any], dag_run: Any, ds: str) -> str:
    """Return the lake branch of a run.

    A backfill, or `mode=replay`, decides again on a branch of its own and never sends.
    """
    is_backfill = str(getattr(dag_run.run_type, "value", dag_run.run_type)) == "backfill"
    replay = params["mode"] == "replay" or (params["mode"] == "auto" and is_backfill)
    return f"replay-{ds}" if replay else "main"


def skip_before(params: dict[str, Any], dag_run: Any, branch: str) -> str:
    """Return the instant before which hours have passed.

    It is empty on a simulated clock and in replays, which decide as of that night.
    """
    if params["clock"] == "simulated" or branch != "main":
        return ""
    started = dag_run.start_date or dag_run.run_after
    return str(started.isoformat(timespec="seconds"))


class CommandOperator(BaseOperator):
    """Run one command given as a list of words, so that no shell ever sees a parameter.

    Exit code 2 is an error an operator must put right (bad input, a closed gate): it is not retried. The last
    line of standard output is returned, parsed, when the command printed JSON: counts, dates and ids only.
    """

    template_fields = ("argv", "branch")

    def __init__(self, *, argv: Sequence[str], branch: str = "main", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.argv = list(argv)
        self.branch = branch

    def execute(self, context: Context) -> Any:
        """Run the command; its stderr is the task's log."""
        self.log.info("+ %s", " ".join(self.argv))
        words = [*PROGRAMS[self.argv[0]], *self.argv[1:]]
        env = {**os.environ, "ANGELIA_BRANCH": self.branch}
        done = subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=PROJECT,
            env=env,
        )
        self._process = done
        lines: list[str] = []
        assert done.stdout is not None
        with done.stdout:
            for line in done.stdout:
                self.log.info(line.rstrip())
                lines.append(line)
        code = done.wait()
        # The operator must correct this: a retry would fail the same way. The last `error:` line is the
        # message.
        if code == 2:
            output = [line.strip() for line in lines if line.strip()] or ["exit code 2"]
            raise AirflowFailException(
                next((line for line in reversed(output) if line.startswith("error:")), output[-1])
            )
        if code:
            raise RuntimeError(f"exit code {code}")
        last = lines[-1].strip() if lines else ""
        return json.loads(last) if last.startswith("{") else None

    def on_kill(self) -> None:
        """Ask the command to stop; a delivery drains what is in flight."""
        if getattr(self, "_process", None) is not None:
            self._process.terminate()


def command(
    task_id: str, argv: Sequence[str], *, outlets: Sequence[str] = (), **kwargs: Any
) -> CommandOperator:
    """Return a task that runs `argv`; outlets are dataset names."""
    return CommandOperator(
        task_id=task_id, argv=argv, outlets=[ASSETS[name] for name in outlets], do_xcom_push=False, **kwargs
    )


def spark_job(job: str, *arguments: str, outlets: Sequence[str], **kwargs: Any) -> SparkSubmitOperator:
    """Return the task that submits `spark_jobs/<job>.py`; its id is the job's name."""
    return SparkSubmitOperator(
        task_id=job,
        application=str(PROJECT / "spark_jobs" / f"{job}.py"),
        application_args=list(arguments),
        conn_id="spark_default",
        name=job,
        driver_memory=os.environ.get("ANGELIA_DRIVER_MEMORY", "4g"),
        conf=load_settings().spark_options(),
        env_vars={
            "PYSPARK_PYTHON": sys.executable,
            "PYSPARK_DRIVER_PYTHON": sys.executable,
            "SPARK_HOME": spark_home(),
            "PYTHONPATH": str(PROJECT),
        },
        verbose=False,
        outlets=[ASSETS[name] for name in outlets],
        **kwargs,
    )
