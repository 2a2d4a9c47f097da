"""Nothing that a benchmark started outlives it, however it ends.

Its children carry a mark in their environment, also those in sessions of their own. A guard in its own
session waits for the end of a pipe, which comes with the benchmark's end, SIGKILL included, and then ends all
that is marked. Reads /proc: where there is none, only signals are handled.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

MARK = "ANGELIA_BENCHMARK_RUN"


@contextmanager
def guarded() -> Iterator[None]:
    """End all processes started within, on leaving, on a signal, and after a SIGKILL.

    Signals are SIGTERM, SIGINT and SIGHUP.
    """
    mark = uuid.uuid4().hex
    command = [sys.executable, str(Path(__file__)), mark]
    guard = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    )
    os.environ[MARK] = mark

    def leave(number: int, _: FrameType | None) -> None:
        # The children end first: they must not write to folders that are removed on the way out.
        end_marked(mark)
        raise SystemExit(128 + number)

    before = {
        number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    }
    try:
        yield
    finally:
        os.environ.pop(MARK, None)
        for number, handler in before.items():
            signal.signal(number, handler)
        guard.communicate()


def end_marked(mark: str) -> None:
    """Kill every process that carries the mark, until a search meets none.

    A process may start another meanwhile.
    """
    for _ in range(50):
        alive = _marked(mark)
        for pid in alive:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if not alive:
            return
        time.sleep(0.05)


def _marked(mark: str) -> list[int]:
    wanted, pids = f"{MARK}={mark}".encode(), []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (path / "environ").read_bytes().split(b"\0"):
                pids.append(int(path.name))
        except OSError:  # gone, or another user's
            continue
    return pids


if __name__ == "__main__":
    sys.stdin.buffer.read()
    end_marked(sys.argv[1])
