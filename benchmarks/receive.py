"""Callbacks from providers: how many a second, how late their answers, what kill -9 costs.

`angelia receive` runs in its own process, on a lake in a folder with every object flushed. Another process
sends it signed events: single ones over `--connections`, then batches of `--batch`. The peer, a FastAPI
server that inserts into SQLite row by row, gets the same load. For `lost`, the server is killed `--kills`
times at a drawn moment under load; an event is lost if it was acknowledged and no object of the journal holds
it afterwards. The events name made-up dispatches, and folding runs once at the end, outside the figures.
Figures by processor second count the server's process, because a busy machine stretches time. With `--fold`
none of that runs: a fold of new events is measured beside ledgers of these sizes, each size in a process of
its own.

Example: `python -m benchmarks receive --seconds 5 --kills 1`.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
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
from benchmarks.harness.serving import loaded, start_server, uvicorn_peer

SECRET = "benchmark-secret-of-32-characters"


def main(argv: Sequence[str]) -> Result:
    """Run the benchmark; return its result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks receive", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="seconds of each load")
    parser.add_argument(
        "--connections", type=int, default=64, help="connections that send single messages at once"
    )
    parser.add_argument("--batch", type=int, default=500, help="events in a request, at most 1,000")
    parser.add_argument("--kills", type=int, default=10, help="how often the server is killed")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything that is drawn")
    parser.add_argument(
        "--fold",
        type=int,
        nargs="+",
        metavar="ROWS",
        help="measure folds instead, beside ledgers with these numbers of rows",
    )
    parser.add_argument("--events", type=int, default=1_000, help="new events of a fold")
    args = parser.parse_args(argv)
    if args.connections < 1 or args.kills < 0 or args.seconds <= 0 or not 1 <= args.batch <= 1000:
        raise InvalidInput(
            "--connections and --seconds are above 0, --batch is 1 to 1,000, --kills 0 or more"
        )
    # Folding needs no server; it is measured beside ledgers of growing size instead of under load.
    if args.fold:
        return _folds(sorted(args.fold), args.events)
    folder = Path(tempfile.mkdtemp(prefix="angelia-receive-"))
    peer_env = {"RECEIVE_PEER_FILE": str(folder / "peer.db"), "RECEIVE_PEER_SECRET": SECRET}
    try:
        (folder / "receive.json").write_text(json.dumps({"secret": SECRET}), "utf-8")
        with _ours(folder / "ours") as (port, pid):
            single = _load(port, pid, args.seconds, args.connections, 1, "single")
            progress("receive: single callbacks taken")
            batch = _load(port, pid, args.seconds, 4, args.batch, "batch")
        progress("receive: batches taken")
        with uvicorn_peer("benchmarks.peers.receive_peer:app", peer_env) as (port, pid):
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


def _folds(sizes: Sequence[int], n_events: int) -> Result:
    """Fold new events beside a ledger that grows from size to size; return the figures of each."""
    ours, peer = dict[str, Any](), dict[str, Any]()
    with tempfile.TemporaryDirectory(prefix="angelia-fold-") as folder:
        for rows in sizes:
            words = [folder, str(rows), str(n_events)]
            command = [sys.executable, "-m", "benchmarks.measured.receive_fold", *words]
            measured = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            peer[str(rows)] = measured.pop("peer_processor_s")
            ours[str(rows)] = measured
            progress(f"receive: folded beside {rows:,} rows")
    return {
        "params": {"fold": list(sizes), "events": n_events},
        "ours": ours,
        "peers": {"every_ledger_processor_s": peer},
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
    env = {
        "ANGELIA_HOME": str(home),
        "ANGELIA_LAKE": str(home / "lake"),
        "ANGELIA_RECEIVE_CREDENTIALS": str(home.parent / "receive.json"),
    }
    return start_server(["receive", "--fold-seconds", "86400"], env, home / "ready.json")


def _loading(port: int, seconds: float, connections: int, batch: int, prefix: str) -> subprocess.Popen[str]:
    words = [str(port), SECRET, str(seconds), str(connections), str(batch), prefix]
    command = [sys.executable, "-m", "benchmarks.measured.receive_load", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _load(port: int, pid: int, seconds: float, connections: int, batch: int, prefix: str) -> dict[str, Any]:
    def loading(lasts: float, name: str) -> subprocess.Popen[str]:
        return _loading(port, lasts, connections, batch, name)

    return loaded(loading, pid, seconds, prefix)


def _kills(folder: Path, rounds: int, drawn: random.Random) -> tuple[int, int]:
    """Kill the server under load; return lost and acknowledged events."""
    home, acknowledged = folder / "killed", dict[str, int]()
    for number in range(rounds):
        process, port = _start(home)
        before = _objects(home)
        sending = _loading(port, 30.0, 16, drawn.choice([1, 50]), f"kill{number}")
        while _objects(home) == before and sending.poll() is None:  # the load's imports take their time
            time.sleep(0.02)
        time.sleep(0.1 + drawn.random() * 1.5)
        process.send_signal(signal.SIGKILL)
        process.wait()
        acknowledged |= json.loads(sending.communicate()[0])["acknowledged"]
    if rounds and not acknowledged:
        raise AngeliaError("nothing was acknowledged before the server was killed", fix="run it again")
    kept = {event.id for _, events in Journal(LocalStore(home / "lake")).pending() for event in events}
    total = sum(acknowledged.values())
    stand = sum(f"{name}-{serial}" in kept for name, count in acknowledged.items() for serial in range(count))
    return total - stand, total


def _objects(home: Path) -> int:
    return sum(1 for _ in (home / "lake" / "received").glob("*/*"))
