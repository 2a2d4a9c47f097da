"""What comes back: callbacks a second, how late their answers, what kill -9 costs.

`angelia receive` in its own process, on a lake of files with every object flushed, takes signed events from a
load in another process: single ones over `--connections`, then batches of `--batch`. The peer, FastAPI that
inserts into SQLite row by row, takes the same. For `lost`, the server is killed `--kills` times at a drawn
moment under load; lost are acknowledged events that stand in no object of the journal afterwards. The load's
dispatches are nobody's, and folding runs once at the end, outside the figures. Figures by processor second
count the server's process, since a busy machine stretches time.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from angelia.errors import AngeliaError, InvalidInput
from angelia.lake.store import LocalStore
from angelia.output import progress
from angelia.receive.journal import Journal
from benchmarks.harness.result import Result

SECRET = "benchmark-secret-of-32-characters"


def main(argv: Sequence[str]) -> Result:
    """Run the benchmark; return its result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks receive", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--batch", type=int, default=500, help="events in a request, at most 1,000")
    parser.add_argument("--kills", type=int, default=10, help="how often the server is killed")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    if args.connections < 1 or args.kills < 0 or args.seconds <= 0 or not 1 <= args.batch <= 1000:
        raise InvalidInput(
            "--connections and --seconds are above 0, --batch is 1 to 1,000, --kills 0 or more"
        )
    folder = Path(tempfile.mkdtemp(prefix="angelia-receive-"))
    try:
        (folder / "receive.json").write_text(json.dumps({"secret": SECRET}), "utf-8")
        with _ours(folder / "ours") as (port, pid):
            single = _load(port, pid, args.seconds, args.connections, 1, "single")
            progress("receive: single callbacks taken")
            batch = _load(port, pid, args.seconds, 4, args.batch, "batch")
        progress("receive: batches taken")
        with _peer(folder) as (port, pid):
            peer = _load(port, pid, args.seconds, args.connections, 1, "single")
            peer_batch = _load(port, pid, args.seconds, 4, args.batch, "batch")
        progress("receive: peer measured")
        lost, acknowledged = _kills(folder, args.kills, random.Random(args.seed))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    ours = _figures(single, batch, args.seconds) | {"lost": lost, "acknowledged_under_kills": acknowledged}
    return {
        "params": vars(args),
        "ours": ours,
        "peers": {"row_a_transaction": _figures(peer, peer_batch, args.seconds)},
        "runs": 1,
    }


def _figures(single: dict[str, Any], batch: dict[str, Any], seconds: float) -> dict[str, float]:
    n_single, n_batch = (sum(load["acknowledged"].values()) for load in (single, batch))
    return {
        "callbacks_per_s": round(n_single / seconds),
        "callbacks_per_processor_s": round(n_single / single["processor_s"]),
        "p50_ms": median(single["milliseconds"]),
        "p99_ms": round(quantiles(single["milliseconds"], n=100)[98], 1),
        "events_per_s": round(n_batch / seconds),
        "events_per_processor_s": round(n_batch / batch["processor_s"]),
        "batch_p99_ms": round(quantiles(batch["milliseconds"], n=100)[98], 1),
    }


@contextmanager
def _ours(home: Path) -> Iterator[tuple[int, int]]:
    """Yield port and process id of a running server."""
    process, port = _start(home)
    try:
        yield port, process.pid
    finally:
        # SIGTERM would fold events of nobody's dispatches, which takes long and measures nothing.
        process.kill()
        process.wait()


def _start(home: Path) -> tuple[subprocess.Popen[bytes], int]:
    home.mkdir(exist_ok=True)
    ready = home / "ready.json"
    ready.unlink(missing_ok=True)
    words = ["receive", "--port", "0", "--ready-file", str(ready), "--fold-seconds", "86400"]
    process = subprocess.Popen(
        [sys.executable, "-m", "angelia.cli", *words],
        env=os.environ
        | {
            "ANGELIA_HOME": str(home),
            "ANGELIA_LAKE": str(home / "lake"),
            "ANGELIA_RECEIVE_CREDENTIALS": str(home.parent / "receive.json"),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ends = time.monotonic() + 60
    while not (ready.exists() and ready.stat().st_size):
        if process.poll() is not None or time.monotonic() > ends:
            raise AngeliaError("the server under test did not start", fix="run `angelia receive` by hand")
        time.sleep(0.02)
    return process, int(json.loads(ready.read_text())["port"])


@contextmanager
def _peer(folder: Path) -> Iterator[tuple[int, int]]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=2_048)
    command = [sys.executable, "-m", "uvicorn", "benchmarks.peers.receive_peer:app", "--no-access-log"]
    process = subprocess.Popen(
        [*command, "--log-level", "error", "--fd", str(listener.fileno())],
        env=os.environ | {"RECEIVE_PEER_FILE": str(folder / "peer.db"), "RECEIVE_PEER_SECRET": SECRET},
        pass_fds=[listener.fileno()],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield listener.getsockname()[1], process.pid
    finally:
        listener.close()
        process.terminate()
        process.wait(60)


def _loading(port: int, seconds: float, connections: int, batch: int, prefix: str) -> subprocess.Popen[str]:
    words = [str(port), SECRET, str(seconds), str(connections), str(batch), prefix]
    command = [sys.executable, "-m", "benchmarks.measured.receive_load", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _load(port: int, pid: int, seconds: float, connections: int, batch: int, prefix: str) -> dict[str, Any]:
    # The first answers pay for imports and connections.
    _loading(port, min(2.0, seconds), connections, batch, f"warm-{prefix}").communicate()
    before = _processor_s(pid)
    seen: dict[str, Any] = json.loads(_loading(port, seconds, connections, batch, prefix).communicate()[0])
    seen["processor_s"] = _processor_s(pid) - before
    if seen["refused"] or not seen["acknowledged"]:
        raise AngeliaError(f"the load {prefix} was not answered: {seen['refused']}", fix="run it again")
    return seen


def _processor_s(pid: int) -> float:
    """Return the processor time that a process has used, in it and in the system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _kills(folder: Path, rounds: int, drawn: random.Random) -> tuple[int, int]:
    """Kill the server under load; return lost and acknowledged events."""
    home, acknowledged = folder / "killed", dict[str, int]()
    for number in range(rounds):
        process, port = _start(home)
        before = _objects(home)
        load = _loading(port, 30.0, 16, drawn.choice([1, 50]), f"kill{number}")
        while _objects(home) == before and load.poll() is None:  # the load's imports take their time
            time.sleep(0.02)
        time.sleep(0.1 + drawn.random() * 1.5)
        process.send_signal(signal.SIGKILL)
        process.wait()
        acknowledged |= json.loads(load.communicate()[0])["acknowledged"]
    if rounds and not acknowledged:
        raise AngeliaError("nothing was acknowledged before the server was killed", fix="run it again")
    kept = {event.id for _, events in Journal(LocalStore(home / "lake")).pending() for event in events}
    total = sum(acknowledged.values())
    stand = sum(f"{name}-{serial}" in kept for name, count in acknowledged.items() for serial in range(count))
    return total - stand, total


def _objects(home: Path) -> int:
    return sum(1 for _ in (home / "lake" / "received").glob("*/*"))
