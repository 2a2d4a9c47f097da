"""`angelia receive`: whose secrets it takes, and what it prints at its end."""

from __future__ import annotations

import json
import signal
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from angelia.cli import main
from angelia.intake import serving
from angelia.intake.dispatching.dispatcher import Dispatcher
from angelia.intake.dispatching.terms import Report
from angelia.lake import Lake
from angelia.receive import folding
from angelia.receive.journal import Journal, parse
from tests.unit.delivery.given import DS
from tests.unit.receive.callers import NOW, SECRET, body_of, event, receipts


def test_nobody_can_be_believed_without_a_secret(
    settings_home: Any, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["receive", "--port", "0"])
    assert stop.value.code == 2
    assert "ANGELIA_RECEIVE_CREDENTIALS" in capsys.readouterr().err


def test_the_command_takes_folds_and_stops(
    bench: Any,
    lake: Lake,
    settings_home: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What was left in the journal by a run that died is folded by the next."""
    path = settings_home / "receive.json"
    path.write_text(json.dumps({"secret": SECRET.decode()}))
    monkeypatch.setenv("ANGELIA_RECEIVE_CREDENTIALS", str(path))
    bench.plan(1)
    bench.deliver()
    (dispatch,) = bench.ledger()
    Journal(lake.store).keep(parse(body_of(event(dispatch)), NOW)[0], datetime.now(UTC))
    monkeypatch.setattr(folding, "recent_days", lambda _: [DS])
    before = signal.getsignal(signal.SIGTERM)
    threading.Timer(0.5, signal.raise_signal, (signal.SIGTERM,)).start()
    with pytest.raises(SystemExit) as stop:
        main(["receive", "--port", "0", "--max-seconds", "60", "--json"])
    assert signal.getsignal(signal.SIGTERM) is before
    assert stop.value.code == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["receipts"] == 1
    assert [row["dispatch_id"] for row in receipts(lake)] == [dispatch]
    counted = (settings_home / "metrics" / "angelia_receive.prom").read_text("utf-8")
    assert 'angelia_receive_folded_total{what="receipts"} 1' in counted


def test_the_command_says_what_is_damaged(
    lake: Lake,
    settings_home: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = settings_home / "receive.json"
    path.write_text(json.dumps({"secret": SECRET.decode()}))
    monkeypatch.setenv("ANGELIA_RECEIVE_CREDENTIALS", str(path))
    Journal(lake.store).keep(parse(body_of(event("0" * 32, "stop")), NOW)[0], datetime.now(UTC))
    (key,) = lake.store.list("received")
    lake.store.local_path(key).chmod(0o644)
    lake.store.local_path(key).write_bytes(b"\xff")
    with pytest.raises(SystemExit) as stop:
        main(["receive", "--port", "0", "--max-seconds", "0.1", "--json"])
    assert stop.value.code == 3
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["damaged"] == 1
    assert f"{key} is damaged" in caplog.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_dispatcher_end(
    number: signal.Signals,
    settings_home: Any,
    lake: Lake,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def until_drained(self: Dispatcher) -> Report:
        signal.raise_signal(number)
        await self.draining.wait()
        return self.report

    monkeypatch.setattr(Dispatcher, "run", until_drained)
    monkeypatch.setattr(serving, "tune_interpreter", lambda: None)  # it would tune all tests
    with pytest.raises(SystemExit) as stop:
        main(["intake", "dispatch"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("nothing was due")
