"""The newcomer's walk of CONTRIBUTING.md: task id, file, contract, test, without searching.

Everything is derived from the DAGs as Airflow loads them, so that a new task is walked the day it is added.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from pathlib import Path

import pytest

from angelia.cli import COMMANDS
from angelia.contracts import CONTRACTS
from spark_jobs import JOBS

PROJECT = Path(__file__).resolve().parents[2]
UNIT = PROJECT / "tests" / "unit"


def words_of(dag, task) -> list[str]:
    """Return the command that a task runs; empty for a task that the DAG's own file decides.

    A mapped task's command is listed by the task before it: the first list there that begins with a program.
    """
    argv = getattr(task, "argv", None)
    if isinstance(argv, list):
        return argv
    if not task.is_mapped:
        return []
    lister = dag.get_task(task.expand_input.value["argv"].operator.task_id)
    source = ast.parse(textwrap.dedent(inspect.getsource(lister.python_callable)))
    lists = [node for node in ast.walk(source) if isinstance(node, ast.List) and node.elts]
    return next(
        [word.value for word in node.elts if isinstance(word, ast.Constant)]
        for node in lists
        if isinstance(node.elts[0], ast.Constant) and node.elts[0].value in ("angelia", "python")
    )


def command_of(words: list[str]) -> list[str]:
    """Return a command without its options: `angelia ledger resend`, `models.train`."""
    named = words[2:] if words[:2] == ["python", "-m"] else words
    return [word for word in named[:3] if not word.startswith("-")][: 1 if named is not words else 3]


def file_of(dag, task) -> Path:
    """First hop: the job's file, the command's module, or the DAG's own file."""
    if hasattr(task, "application_args"):
        return PROJECT / "spark_jobs" / f"{task.task_id}.py"
    words = command_of(words_of(dag, task))
    if not words:
        return PROJECT / "dags" / f"{dag.dag_id}.py"
    module = COMMANDS[words[1]][0] if words[0] == "angelia" else words[0]
    path = Path(str(importlib.import_module(module).__file__))
    # A group that is a folder has a file a command.
    own = path.with_name(f"{words[-1]}.py")
    return own if path.parent.name == words[min(1, len(words) - 1)] and own.is_file() else path


def contracts_of(dag, task) -> set[str]:
    """Second hop: the datasets whose contract names the job or the command as their writer."""
    name = task.task_id if hasattr(task, "application_args") else " ".join(command_of(words_of(dag, task)))
    return {dataset.name for dataset in CONTRACTS.values() if name and name in dataset.written_by}


def docstring_of(dag, task) -> str:
    """Return what the first hop's file says of itself."""
    return ast.get_docstring(ast.parse(file_of(dag, task).read_text("utf-8"))) or ""


def named_for(dag, task) -> list[Path]:
    """Third hop: the test files of its name: job, command, task, or the command's module."""
    if hasattr(task, "application_args"):
        return [path for path in [UNIT / "spark_jobs" / f"test_{task.task_id}.py"] if path.is_file()]
    words = command_of(words_of(dag, task))
    if words:
        word = words[-1].rpartition(".")[2]
        files = [UNIT.rglob(f"test_{name}.py") for name in (word, task.task_id, file_of(dag, task).stem)]
        # A benchmark's test may have a command's name; and who has the name must name the command.
        return [
            path
            for path in dict.fromkeys(path for paths in files for path in sorted(paths))
            if path.parent.name != "benchmarks" and word in path.read_text("utf-8")
        ]
    # Decided in the DAG's own file: its tests, the questions', or the policy's name the task. Tasks that
    # there are one a channel of are named by an f-string.
    files = [PROJECT / "tests" / "dags" / f"test_{name}.py" for name in (dag.dag_id, "questions", "dags")]
    called = (f'"{task.task_id}"', f'f"{task.task_id.rpartition("_")[0]}_{{')
    return [path for path in files if path.is_file() and any(n in path.read_text("utf-8") for n in called)]


def every_task(dags):
    return [(dag, task) for dag in dags.values() for task in dag.tasks]


def test_every_task_leads_to_its_file(dags) -> None:
    files = {(dag.dag_id, task.task_id): file_of(dag, task) for dag, task in every_task(dags)}
    assert len(files) > 30
    assert not [key for key, path in files.items() if not path.is_file()]
    for dag, task in every_task(dags):
        if hasattr(task, "application_args"):
            assert Path(task.application) == file_of(dag, task)


def test_every_file_says_what_it_reads_and_writes(dags) -> None:
    silent = {
        file_of(dag, task).relative_to(PROJECT).as_posix()
        for dag, task in every_task(dags)
        if not re.search(r"\b[Rr]eads?\b", docstring_of(dag, task))
        or not re.search(r"\bwrit(es?|ten)\b", docstring_of(dag, task))
    }
    assert not silent


def test_every_job_names_the_contracts_it_writes(dags) -> None:
    text = (PROJECT / "docs" / "DATASETS.md").read_text("utf-8")
    for dag, task in every_task(dags):
        written, outlets = contracts_of(dag, task), {asset.name for asset in task.outlets}
        assert outlets <= written, task.task_id
        if hasattr(task, "application_args"):
            # Beside its partitions a job may add to a log, which is nobody's asset.
            assert outlets == {name for name in written if CONTRACTS[name].partition != ("log",)} != set(), (
                task.task_id
            )
        assert [name for name in written if name not in docstring_of(dag, task)] == [], task.task_id
        assert [name for name in written if f"## {name}" not in text] == []


def test_every_task_leads_to_a_test_of_its_name(dags) -> None:
    without = [f"{dag.dag_id}.{task.task_id}" for dag, task in every_task(dags) if not named_for(dag, task)]
    assert without == []


@pytest.mark.parametrize("job", JOBS)
def test_every_job_has_its_test_file(job: str) -> None:
    path = UNIT / "spark_jobs" / f"test_{job}.py"
    assert "def test_" in path.read_text("utf-8")
    assert f"{job}.main" in path.read_text("utf-8"), "the test runs the job as the task does"
