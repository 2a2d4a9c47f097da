"""Servers under test, and loads on them: processes that end with who started them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from angelia.errors import AngeliaError

Loading = Callable[[float, str], "subprocess.Popen[str]"]


def start_server(
    words: Sequence[str], env: Mapping[str, str], ready: Path
) -> tuple[subprocess.Popen[bytes], int]:
    """Start `angelia WORDS` on any port; return the process and its port once it listens.

    Raises:
        AngeliaError: it ended, or did not listen within a minute.
    """
    ready.unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "angelia.cli", *words, "--port", "0", "--ready-file", str(ready)],
        env=os.environ | env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ends = time.monotonic() + 60
    while not (ready.exists() and ready.stat().st_size):
        if process.poll() is not None or time.monotonic() > ends:
            fix = f"run `angelia {' '.join(words)}` by hand"
            raise AngeliaError("the server under test did not start", fix=fix)
        time.sleep(0.02)
    return process, int(json.loads(ready.read_text())["port"])


@contextmanager
def uvicorn_peer(app: str, env: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    """Yield port and process id of a peer's application on uvicorn; SIGTERM at the end."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=2_048)
    command = [sys.executable, "-m", "uvicorn", app, "--no-access-log", "--log-level", "error"]
    process = subprocess.Popen(
        [*command, "--fd", str(listener.fileno())],
        env=os.environ | env,
        pass_fds=[listener.fileno()],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield listener.getsockname()[1], process.pid
    finally:
        listener.close()
        process.terminate()
        process.wait(60)


def loaded(loading: Loading, pid: int, seconds: float, prefix: str) -> dict[str, Any]:
    """Return what a load saw, with the processor seconds of the server.

    Args:
        loading: starts the load for (seconds, prefix of its names); it prints one JSON object.
        pid: the server's process.
        seconds: of the load; a shorter one goes ahead, which pays for imports and connections.
        prefix: of the names of what it sends.

    Raises:
        AngeliaError: something was refused, or nothing acknowledged.
    """
    loading(min(2.0, seconds), f"warm-{prefix}").communicate()
    before = processor_s(pid)
    seen: dict[str, Any] = json.loads(loading(seconds, prefix).communicate()[0])
    seen["processor_s"] = processor_s(pid) - before
    if seen.get("unknown") or seen["refused"] or not seen["acknowledged"]:
        raise AngeliaError(f"the load {prefix} was not answered: {seen['refused']}", fix="run it again")
    return seen


def processor_s(pid: int) -> float:
    """Return the processor time that a process has used, in it and in the system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def sandbox(folder: Path, words: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Run `angelia sandbox WORDS` with its state in a new folder and give its ready file.

    Raises:
        AngeliaError: it ended, or did not listen within a minute.
    """
    folder.mkdir()
    ready = folder / "ready.json"
    process, _ = start_server(
        ["sandbox", "--http-port", "0", "--state-dir", str(folder), "--max-seconds", "3600", *words],
        {},
        ready,
    )
    try:
        yield dict(json.loads(ready.read_text()))
    finally:
        process.terminate()
        process.wait(timeout=60)
