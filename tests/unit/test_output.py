"""What commands print: one JSON object or lines, spans of days, other modules' output."""

from __future__ import annotations

import json
import signal
from datetime import date

import numpy as np
import pytest

from angelia.errors import AngeliaError, InvalidInput
from angelia.output import days_between, emit, exit_code, parse_ds, percent, run_module, written_out


def test_json_is_one_object_of_plain_values(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"n": np.int64(3), "day": date(2026, 11, 14), "kind": {1}}, ["three"], as_json=True)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"n": 3, "day": "2026-11-14", "kind": "{1}"}


def test_lines_are_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"n": 3}, ["three", "in all"], as_json=False)
    assert capsys.readouterr().out == "three\nin all\n"


def test_a_rate_below_one_per_cent_keeps_two_digits() -> None:
    rates = [0, 0.00096, 0.05, 0.1, 0.994, 0.995, 1, 12.34, 99.96, 100]
    shown = "0 %, 0.00096 %, 0.050 %, 0.10 %, 0.99 %, 1.0 %, 1.0 %, 12.3 %, 100.0 %, 100 %"
    assert ", ".join(percent(rate) for rate in rates) == shown


def test_a_span_holds_both_ends_and_at_most_366_days() -> None:
    assert days_between("2026-11-30", "2026-12-01") == ["2026-11-30", "2026-12-01"]
    assert len(days_between("2028-01-01", "2028-12-31")) == 366
    for first, last in (("2026-11-15", "2026-11-14"), ("2028-01-01", "2029-01-01")):
        with pytest.raises(InvalidInput, match="not a span of 1 to 366 days"):
            days_between(first, last)


def test_a_ds_is_written_in_one_way() -> None:
    assert parse_ds("20261114") == "2026-11-14"
    with pytest.raises(InvalidInput, match="--ds 'today' is not a date"):
        parse_ds("today")


def test_a_module_runs_as_a_command_and_its_failure_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_module(["calendar", "2026", "11"]).lstrip().startswith("November 2026")
    assert capfd.readouterr().err == "+ python -m calendar 2026 11\n"
    with pytest.raises(AngeliaError, match="`python -m calendar …` ended with exit code"):
        run_module(["calendar", "secret"])


def test_a_command_ends_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> int:
        raise InvalidInput("--ds is no day", fix="write 2026-11-14")

    def interrupt() -> int:
        signal.raise_signal(signal.SIGINT)
        return 0

    assert [exit_code(run) for run in (lambda: 3, refuse, interrupt)] == [3, 2, 130]
    refused, interrupted = capsys.readouterr().err.splitlines()
    assert refused == "error: --ds is no day; write 2026-11-14"
    assert interrupted.startswith("error: interrupted; rerun")


def test_a_number_is_written_out_in_digits_that_count() -> None:
    rates = [0.00001, -0.000012345, 0.5, 123_456.7, 0.0, 2.0, float("nan")]
    shown = ["0.00001", "-0.0000123", "0.5", "123,000", "0", "2", "nan"]
    assert [written_out(rate, 3) for rate in rates] == shown
    assert written_out(1_234_567.25) == "1,234,570"
    assert [written_out(rate, 3, signed=True) for rate in (1e-5, 0.0, -2.0)] == ["+0.00001", "+0", "-2"]
