"""How a command's end becomes a task's, and where a task gets its secrets."""

import importlib
import json
import os

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


HELD = {"AWS_SECRET_ACCESS_KEY": "kept in a backend", "ANGELIA_CATALOG": "postgresql+psycopg://a:b@c/d"}


@pytest.fixture(params=["environment", "file"])
def backend(request, dags, tmp_path, monkeypatch):
    """Return what writes connections to where one of Airflow's secrets backends reads them."""
    # The backends are made once a process, which knows none of its own yet.
    monkeypatch.setattr("airflow.sdk.configuration._secrets_backend_cache", {})
    for name in HELD:
        monkeypatch.setenv(name, "the worker's own")

    def write(**connections):
        if request.param == "environment":
            for name, value in connections.items():
                monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(value))
        else:
            file = tmp_path / "connections.json"
            file.write_text(json.dumps(connections))
            local = "airflow.secrets.local_filesystem.LocalFilesystemBackend"
            monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", local)
            monkeypatch.setenv(
                "AIRFLOW__SECRETS__BACKEND_KWARGS", json.dumps({"connections_file_path": str(file)})
            )

    return write


def test_every_task_takes_its_secrets_first(dags):
    take = importlib.import_module("_shared").take_secrets

    def first(task):
        return task.partial_kwargs.get("pre_execute") if task.is_mapped else task._pre_execute_hook

    assert [task.task_id for dag in dags.values() for task in dag.tasks if first(task) != take] == []


def test_a_backends_connection_fills_a_tasks_environment(backend, run, monkeypatch):
    take = importlib.import_module("_shared").take_secrets
    backend(angelia={"conn_type": "generic", "extra": HELD})
    take({})
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == "the worker's own"
    monkeypatch.setenv("ANGELIA_CONNECTION", "angelia")
    take({})
    assert run(f"import json, os; print(json.dumps({{n: os.environ[n] for n in {[*HELD]}}}))") == HELD


def test_a_backend_names_the_spark_master(backend):
    from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook

    backend(spark_default={"conn_type": "spark", "host": "spark://spark-master", "port": 7077})
    hook = SparkSubmitHook(conn_id="spark_default", use_krb5ccache=False)
    assert hook._connection["master"] == "spark://spark-master:7077"


@pytest.mark.parametrize(
    ("extra", "line"),
    [
        (
            None,
            "^error: no secrets backend of Airflow knows the connection angelia; "
            "add it, or unset ANGELIA_CONNECTION$",
        ),
        (
            {**HELD, "PATH": "/tmp"},
            r"^error: the connection angelia holds 'PATH'; its extra takes texts named ANGELIA_… or AWS_…$",
        ),
        ({"AWS_REGION": 1}, "^error: the connection angelia holds 'AWS_REGION'; "),
    ],
)
def test_a_wrong_connection_is_one_line(backend, monkeypatch, extra, line):
    from airflow.sdk.exceptions import AirflowFailException

    backend(**({} if extra is None else {"angelia": {"conn_type": "generic", "extra": extra}}))
    monkeypatch.setenv("ANGELIA_CONNECTION", "angelia")
    with pytest.raises(AirflowFailException, match=line):
        importlib.import_module("_shared").take_secrets({})
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == "the worker's own"


def test_options_of_every_job_reach_the_dags(dags, monkeypatch):
    shared = importlib.import_module("_shared")
    monkeypatch.setenv(
        "ANGELIA_SPARK_CONF",
        "spark.executor.memory=8g spark.executor.cores=2 spark.executor.instances=4",
    )
    task = shared.spark_job("index_users", "--ds", "2026-11-14", outlets=["user_index"])
    assert task.conf == {
        "spark.executor.memory": "8g",
        "spark.executor.cores": "2",
        "spark.executor.instances": "4",
    }
