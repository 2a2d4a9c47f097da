"""Serving: a port in use is one line, and SIGTERM ends server and writer."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from angelia.cli import main
from angelia.intake.api import create_app
from angelia.intake.database import connect
from angelia.intake.serving import serve, tune_interpreter


def test_a_port_in_use_is_one_line(settings_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy, pytest.raises(SystemExit) as ended:
        main(["intake", "serve", "--port", str(busy.getsockname()[1]), "--no-access-log"])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: cannot listen on port")


def test_sigterm_ends_a_server_that_listened(sqlite_url: str, tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    caught: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: caught.append(number))

    def end() -> None:
        while not ready.exists():
            time.sleep(0.01)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    # Other tests of this process may leave a writer of their own behind.
    others = set(threading.enumerate())
    threading.Thread(target=end).start()
    engine = connect(sqlite_url)
    try:
        serve(create_app(engine), "127.0.0.1", 0, ready)
    finally:
        signal.signal(signal.SIGTERM, before)
        engine.dispose()
    assert caught == [signal.SIGTERM]
    mine = set(threading.enumerate()) - others
    assert not any(thread.name == "intake-writer" for thread in mine)


def test_ctrl_c_ends_a_server_as_it_should(sqlite_url: str, tmp_path: Path) -> None:
    ready, errors = tmp_path / "ready.json", tmp_path / "errors"
    words = [sys.executable, "-m", "angelia.cli", "intake", "serve", "--port", "0", "--no-access-log"]
    environment = {**os.environ, "ANGELIA_HOME": str(tmp_path), "ANGELIA_INTAKE": sqlite_url}
    with errors.open("w") as file:
        server = subprocess.Popen([*words, "--ready-file", str(ready)], env=environment, stderr=file)
        deadline = time.monotonic() + 120
        while not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        server.send_signal(signal.SIGINT)
        assert server.wait(120) == 0
    assert errors.read_text().splitlines()[-1] == "stopped: requests under way were answered"


def test_a_tuned_process_looks_for_circles_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    before, at_end = (gc.get_threshold(), sys.getswitchinterval()), list[Callable[[], None]]()
    monkeypatch.setattr("atexit.register", at_end.append)
    try:
        tune_interpreter()
        assert gc.get_threshold()[0] > 10_000
        assert sys.getswitchinterval() < 0.001
        assert gc.get_freeze_count()
        assert gc.isenabled()
        for end in at_end:
            end()
        assert not gc.get_freeze_count(), "DuckDB would say at the end that it leaked"
    finally:
        gc.unfreeze()
        gc.set_threshold(*before[0])
        sys.setswitchinterval(before[1])
