"""What every job shares: parser, session, lake, and the spreading of per-shard work."""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pyarrow as pa

from angelia import logs
from angelia.config import load_settings
from angelia.errors import AngeliaError, InvalidInput
from angelia.lake import Commit, FileEntry, Lake
from angelia.lake.attempt import code_version
from angelia.lake.configured import open_lake
from angelia.output import exit_code, parse_ds, progress, speak_utf8
from angelia.quality.judged import judged_lake

if TYPE_CHECKING:  # a job that runs in processes needs no Spark, nor the second it takes to import
    from pyspark.sql import SparkSession


def arg_parser(doc: str | None, *, after: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser every job starts from.

    Abbreviations are refused, so a misspelt option can never pass.

    Args:
        doc: of the job.
        after: the gates that stand before the job in the night; it reads what they judged (`open_judged`).
    """
    parser = argparse.ArgumentParser(
        description=doc, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ds", required=True, type=_ds, metavar="YYYY-MM-DD", help="the closed UTC day D")
    parser.add_argument(
        "--branch",
        default=None,
        help="lake branch to write: main, or replay-<id>; default ANGELIA_BRANCH or main",
    )
    if after:
        gates = " and ".join(after)
        parser.add_argument(
            "--judged",
            action="store_true",
            help=f"stop if {gates} never judged the day; without, a gate never checked binds nothing",
        )
        parser.set_defaults(after=tuple(after))
    return parser


def open_judged(args: argparse.Namespace) -> Lake:
    """Open the lake as the gates before this job judged it; see `angelia.quality.judged`."""
    return judged_lake(open_lake(args.branch), args.ds, args.after, is_required=args.judged)


def _ds(value: str) -> str:
    try:
        return parse_ds(value)
    except InvalidInput as error:
        raise argparse.ArgumentTypeError(error.one_line()) from None


# Defaults: an operator's `--conf`, spark-defaults.conf or ANGELIA_SPARK_CONF beats each of them.
OPTIONS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "8",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "65536",
    # Our own readers give Spark no size: it took ten million addresses for a few, and broadcast them.
    # Measured sizes decide.
    "spark.sql.autoBroadcastJoinThreshold": "-1",
    "spark.sql.adaptive.autoBroadcastJoinThreshold": "10MB",
    # A shard's arrays have some 50 MB each, and an operation makes a new one. By itself the allocator asks
    # the system for each anew, which fills it with zeros: a third of a worker's processor time. Workers keep
    # what they have freed until their job ends; their peak is the same.
    "spark.executorEnv.MALLOC_MMAP_MAX_": "0",
    "spark.executorEnv.MALLOC_TRIM_THRESHOLD_": str(8 * 2**30),
    "spark.executorEnv.NUMPY_MADVISE_HUGEPAGE": "0",
}


# Bytes of Parquet that an exchange has a partition for, beyond its first eight (`reading.read_dataset` counts
# them): ten million people's first load is 9 GB of sources. Left out where the operator names the partitions.
PARTITION_BYTES = ("spark.angelia.partition.bytes", str(32 * 2**20))
# What executors are told of the driver's environment: those of other machines inherit nothing.
PASSED = ("ANGELIA_HOME", "ANGELIA_S3_ENDPOINT", "ANGELIA_CACHE", "ANGELIA_CACHE_GIB")
_NAMED = "correct the Airflow connection spark_default, or ANGELIA_SPARK_MASTER"
_SAME_IMAGE = "give executors the driver's image, or a packed environment (docs/DOCKER.md)"
DRIVERS_CODE = "ANGELIA_DRIVERS_CODE"
MASTERS = re.compile(r"local(\[.+\])?|local-cluster\[.+\]|spark://.+|k8s://.+|yarn")
# The value of ANGELIA_SPARK_MASTER that does the shards of a job one after the other in this process: for
# benchmarks of many small nights. Jobs with an exchange need a real session.
INLINE = "inline"


@contextmanager
def spark_session(name: str) -> Iterator[SparkSession]:
    """Yield the running session, or else a new one that is stopped at the end.

    Workers use this very interpreter, unless `spark.pyspark.python` names theirs: `python3` on the PATH would
    miss every package.
    """
    if os.environ.get("ANGELIA_SPARK_MASTER") == INLINE:
        yield None  # type: ignore[misc]
        return
    from pyspark.sql import SparkSession

    # Tests and notebooks share one session: it is used, and not stopped.
    running = SparkSession.getActiveSession()
    if running is not None:
        yield running
        return
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise AngeliaError("pyspark is not installed", fix="run `make setup`")
    os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    os.environ.setdefault("SPARK_HOME", str(Path(spec.origin).parent))
    builder = SparkSession.builder.appName(name)
    options = OPTIONS | {"spark.pyspark.python": sys.executable} | load_settings().spark_options()
    if "SPARK_ENV_LOADED" in os.environ:  # under spark-submit, which was told its master and options
        given = submitted()
        master = given.get("spark.master") or given.get("spark.remote", "")
    else:
        given = {}
        master = os.environ.get("ANGELIA_SPARK_MASTER", "local[2]")
        options = {"spark.driver.memory": "4g"} | options
        builder = builder.master(master)
    require_master(master)
    if master.startswith("local"):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    options = executors_environment(master) | driver_host(master) | options
    if "spark.sql.shuffle.partitions" not in given | load_settings().spark_options():
        options |= [PARTITION_BYTES]
    os.environ["PYSPARK_PYTHON"] = given.get("spark.pyspark.python", options["spark.pyspark.python"])
    options = {option: value for option, value in options.items() if option not in given}
    for option, value in options.items():
        builder = builder.config(option, value)
    try:
        session = builder.getOrCreate()
    except Exception as error:
        # Spark asks a master three times, for a minute and a half, and then stops its own context.
        if "stopped SparkContext" not in str(error) or not master.startswith("spark://"):
            raise
        raise AngeliaError(
            f"the Spark master {master} does not answer", fix=f"start it, or {_NAMED}"
        ) from None
    session.sparkContext.setLogLevel("ERROR")
    try:
        yield session
    finally:
        session.stop()


def require_master(master: str) -> None:
    """Refuse what cannot be a master, before a JVM starts and ends in a traceback of its own.

    Raises:
        AngeliaError: it is none, or it needs a setting that is missing.
    """
    if not MASTERS.fullmatch(master):
        why = ", as Spark Connect gives jobs no context" if master.startswith("sc://") else ""
        raise AngeliaError(
            f"jobs cannot run on the Spark master {master!r}{why}",
            fix=f"take local[N], spark://HOST:PORT, k8s://URL or yarn: {_NAMED}",
        )
    if master == "yarn" and not {"HADOOP_CONF_DIR", "YARN_CONF_DIR"} & set(os.environ):
        raise AngeliaError("YARN's address is unknown", fix="set HADOOP_CONF_DIR or YARN_CONF_DIR")


def executors_environment(master: str) -> dict[str, str]:
    """Return the options that tell executors some settings, and the code that they must have."""
    wanted = {name: os.environ[name] for name in PASSED if os.environ.get(name)}
    if not master.startswith("local"):
        wanted[DRIVERS_CODE] = code_version()
    return {f"spark.executorEnv.{name}": value for name, value in wanted.items()}


def driver_host(master: str) -> dict[str, str]:
    """Return the option that tells a cluster's executors where this driver is.

    For standalone clusters and Kubernetes it is the address by which this machine reaches the master. Spark
    takes this host's name, which executors may not be able to look up (a pod's), or SPARK_LOCAL_IP, which
    samples set to 127.0.0.1: executors that do not reach their driver end at once, and the master starts them
    again without end.
    """
    kind_of_master, _, places = master.partition("://")
    if kind_of_master not in ("spark", "k8s"):
        return {}
    # Of several masters (spark://a:7077,b:7077) the first that has an address decides; Kubernetes' may have
    # a scheme of its own (k8s://https://a:443).
    for place in places.split(","):
        parts = urlsplit(f"//{place.rpartition('://')[2]}")
        try:
            family, kind, _, _, address = socket.getaddrinfo(
                parts.hostname, parts.port or 7077, type=socket.SOCK_DGRAM
            )[0]
            with socket.socket(family, kind) as probe:
                probe.connect(address)  # sends nothing: it only asks which way packets would go
                return {"spark.driver.host": str(probe.getsockname()[0])}
        except (OSError, ValueError):
            continue
    raise AngeliaError(
        f"no Spark master of {master} can be looked up",
        fix=_NAMED,
    )


def submitted() -> dict[str, str]:
    """Return the options that spark-submit was given: by `--conf` or spark-defaults.conf."""
    from pyspark import SparkConf, SparkContext

    SparkContext._ensure_initialized()  # starts the gateway, without which there is no conf to read
    return dict(SparkConf().getAll())


@dataclass(frozen=True)
class ShardResult:
    """One shard's result: the files it wrote, and small statistics."""

    shard: int
    files: list[FileEntry]
    stats: dict[str, Any] = field(default_factory=dict)


def run_shards(
    spark: SparkSession, shards: Sequence[int], work: Callable[[int], ShardResult]
) -> list[ShardResult]:
    """Run `work(shard)` once per shard on the workers and return what they sent back, by shard.

    Only file entries and statistics travel; rows stay in the files that the workers write.
    """

    def spread(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for index in batch.column(0).to_pylist():
                with on_executor():
                    result = work(shards[index])
                answer = json.dumps(
                    {"files": [entry.to_json() for entry in result.files], "stats": result.stats}
                )
                yield pa.RecordBatch.from_pydict(
                    {"shard": pa.array([result.shard], pa.int64()), "answer": pa.array([answer], pa.string())}
                )

    if not shards:
        return []
    if spark is None:
        return [work(shard) for shard in shards]
    rows = (
        spark.range(len(shards), numPartitions=len(shards))
        .mapInArrow(spread, "shard long, answer string")
        .collect()
    )
    results = []
    # Workers answer in any order; commits must list their files in one.
    for row in sorted(rows, key=lambda row: row.shard):
        answer = json.loads(row.answer)
        results.append(
            ShardResult(row.shard, [FileEntry.from_json(text) for text in answer["files"]], answer["stats"])
        )
    return results


def all_shards(index: Commit) -> range:
    """Return the shards that an index commit covers."""
    return range(
        ((int(index.meta["n_users"]) - 1) >> int(index.meta["shard_bits"])) + 1
        if index.meta["n_users"]
        else 0
    )


@contextmanager
def on_executor() -> Iterator[None]:
    """Refuse work by another release's code, and keep the fix of an error.

    The traceback is all that comes back from an executor, so the fix of an operator's error is added to it.

    Raises:
        AngeliaError: this executor's code is not the driver's, under whose name its files would be committed.
    """
    try:
        drivers = os.environ.get(DRIVERS_CODE, "")
        if drivers and drivers != code_version():
            raise AngeliaError(
                f"an executor has Angelia {code_version()}, unlike this driver's {drivers}", fix=_SAME_IMAGE
            )
        yield
    except AngeliaError as error:
        if error.fix:
            error.add_note(f"fix: {error.fix}")
        raise


_RAISED = re.compile(r"^angelia\.errors\.[A-Z]\w+: (?P<message>.+)(?:\n(?:fix: (?P<fix>.+)))?", re.MULTILINE)
# What executors lack: a pattern of Spark's words, and the line that says so.
_LACKS = {
    r"ModuleNotFoundError: No module named '([\w.]+)'": "an executor has no Python module %s",
    r'Cannot run program "([^"]+)"': "an executor cannot run %s as its Python",
    r"Python in worker has different version: ([\d.]+)": "an executor has Python %s, unlike this driver",
    r"Can't get attribute '(\w+)' on <module '(?:angelia|models|spark_jobs)\b": (
        "an executor has another release of Angelia, without %s"
    ),
}


def from_executor(error: Exception) -> str | None:
    """Return the one line of an operator's error that ended a task on an executor, or None.

    Only its traceback comes back, as text, within what Spark says about the lost stage.
    """
    if not type(error).__module__.startswith(("pyspark.", "py4j.")):
        return None
    text = str(error)
    if raised := _RAISED.search(text):
        return "; ".join(part.strip() for part in raised.groups() if part)
    for pattern, line in _LACKS.items():
        if lacking := re.search(pattern, text):
            return f"{line % lacking[1]}; {_SAME_IMAGE}"
    return None


def run_job(
    main: Callable[[Sequence[str] | None], None],
    argv: Sequence[str] | None = None,
    *,
    on_demand: bool = False,
) -> int:
    """Run a job's main and return the exit code; operators' errors are printed as one line.

    `on_demand`: a person asks, outside the night, and has read a refusal; no log nor alert repeats it. A
    crash leaves its line all the same.
    """
    speak_utf8()
    job = Path(inspect.getfile(main)).stem  # a job that spark-submit starts is called __main__

    def run() -> int:
        began = time.monotonic()
        with logs.step(job, sys.argv[1:] if argv is None else argv, always=not on_demand):
            try:
                main(argv)
            except Exception as error:
                # Within the step, so that its line calls it what it is: an error, and no crash.
                if _met_interrupt(error):
                    raise KeyboardInterrupt from None
                line = from_executor(error)
                if line is None:
                    raise
                raise AngeliaError(line) from error
        progress(f"{job}: {time.monotonic() - began:.1f} s")
        return 0

    return exit_code(run)


def _met_interrupt(error: BaseException | None) -> bool:
    """Say whether an error came of Ctrl-C: Spark, stopped amid an answer, raises others."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None
