"""`angelia ledger`: what a plan's ledger says, and rows that a person releases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from angelia.transport.wire import UNKNOWN, Answer
from tests.unit.delivery.given import DS
from tests.unit.delivery.typing_in import run


def test_status_and_release(bench: Any, settings_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench.plan(40)
    bench.deliver(
        lambda _, message: (
            Answer(0, failure=UNKNOWN)
            if message["token"] < "sandbox-00000005"
            else Answer(200, b'{"name":"n"}')
        )
    )
    assert run("ledger", "status", "--ds", DS, "--json") == 0
    status = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert status["outcomes"] == {"accepted": 35, "ambiguous": 5}
    assert (status["rows"], status["rows_open"], status["open_intents"], status["parts_done"]) == (
        40,
        0,
        0,
        1,
    )
    assert run("ledger", "release", "--ds", DS, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"ds": DS, "rows": 5, "parts": 1, "released": False}
    assert bench.deliver().delivered == {}
    assert run("ledger", "release", "--ds", DS, "--send-hour", "2026-11-15T09", "--yes") == 2
    assert "nothing to send in 2026-11-15T09" in capsys.readouterr().err
    assert run("ledger", "release", "--ds", DS, "--yes") == 0
    assert "5 ambiguous rows in 1 parts released" in capsys.readouterr().out
    again = bench.deliver()
    assert again.to_json()["delivered"] == {"accepted": 5}
    assert again.already_delivered == 35
    assert len(bench.wire.requests) == 5
    assert {row["outcome"] for row in bench.ledger().values()} == {"accepted"}
