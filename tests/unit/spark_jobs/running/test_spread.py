"""Where a job's pieces run: Spark where it is asked for, else this machine's cores."""

from __future__ import annotations

import os

import pytest

from angelia.audience.bitmaps.build import BuiltPiece
from spark_jobs.running import spread
from spark_jobs.running.spread import in_processes, wants_spark


def piece(number: int) -> BuiltPiece:
    return BuiltPiece([], {"number": number, "process": os.getpid()})


@pytest.mark.parametrize(
    ("named", "is_wanted"),
    [({"ANGELIA_SPARK_MASTER": "local[2]"}, True), ({"SPARK_ENV_LOADED": "1"}, True),
     ({"ANGELIA_SPARK_MASTER": "inline", "SPARK_ENV_LOADED": "1"}, False)],
)  # fmt: skip
def test_spark_is_used_where_it_is_asked_for(
    named: dict[str, str], is_wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPARK_ENV_LOADED", raising=False)
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    assert wants_spark() == is_wanted


def test_few_pieces_are_done_here_in_their_order() -> None:
    built = in_processes(4, piece, alone_s=60.0)
    assert [each.stats["number"] for each in built] == [0, 1, 2, 3]
    assert {each.stats["process"] for each in built} == {os.getpid()}
    assert in_processes(0, piece) == []


def test_on_a_single_core_no_process_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread.os, "sched_getaffinity", lambda _: {0}, raising=False)
    built = in_processes(3, piece, alone_s=0.0)
    assert {each.stats["process"] for each in built} == {os.getpid()}
    assert [each.stats["number"] for each in built] == [0, 1, 2]
