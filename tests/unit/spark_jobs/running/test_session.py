"""What jobs ask of Spark: nothing is broadcast because nobody knows how large it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyspark
import pytest
from pyspark.errors import PythonException

from angelia.config import load_settings
from angelia.contracts import arrow, dataset
from angelia.errors import AngeliaError, InvalidInput
from angelia.lake.attempt import code_version
from spark_jobs.running.reading import read_dataset
from spark_jobs.running.session import (
    DRIVERS_CODE,
    ShardResult,
    driver_host,
    executors_environment,
    from_executor,
    on_executor,
    require_master,
    run_job,
    run_shards,
    spark_session,
)

DS = "2026-11-14"
PROJECT = Path(__file__).resolve().parents[4]


def test_what_our_readers_give_is_not_broadcast_unmeasured(spark, lake) -> None:
    row = {"user_id": "a", "kind": "topic", "name": "promo", "is_opted_in": True}
    schema = arrow.schema(dataset("user_preferences"))
    with lake.attempt("user_preferences", ds=DS) as attempt:
        known = {name: row.get(name) for name in schema.names}
        attempt.write(
            pa.Table.from_pylist([known], schema=pa.schema([field.with_nullable(True) for field in schema])),
            "part-0000.parquet",
            conform=False,
        )
        commit = attempt.publish()
    left, two = (read_dataset(spark, lake, commit, ["user_id", name]) for name in ("kind", "name"))
    joined = left.join(two, "user_id")
    assert "Broadcast" not in joined._jdf.queryExecution().executedPlan().toString()
    assert [tuple(found) for found in joined.collect()] == [("a", "topic", "promo")]


PRINTS = """
from spark_jobs.running.session import spark_session
with spark_session("probe") as spark:
    names = "sql.shuffle.partitions job.description ui.enabled driver.memory angelia.partition.bytes"
    for name in names.split():
        print(spark.conf.get(f"spark.{name}", None))
"""


def test_conf_of_the_submitter_beats_our_defaults(tmp_path: Path) -> None:
    script = tmp_path / "probe.py"
    script.write_text(PRINTS)
    home = Path(pyspark.__file__).parent
    environment = {
        **{name: value for name, value in os.environ.items() if name != "SPARK_ENV_LOADED"},
        "SPARK_HOME": str(home),
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": str(PROJECT),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "ANGELIA_SPARK_CONF": "spark.sql.shuffle.partitions=5 spark.job.description='a night'",
    }
    options = ("--master", "local[1]", "--driver-memory", "512m", "--conf", "spark.sql.shuffle.partitions=3")
    done = subprocess.run(
        [str(home / "bin" / "spark-submit"), *options, str(script)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    # With the partitions named, nothing counts bytes to choose them.
    assert done.stdout.split("\n")[-6:-1] == ["3", "a night", "false", "512m", "None"], done.stderr


def test_conf_of_the_environment_is_checked(monkeypatch) -> None:
    monkeypatch.setenv("ANGELIA_SPARK_CONF", "spark.executor.memory=8g spark.x='a b'")
    assert load_settings().spark_options() == {"spark.executor.memory": "8g", "spark.x": "a b"}
    for wrong in ("executor.memory=8g", "spark.executor.memory", "spark.x='a"):
        monkeypatch.setenv("ANGELIA_SPARK_CONF", wrong)
        with pytest.raises(InvalidInput, match="ANGELIA_SPARK_CONF"):
            load_settings().spark_options()


def test_operators_error_of_an_executor_is_one_line(spark, capsys) -> None:
    def lose(_batches):
        with on_executor():
            raise InvalidInput("user_events ds=2026-11-14 has no column item", fix="import the day again")
        yield

    def main(_argv):
        spark.range(1).mapInArrow(lose, "x long").collect()

    assert run_job(main, []) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: user_events ds=2026-11-14 has no column item; import the day again"
    )


@pytest.mark.parametrize("is_hidden", [False, True])
def test_an_interrupted_job_ends_with_one_line(is_hidden: bool, capsys) -> None:
    def main(_argv):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            if is_hidden:
                raise ConnectionError("Spark is gone")  # noqa: B904 - as it happens
            raise

    assert run_job(main, []) == 130
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: interrupted; rerun")


def test_fault_of_an_executor_stays_a_traceback(spark) -> None:
    def fail(_batches):
        raise ZeroDivisionError("a defect")
        yield

    with pytest.raises(PythonException, match="a defect"):
        run_job(lambda _argv: spark.range(1).mapInArrow(fail, "x long").collect(), [])


def test_driver_is_where_the_master_sees_it(monkeypatch) -> None:
    # Executors end at once, and are started without end, if they look for their driver at 127.0.0.1.
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    assert driver_host("spark://127.0.0.2:7077") == {"spark.driver.host": "127.0.0.1"}
    assert driver_host("spark://[::1]:7077") == {"spark.driver.host": "::1"}
    assert driver_host("spark://nowhere.invalid:7077,127.0.0.1:7077") == {"spark.driver.host": "127.0.0.1"}
    for kubernetes in ("k8s://https://127.0.0.2:6443", "k8s://127.0.0.2"):
        assert driver_host(kubernetes) == {"spark.driver.host": "127.0.0.1"}
    for other in ("local[2]", "yarn", ""):
        assert driver_host(other) == {}


@pytest.mark.parametrize("master", ["local", "local[*]", "local-cluster[2,1,1024]", "k8s://https://a:443"])
def test_masters_that_jobs_can_use_are_taken(master: str) -> None:
    require_master(master)


@pytest.mark.parametrize("master", ["", "locl[2]", "local[2", "spark://", "host:7077", "mesos://host"])
def test_what_is_no_master_is_refused(master: str) -> None:
    with pytest.raises(AngeliaError, match="jobs cannot run on the Spark master") as raised:
        require_master(master)
    assert "spark_default" in str(raised.value.fix)


JOB = """
import sys
from spark_jobs.running.session import ShardResult, run_job, run_shards, spark_session

def main(argv):
    with spark_session("probe") as spark:
        print(run_shards(spark, [3], lambda shard: ShardResult(shard, [])))

sys.exit(run_job(main, []))
"""


def job(**more: str) -> tuple[int, str]:
    """Run a job in a process of its own; return its exit code and the last line that it says."""
    not_given = {"SPARK_ENV_LOADED", "YARN_CONF_DIR", "HADOOP_CONF_DIR"}
    given = {name: value for name, value in os.environ.items() if name not in not_given}
    done = subprocess.run(
        [sys.executable, "-c", JOB],
        env={**given, "PYTHONPATH": str(PROJECT), **more},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("master", "line"),
    [
        ("sc://localhost:15002", "as Spark Connect gives jobs no context"),
        ("yarn", "set HADOOP_CONF_DIR"),
    ],
)
def test_a_master_out_of_use_ends_before_a_jvm(master: str, line: str) -> None:
    code, last = job(ANGELIA_SPARK_MASTER=master)
    assert (code, last[:7]) == (2, "error: ")
    assert line in last


def test_an_executor_of_another_release_is_one_line() -> None:
    conf = f"spark.driver.memory=512m spark.executorEnv.{DRIVERS_CODE}=0.1.0+older"
    code, last = job(ANGELIA_SPARK_MASTER="local[1]", ANGELIA_SPARK_CONF=conf)
    wrong = (
        f"error: an executor has Angelia {code_version()}, unlike this driver's 0.1.0+older; give executors"
    )
    assert (code, last[: len(wrong)]) == (2, wrong)


def test_executors_get_our_settings_and_no_keys(monkeypatch) -> None:
    for name in ("ANGELIA_HOME", "ANGELIA_S3_ENDPOINT", "ANGELIA_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ANGELIA_CACHE_GIB", "5")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret")
    ours = {"spark.executorEnv.ANGELIA_CACHE_GIB": "5"}
    assert executors_environment("local[2]") == ours
    there = {f"spark.executorEnv.{DRIVERS_CODE}": code_version()}
    assert executors_environment("spark://host:7077") == ours | there


def test_a_master_that_does_not_answer_is_one_line(monkeypatch) -> None:
    def give_up(_builder):
        # Spark's own words, a minute and a half after the first try.
        raise RuntimeError("IllegalStateException: Cannot call methods on a stopped SparkContext.")

    monkeypatch.setattr("pyspark.sql.SparkSession.getActiveSession", lambda: None)
    monkeypatch.setattr("pyspark.sql.SparkSession.Builder.getOrCreate", give_up)
    monkeypatch.setenv("ANGELIA_SPARK_MASTER", "spark://127.0.0.1:1")
    with pytest.raises(AngeliaError, match=r"spark://127\.0\.0\.1:1 does not answer"), spark_session("probe"):
        pass


def test_master_nobody_knows_is_one_line() -> None:
    with pytest.raises(AngeliaError, match=r"no Spark master of spark://nowhere\.invalid:7077") as raised:
        driver_host("spark://nowhere.invalid:7077")
    assert "spark_default" in str(raised.value.fix)


@pytest.mark.parametrize(
    ("says", "line"),
    [
        (
            "worker.py\nModuleNotFoundError: No module named 'angelia.lake'",
            "has no Python module angelia.lake",
        ),
        (
            'java.io.IOException: Cannot run program "/v/python": error=2',
            "cannot run /v/python as its Python",
        ),
        (
            "AttributeError: Can't get attribute 'on_executor' on <module 'spark_jobs.running.session' from",
            "has another release of Angelia, without on_executor",
        ),
        ("different version: 3.9 than that in driver: 3.11, PySpark", "has Python 3.9, unlike this driver"),
    ],
)
def test_what_an_executor_lacks_is_one_line(says: str, line: str) -> None:
    prefix = "Python in worker has " if says.startswith("different") else ""
    assert (from_executor(PythonException(prefix + says)) or "").startswith(f"an executor {line}; give ")
    assert from_executor(ValueError(says)) is None


def test_workers_keep_the_memory_that_they_freed(spark) -> None:
    names = ("MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "NUMPY_MADVISE_HUGEPAGE")
    seen = [
        (result.shard, result.stats)
        for result in run_shards(spark, [3, 4], lambda shard: ShardResult(shard, [], dict(os.environ)))
    ]
    assert [shard for shard, _ in seen] == [3, 4]
    for _, environ in seen:
        assert [environ[name] for name in names] == ["0", "8589934592", "0"]
