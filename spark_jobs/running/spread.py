"""Where the pieces of a job without exchange run: Spark, or the cores of this machine.

Under spark-submit, in a running session, or with ANGELIA_SPARK_MASTER set, pieces are Spark tasks. A job
started by itself on one machine needs no session, whose start takes longer than building the index of a
million people: it does the first pieces itself, and if work remains after a second, starts a process a core
for the rest. Results are the same bytes either way.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from angelia.audience.bitmaps.build import BuiltPiece, Spread
from angelia.errors import AngeliaError
from spark_jobs.running.session import INLINE, ShardResult, run_shards, spark_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ALONE_S = 1.0
Work = Callable[[int], BuiltPiece]


@contextmanager
def spreading(name: str) -> Iterator[Spread]:
    """Yield what spreads the pieces of a job."""
    if wants_spark():
        with spark_session(name) as spark:
            yield partial(on_spark, spark)
    else:
        yield in_processes


def wants_spark() -> bool:
    """Return whether to use Spark: a running session, spark-submit, or a named master."""
    if os.environ.get("ANGELIA_SPARK_MASTER") == INLINE:
        return False
    if "SPARK_ENV_LOADED" in os.environ or "ANGELIA_SPARK_MASTER" in os.environ:
        return True
    pyspark = sys.modules.get("pyspark.sql")
    return pyspark is not None and pyspark.SparkSession.getActiveSession() is not None


def on_spark(spark: SparkSession, n: int, work: Work) -> list[BuiltPiece]:
    """Do n pieces as Spark tasks and return their results in order."""

    def piece(number: int) -> ShardResult:
        built = work(number)
        return ShardResult(number, built.files, built.stats)

    return [BuiltPiece(result.files, result.stats) for result in run_shards(spark, range(n), piece)]


def in_processes(n: int, work: Work, alone_s: float = ALONE_S) -> list[BuiltPiece]:
    """Do n pieces on this machine's cores and return their results in order.

    The first `alone_s` seconds run in this process alone.

    Raises:
        AngeliaError: a process died.
    """
    built: list[BuiltPiece] = []
    began = time.monotonic()
    while len(built) < n and time.monotonic() - began < alone_s:
        built.append(work(len(built)))
    rest = range(len(built), n)
    cores = min(
        len(rest), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    if cores < 2:
        return built + [work(number) for number in rest]
    # Spawned, not forked: Arrow has threads, and a fork would copy their locks as they stand.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(cores, mp_context=context, initializer=_receive, initargs=(work,)) as pool:
        try:
            return built + list(pool.map(_do, rest))
        except BrokenProcessPool:
            raise AngeliaError(
                "a worker process died, most likely because memory ran out",
                fix="free memory, then run it again",
            ) from None


_work: Work | None = None


def _receive(work: Work) -> None:
    global _work
    _work = work


def _do(number: int) -> BuiltPiece:
    assert _work is not None
    return _work(number)
