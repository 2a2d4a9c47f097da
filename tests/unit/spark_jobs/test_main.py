"""Several jobs in one session: all command lines are checked before the first job runs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from spark_jobs import JOBS
from spark_jobs import __main__ as module

FIRST, SECOND = list(JOBS)[:2]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return what ran: the session's name, then each job with its words."""
    done: list[object] = []

    def parser() -> argparse.ArgumentParser:
        made = argparse.ArgumentParser(allow_abbrev=False)
        made.add_argument("--ds", required=True)
        return made

    @contextmanager
    def session(name: str) -> Iterator[None]:
        done.append(name)
        yield

    def run(job: str, words: list[str]) -> int:
        done.append((job, words))
        return 3 if "bad" in words else 0

    monkeypatch.setattr(module, "spark_session", session)
    monkeypatch.setattr(module, "run_job", run)
    monkeypatch.setattr(
        module.importlib, "import_module", lambda name: SimpleNamespace(main=name, arg_parser_for_job=parser)
    )
    return done


def test_jobs_run_in_their_order_in_one_session(ran: list[object]) -> None:
    assert module.main([FIRST, "--ds", "a", "+", SECOND, "--ds", "b"]) == 0
    assert ran == [
        f"{FIRST}+{SECOND}",
        (f"spark_jobs.{FIRST}", ["--ds", "a"]),
        (f"spark_jobs.{SECOND}", ["--ds", "b"]),
    ]


def test_the_first_failure_ends_the_run_with_its_code(ran: list[object]) -> None:
    assert module.main([FIRST, "--ds", "bad", "+", SECOND, "--ds", "b"]) == 3
    assert len(ran) == 2


def test_a_wrong_command_line_stops_before_any_job(ran: list[object]) -> None:
    with pytest.raises(SystemExit):
        module.main([FIRST, "--ds", "a", "+", SECOND, "--day", "b"])
    assert ran == []


@pytest.mark.parametrize("words", [[], ["+"], ["no_such_job", "--ds", "a"], [FIRST, "--ds", "a", "+", "x"]])
def test_a_name_that_is_no_job_is_answered_with_all_there_are(
    words: list[str], ran: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert module.main(words) == 2
    assert ", ".join(JOBS) in capsys.readouterr().err
    assert ran == []
