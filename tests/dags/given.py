"""What the tasks before a question push, and a person's answer as XCom returns it."""

import json
import warnings
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from models.evaluate import ranking_metrics

DS = "2026-11-14"
PROJECT = Path(__file__).resolve().parents[2]
HELD = ["sale", "win_back"]
VERDICT = "3f9a0c1d2e4b"
BREACHES = [
    {
        "check": "volume",
        "severity": "night",
        "campaigns": [],
        "says": "60,000 messages planned, 6,000 is usual",
    },
    {
        "check": "rendering",
        "severity": "campaign",
        "campaigns": HELD[:1],
        "says": "5 of 5 sampled messages of sale cannot be rendered",
    },
]


COUNTED = {
    "resent": 3,
    "parts": 1,
    "campaigns": {},
    "days": [DS],
    "no_plan": [],
    "hash": "17-0123456789abcdef",
}


def guarded(verdict, breaches=BREACHES):
    """What plan_guard pushes."""
    figures = {"messages": {"digest": 40_000, "sale": 15_000, "win_back": 5_000}}
    named = {"verdict_id": VERDICT, "decisions": f"decisions/ds={DS}@1#0123456789abcdef"}
    kept = {"verdict": verdict, "held": HELD, "breaches": breaches, "history": "7 nights", "figures": figures}
    return {**kept, **named}


def pushed(task, option, who="ada", about=VERDICT):
    """Return what the operator pushes when somebody chose an option of a question.

    With nobody, it is the default after the timeout. The question is about this verdict, and the value is as
    XCom gives it back.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from airflow.models.hitl import HITLDetail
        from airflow.sdk.bases.xcom import BaseXCom

    detail = HITLDetail(
        chosen_options=[option],
        params_input={"about": about} if about else {},
        responded_at=datetime(2026, 11, 15, 3, tzinfo=UTC),
    )
    event = {
        **detail.as_resume_event_payload(timedout=who is None),
        "responded_by_user": {"id": "1", "name": who} if who else None,
    }
    ti = SimpleNamespace(map_index=-1, xcom_push=lambda key, value: None)
    value = task.execute_complete({"task": task, "ti": ti}, event)
    return BaseXCom.deserialize_value(
        SimpleNamespace(value=json.loads(json.dumps(BaseXCom.serialize_value(value))))
    )


def pulling(**answers):
    """A task instance that finds these values of other tasks, and nothing of any other."""
    return SimpleNamespace(xcom_pull=lambda task_ids: answers.get(task_ids))


def options_of(dag, task_id, *options, **answers):
    """The words that a command is given after each of these options."""
    task = dag.get_task(task_id)
    words = task.argv if hasattr(task, "argv") else task.application_args
    env, context = dag.get_template_env(), {"ti": pulling(**answers), **dag.user_defined_macros}
    return tuple(env.from_string(words[words.index(option) + 1]).render(context) for option in options)


def trained(**metrics):
    """What training pushes: the version and its metrics, by the evaluation's own names."""
    label = np.array([0.0, 0.0, 0.0, 1.0])
    test = ranking_metrics(label, np.array([0.1, 0.2, 0.3, 0.4]), np.ones(4), 0.25)
    return {"version": "2026-11-14-0123", "metrics": {"test": test, **metrics}}


def render(dag, words, *, run_type="scheduled", **params):
    """Render a task's words as a run of 2026-11-14 would."""
    from airflow.sdk.execution_time import macros

    run = SimpleNamespace(
        run_type=run_type,
        start_date=datetime(2026, 11, 15, 2, 0, 30, tzinfo=UTC),
        run_after=datetime(2026, 11, 15, 2, tzinfo=UTC),
        run_id="r",
    )
    answers = {
        "train": {"version": "2026-11-14-0123"},
        "approve": {
            "chosen_options": ["Approve"],
            "responded_by_user": {"id": "1", "name": "ada"},
            "params_input": {"about": "2026-11-14-0123"},
        },
        "approve_resend": None,
    }
    answers |= {
        "plan_guard": {"verdict": "campaigns", "held": ["win_back", "price_drop"]},
        "ask_campaigns": {
            "chosen_options": ["Send them, too"],
            "responded_by_user": {"id": "1", "name": "ada"},
            "params_input": {"about": "3f9a0c1d2e4b"},
        },
    }
    ti = SimpleNamespace(xcom_pull=lambda task_ids: answers[task_ids])
    chosen = {name: dag.params[name] for name in dag.params} | params
    context = {
        "ds": "2026-11-14",
        "params": chosen,
        "dag_run": run,
        "ti": ti,
        "macros": macros,
        "data_interval_end": run.run_after,
        **(dag.user_defined_macros or {}),
    }
    env = dag.get_template_env()
    return [env.from_string(word).render(context) for word in words]


def commands(dag, **how):
    """Return every task's rendered command: application arguments, or the words of a command."""
    commands_of = {}
    for task in dag.tasks:
        if hasattr(task, "application_args"):
            name = Path(task.application).relative_to(PROJECT).as_posix()
            commands_of[task.task_id] = [
                "spark-submit",
                name,
                *render(
                    dag,
                    task._application_args if hasattr(task, "_application_args") else task.application_args,
                    **how,
                ),
            ]
        elif isinstance(getattr(task, "argv", None), list):
            commands_of[task.task_id] = [
                *render(dag, [f"ANGELIA_BRANCH={task.branch}"], **how),
                *render(dag, task.argv, **how),
            ]
    return commands_of


def asked(dag, task_id, **answers):
    """Return the rendered body of a question."""
    return (
        dag.get_template_env()
        .from_string(dag.get_task(task_id).body)
        .render({"ti": pulling(**answers), "ds": DS, **dag.user_defined_macros})
    )
