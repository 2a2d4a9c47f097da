"""Render the commands of a DAG as a run of 2026-11-14 would."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

PROJECT = Path(__file__).resolve().parents[2]


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
