"""Policy of every DAG, and every rendered command parsed by the job's own parser."""

import ast
import importlib
import json
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from angelia.contracts import CONTRACTS
from spark_jobs import JOBS

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "commands.json"
WRITE_GOLDEN = os.environ.get("ANGELIA_GOLDEN") == "write"  # read now: fixtures clear ANGELIA_*
PROJECT = Path(__file__).resolve().parents[2]
DAGS = PROJECT / "dags"
ENGINES = {f"angelia.contracts.{name}" for name in ("spark", "duckdb", "gx")}


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


def test_file_name_is_dag_id(dags):
    assert set(dags) == {
        "audience_lookalike",
        "nightly_personalization",
        "hourly_dispatch",
        "intake_dispatch",
        "event_triggers",
        "daily_effects",
        "weekly_retrain",
        "campaign_backfill",
        "plan_whatif",
        "effects_over",
    }
    for name, dag in dags.items():
        assert dag.dag_id == name


def test_every_dag_has_a_runbook_and_limits(dags):
    for dag in dags.values():
        assert "When it fails" in dag.doc_md
        assert dag.template_undefined.__name__ == "StrictUndefined"
        assert dag.max_active_runs == (4 if dag.dag_id == "campaign_backfill" else 1)
        assert dag.dagrun_timeout is not None
        assert dag.catchup is False
        assert dag.tags
        for task in dag.tasks:
            assert task.retries > 0, task.task_id
            assert (task.execution_timeout or task.response_timeout) is not None, task.task_id
            assert task.owner != "airflow", task.task_id


def test_the_night_is_exactly_the_jobs(dags):
    spark = [task for task in dags["nightly_personalization"].tasks if hasattr(task, "application_args")]
    assert {task.task_id for task in spark} == set(JOBS)
    for task in spark:
        assert Path(task.application).is_file()
        assert Path(task.application).stem == task.task_id


def test_outlets_are_contracts(dags):
    for dag in dags.values():
        for task in dag.tasks:
            for asset in task.outlets:
                assert asset.name in CONTRACTS


@pytest.mark.parametrize("run_type", ["scheduled", "backfill"])
def test_each_jobs_own_parser_takes_its_rendered_arguments(dags, run_type):
    dag = dags["nightly_personalization"]
    for name, words in commands(dag, run_type=run_type).items():
        if words[0] != "spark-submit":
            continue
        args = importlib.import_module(f"spark_jobs.{name}").arg_parser_for_job().parse_args(words[2:])
        assert args.ds == "2026-11-14"
        assert args.branch == ("main" if run_type == "scheduled" else "replay-2026-11-14")
        gates = {
            name for name in dag.get_task(name).get_flat_relative_ids(upstream=True) if name[:6] == "check_"
        }
        assert args.judged
        assert {f"check_{gate}" for gate in args.after} == gates - {"check_plan"}, (
            "emit_manifests asks release"
        )


def test_a_backfill_replays_and_skips_no_hour(dags):
    dag = dags["nightly_personalization"]
    replay = commands(dag, run_type="backfill")
    assert replay["check_sources"][0] == "ANGELIA_BRANCH=replay-2026-11-14"
    assert replay["plan_dispatch"][-1] == ""
    scheduled = commands(dag)
    assert scheduled["plan_dispatch"][-1] == "2026-11-15T02:00:30+00:00"
    assert commands(dag, clock="simulated")["plan_dispatch"][-1] == ""
    assert commands(dag, run_type="backfill", mode="plan")["check_plan"][0] == "ANGELIA_BRANCH=main"


def imported(path):
    """Yield the modules that a file imports when it is parsed, not those of its functions."""
    todo = list(ast.parse(path.read_text()).body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
        elif not isinstance(node, ast.FunctionDef):
            todo += ast.iter_child_nodes(node)


def test_parsing_a_dag_imports_nothing_heavy():
    """A DAG file imports no engine and no lake, since Airflow parses it every few seconds.

    Of ours it imports settings and contracts only (docs/architecture.md, 1).
    """
    ours = {path.stem for path in DAGS.glob("*.py")}
    for path in DAGS.glob("*.py"):
        for name in imported(path):
            root = name.partition(".")[0]
            assert root in {*sys.stdlib_module_names, *ours, "airflow", "jinja2", "angelia"}, (
                f"{path.name} imports {name}"
            )
            if root == "angelia":
                assert name == "angelia.config" or name.startswith("angelia.contracts"), (
                    f"{path.name} imports {name}"
                )
                assert name not in ENGINES, f"{path.name} imports {name}"


def test_an_undefined_variable_is_loud(dags):
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        render(dags["nightly_personalization"], ["{{ dss }}"])


def test_rendered_commands_are_the_reviewed_ones(dags):
    rendered = {name: commands(dag) for name, dag in sorted(dags.items())}
    text = json.dumps(rendered, indent=1, sort_keys=True) + "\n"
    assert not re.search(r"/(home|root|work|tmp)/", text)
    if WRITE_GOLDEN:
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


@pytest.mark.parametrize(("mode", "first"), [("replay", "replay"), ("resend", "count_resend")])
def test_a_backfill_replays_unless_a_resend_is_approved(dags, mode, first):
    dag = dags["campaign_backfill"]
    assert dag.get_task("choose_mode").python_callable({"mode": mode, "campaigns": ["price_drop"]}) == first
    approval = dag.get_task("approve_resend")
    assert approval.defaults == ["Reject"]
    assert approval.response_timeout is not None
    assert dag.get_task("resend").upstream_task_ids == {"approve_resend"}
    assert dag.get_task("replay").downstream_task_ids == set()


def test_changes_reach_the_command_as_json(dags):
    from angelia.planning.replay import parse_changes

    changes = {"price_drop": {"caps": [{"messages": 1, "days": 7}]}, "policy": {"min_gap_hours": 6}}
    words = commands(dags["campaign_backfill"], changes=changes, first="2026-11-10", last="2026-11-12")[
        "replay"
    ]
    assert parse_changes(words[words.index("--changes") + 1]) == changes
    assert words[words.index("--from") + 1] == "2026-11-10"


def failed(exception):
    ti = SimpleNamespace(
        dag_id="nightly_personalization",
        task_id="check_sources",
        try_number=3,
        log_url="http://localhost/log",
    )
    return {"ti": ti, "ds": "2026-11-14", "run_id": "r", "exception": exception}


def test_a_failure_notice_holds_no_foreign_errors_text(dags, receiver, monkeypatch):
    from airflow.sdk.exceptions import AirflowFailException

    monkeypatch.setenv("ANGELIA_NOTIFY_URL", f"http://127.0.0.1:{receiver.server_port}/hook")
    for dag in dags.values():
        for task in dag.tasks:
            assert task.on_failure_callback, task.task_id
    notifier = dags["nightly_personalization"].get_task("check_sources").on_failure_callback[0]
    notifier.notify(failed(AirflowFailException("error: gate sources of 2026-11-14 is closed: 300 nulls")))
    notifier.notify(failed(ValueError("anna@example.org")))
    first, second = (notice["text"] for notice in receiver.received)
    assert (
        "nightly_personalization.check_sources of 2026-11-14 failed (try 3): gate sources of "
        "2026-11-14 is closed: 300 nulls"
    ) in first
    assert second.endswith("ValueError http://localhost/log")


def test_a_notice_that_cannot_be_delivered_fails_nothing(dags, monkeypatch):
    notifier = dags["nightly_personalization"].get_task("check_sources").on_failure_callback[0]
    for url in ("http://127.0.0.1:9/nobody", "file:///etc/passwd", ""):
        monkeypatch.setenv("ANGELIA_NOTIFY_URL", url)
        notifier.notify(failed(ValueError("x")))


def test_each_due_part_is_one_command_of_its_channel(dags):
    from angelia.contracts.sources import CHANNELS, OTHER

    dag = dags["hourly_dispatch"]
    part = {"ds": "2026-11-14", "send_hour": "2026-11-15T04", "priority": "high", "kind": "plan", "rows": 3}
    due = {
        "parts": [
            {**part, "channel": "fcm", "part": 0},
            {**part, "channel": "fcm", "part": 0, "kind": "deferred"},
            {**part, "channel": "sms", "part": 1},
            {**part, "channel": "wecom", "part": 2},
            {**part, "channel": "email_two", "part": 0},
        ]
    }
    wanted = {"fcm": ["fcm 0"], "sms": ["sms 1"], OTHER: ["wecom 2", "email_two 0"]}
    for channel in (*CHANNELS, OTHER):
        words = dag.get_task(f"list_parts_{channel}").python_callable(due, channel, {"clock": "wall"})
        pairs = [f"{one[one.index('--channel') + 1]} {one[one.index('--part') + 1]}" for one in words]
        assert pairs == wanted.get(channel, [])
        for pair in words:
            assert pair[pair.index("--slots") + 1] == "2"
            assert "--wait-for-lease" in pair  # else the retry of a killed task ends at once
        assert dag.get_task(f"fan_out_{channel}").pool == f"deliver_{channel}"
