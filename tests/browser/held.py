"""A small night whose one campaign waits for an approver, and the job after the answer.

Run by the project's own interpreter: `python tests/browser/held.py` plans a night, lets gate and guard judge
it, asks, and prints the night, its verdict and its question as a line of JSON. At a line of input it takes
the answer that Airflow recorded, as the DAG hands it on, and runs the job that the DAG runs next. No
scheduler is here to do that; Spark starts while the question waits.
"""

from __future__ import annotations

import json
import sys
import warnings
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pyarrow as pa

from angelia.catalog.documents import canonical, parse_document
from angelia.commands.loop import PROJECT
from angelia.contracts import arrow, dataset
from angelia.contracts.certificate import Messages, messages_meta
from angelia.contracts.ids import message_id
from angelia.contracts.rows import user_name, valid_rows
from angelia.lake import Lake
from angelia.lake.configured import open_lake
from angelia.planning.guard import guard
from angelia.quality.gates import run_gate
from spark_jobs import emit_manifests
from spark_jobs.running.session import spark_session
from tests.planned_night import CHANNEL, EVERYONE, POLICY, SALE, SHOE, TEMPLATE

NOW, PEOPLE = datetime.now(UTC), 8
DAYS_BACK = 3  # the nights of one and two days ago are home.py's
FAST = CHANNEL | {"quota_per_minute": 6_000}
DAG, TASK, RUN = "nightly_personalization", "ask_campaigns", "browser_ask_campaigns"
HELD = SALE | {"approval_required": True, "start_date": "2026-01-01", "end_date": "2099-12-31"}
ANSWER = ("--answer", "--answered-by", "--verdict")


def put(lake: Lake, ds: str, name: str, table: pa.Table, **extra: Any) -> None:
    """Publish one dataset of the night."""
    with lake.attempt(name, ds=ds) as attempt:
        attempt.write(table, "part-0000.parquet")
        attempt.publish(**extra)


def rows(name: str, values: list[dict[str, Any]]) -> pa.Table:
    """Return rows as the contract has them."""
    return pa.Table.from_pylist(values, schema=arrow.schema(dataset(name)))


def plan(lake: Lake, ds: str, start: datetime) -> None:
    """Publish a night that sends each person the sale in the hour that has begun."""
    bodies = [
        {"kind": raw["kind"], "id": raw["id"], "version": 1, "body": canonical(parse_document(raw))}
        for raw in (POLICY, TEMPLATE, SHOE, EVERYONE, FAST, HELD)
    ]
    put(lake, ds, "catalog_snapshot", rows("catalog_snapshot", bodies), meta={"stopped": []})
    for name in ("user_features", "material_scores"):
        put(lake, ds, name, valid_rows(name, PEOPLE, ds=ds), meta={"n_users": PEOPLE})
    endpoints = valid_rows("user_endpoints", 2 * PEOPLE)  # each has two
    # No phone denies notifications, or its owner would be left out.
    allowed = pa.nulls(endpoints.num_rows, pa.string())
    place = endpoints.schema.get_field_index("permission")
    put(lake, ds, "user_endpoints", endpoints.set_column(place, endpoints.schema.field(place), allowed))
    members = valid_rows("audience_members", PEOPLE, ds=ds)
    put(lake, ds, "audience_members", members, meta={"sizes": {"everyone": PEOPLE}})
    choice = {
        "campaign_id": "sale", "occurrence": ds, "material_id": "shoe", "material_propensity": 1.0,
        "slot": start, "slot_propensity": None, "channel": "fcm", "outcome": "sent", "p_open": 0.08,
        "value_micros": 1, "price_micros": 0, "arm": None, "is_explore": False,
    }  # fmt: skip
    chosen = [
        {"ordinal": i, "user_id": name, "choices": [choice | {"message_id": message_id("sale", name, ds)}]}
        for i, name in enumerate(map(user_name, range(PEOPLE)))
    ]
    cell = Messages(f"{start:%Y-%m-%dT%H}", "fcm", "sale", PEOPLE)
    meta = {
        "start": start.isoformat(), "messages": messages_meta([cell]),
        "outcomes": {"sent": PEOPLE}, "primal_micros": PEOPLE, "bound_micros": PEOPLE, "gap_pct": 0.0,
        "hours_passed": 0,
    }  # fmt: skip
    index = lake.require("user_index", chain="0")
    put(lake, ds, "decisions", rows("decisions", chosen), meta=meta, inputs=[index])


def nightly() -> Any:
    """Return the DAG as its file writes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Airflow's and its providers' own
        from airflow.dag_processing.dagbag import DagBag

        sys.path.insert(0, str(PROJECT / "dags"))
        bag = DagBag(dag_folder=str(PROJECT / "dags" / f"{DAG}.py"))
    assert not bag.import_errors
    return bag.dags[DAG]


def pulling(**values: Any) -> SimpleNamespace:
    """Return a task instance to which the tasks before left these values."""
    return SimpleNamespace(xcom_pull=lambda task_ids: values.get(task_ids))


def judged(lake: Lake, ds: str) -> dict[str, Any]:
    """Plan the night and return what the guard says of it, once its gate is open."""
    start = NOW.replace(minute=0, second=0, microsecond=0)
    plan(lake, ds, start)
    lead = int((start - datetime.fromisoformat(ds).replace(tzinfo=UTC)).total_seconds() // 3600)
    closed = [check.check for check in run_gate(lake, "plan", ds, lead_hours=lead) if not check.success]
    assert not closed, f"the gate is closed: {', '.join(closed)}"
    verdict = guard(lake, ds)
    assert verdict["held"] == ["sale"]
    return verdict


def ask(dag: Any, ds: str, verdict: dict[str, Any]) -> dict[str, str]:
    """Ask as the task does; return the question's subject, its verdict and its address."""
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunTriggeredByType
    from sqlalchemy import select

    task, env = dag.get_task(TASK), dag.get_template_env()
    context = {"ti": pulling(plan_guard=verdict), "ds": ds, **dag.user_defined_macros}
    subject, body, about = (
        env.from_string(text).render(context) for text in (task.subject, task.body, task.about)
    )
    task.params["about"] = about
    trigger_dag(dag_id=DAG, triggered_by=DagRunTriggeredByType.CLI, run_id=RUN)
    with create_session() as session:
        where = (TaskInstance.run_id == RUN, TaskInstance.task_id == TASK)
        instance = session.scalar(select(TaskInstance).where(*where))
        instance.state = "awaiting_input"
        session.add(
            HITLDetail(
                ti_id=instance.id, options=task.options, subject=subject, body=body, defaults=task.defaults,
                multiple=task.multiple, params=task.serialized_params, assignees=[],
            )
        )  # fmt: skip
    address = f"/api/v2/dags/{DAG}/dagRuns/{RUN}/taskInstances/{TASK}/-1/hitlDetails"
    return {"subject": subject, "about": about, "address": address}


def answered(dag: Any) -> Any:
    """Return what the question's task leaves once Airflow hands it the answer that it recorded."""
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    task = dag.get_task(TASK)
    with create_session() as session:
        where = (TaskInstance.run_id == RUN, TaskInstance.task_id == TASK)
        detail = session.scalar(select(HITLDetail).join(TaskInstance).where(*where))
        event = detail.as_resume_event_payload() if detail.response_received else None
    return task.execute_complete({}, event) if event else None


def emit(dag: Any, ds: str, verdict: dict[str, Any]) -> None:
    """Run the job after the question with the words that the DAG's task gives it."""
    given = {"plan_guard": verdict, TASK: answered(dag)}
    context = {"ti": pulling(**given), "ds": ds, **dag.user_defined_macros}
    env, words = dag.get_template_env(), dag.get_task("emit_manifests").application_args
    values = [env.from_string(words[words.index(option) + 1]).render(context) for option in ANSWER]
    emit_manifests.main(["--ds", ds, *(word for pair in zip(ANSWER, values, strict=True) for word in pair)])


def main() -> None:
    """Do all of it."""
    lake, ds = open_lake(), (NOW - timedelta(days=DAYS_BACK)).date().isoformat()
    verdict, dag = judged(lake, ds), nightly()
    asked = ask(dag, ds, verdict)
    print(json.dumps({"ds": ds, **asked}), flush=True)
    with spark_session("held"):
        if sys.stdin.readline():
            emit(dag, ds, verdict)


if __name__ == "__main__":
    main()
