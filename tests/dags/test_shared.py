"""How a command's end becomes a task's: tried again, or at once an operator's."""

import importlib

import pytest


@pytest.fixture
def run(dags):
    """Return what runs a line of Python as a task's command."""
    shared = importlib.import_module("_shared")

    def execute(line):
        return shared.CommandOperator(task_id="x", argv=["python", "-c", line]).execute({})

    return execute


def test_what_an_operator_must_put_right_is_not_tried_again(run):
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match=r"^error: no such day; name another$"):
        run("print('error: no such day; name another'); print('bye'); raise SystemExit(2)")


@pytest.mark.parametrize("code", [1, 3, -9])
def test_any_other_failure_is_tried_again(run, code):
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(RuntimeError, match=f"exit code {code}") as failed:
        run(f"import os, signal; os.kill(os.getpid(), 9) if {code} < 0 else os._exit({code})")
    assert not isinstance(failed.value, AirflowFailException)


def test_a_commands_last_line_of_json_is_its_result(run):
    assert run("print('1 of 2'); print('{\"rows\": 2}')") == {"rows": 2}
    assert run("print('done')") is None
