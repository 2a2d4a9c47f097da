"""Policy of every DAG, and every rendered command parsed by the job's own parser."""

import ast
import json
import os
import re
import sys
from pathlib import Path

import pytest

from angelia.contracts import CONTRACTS
from tests.dags.given import PROJECT, commands, render

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "commands.json"
WRITE_GOLDEN = os.environ.get("ANGELIA_GOLDEN") == "write"  # read now: fixtures clear ANGELIA_*
DAGS = PROJECT / "dags"
ENGINES = {f"angelia.contracts.{name}" for name in ("spark", "duckdb", "gx")}


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


FAILS_WITH = {"all_success", "none_failed", "none_failed_min_one_success"}  # a failure before them fails them


def failed_with(dag, task_id):
    """Return the tasks that fail, or never start, once `task_id` has failed for good."""
    failed, todo = {task_id}, [task_id]
    while todo:
        before = todo.pop()
        for name in dag.get_task(before).downstream_task_ids - failed:
            after = dag.get_task(name)
            # A task that is expanded by what another one returns cannot start without it, whatever its rule.
            expands = after.is_mapped and before in {one.task_id for one in after.iter_mapped_dependencies()}
            if expands or after.trigger_rule in FAILS_WITH:
                failed.add(name)
                todo.append(name)
    return failed


def test_a_failed_task_turns_its_run_red(dags):
    """Airflow judges a run by its last tasks alone, so every failure has to reach one of them."""
    for dag in dags.values():
        last = {task.task_id for task in dag.leaves}
        for task in dag.tasks:
            assert failed_with(dag, task.task_id) & last, f"{dag.dag_id} is green where {task.task_id} fails"


def test_all_made_is_red_where_a_mart_failed(dags):
    assert "all_made" in failed_with(dags["daily_effects"], "mart")


def test_outlets_are_contracts(dags):
    for dag in dags.values():
        for task in dag.tasks:
            for asset in task.outlets:
                assert asset.name in CONTRACTS


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
