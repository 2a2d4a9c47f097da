"""Messages taken by REST: how many a second, how late the answers, what kill -9 costs.

A server in its own process on SQLite, with every commit flushed, takes messages with idempotency keys from
a load in another process: single ones over `--connections`, then batches of 500. The peer, FastAPI and
SQLAlchemy with one row a transaction, takes the same single ones. For `lost` and `doubled`, the server is
killed `--kills` times at a drawn moment under load and started again, and the client sends again what it did
not hear of. Lost are acknowledged keys that the database does not have; doubled are keys that it has twice or
acknowledged under two ids. `due_query_ms` is the median of finding the next 500 due among `--timed` messages
of five years. `dispatched_per_s` is from `--dispatched` messages falling due together to their outcomes, by
`--dispatchers` processes that are running, to a sandbox in a process of its own; `dispatched_by_one` is one
process alone. `high_handed_over_p99_ms` is from acceptance to the
worker, `trigger_handed_over_p95_s` from an event's arrival. Figures by processor second count the server's
process, since a busy machine stretches time. `--only` measures some of these alone.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from angelia.errors import InvalidInput
from angelia.intake.serving import tune_interpreter
from angelia.output import progress
from benchmarks.harness.result import Result
from benchmarks.harness.serving import loaded, uvicorn_peer
from benchmarks.messages.dispatch import dispatched_of
from benchmarks.messages.due import due_query_ms
from benchmarks.messages.kills import kills_of, load, make_key, start_intake
from benchmarks.messages.latency import latency_of

BATCH = 500
PARTS = ("load", "kills", "due", "dispatch", "latency")


def main(argv: Sequence[str]) -> Result:
    """Run the benchmark; return its result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks intake", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="seconds of each load")
    parser.add_argument(
        "--connections", type=int, default=32, help="connections that send single messages at once"
    )
    parser.add_argument("--kills", type=int, default=10, help="how often the server is killed")
    parser.add_argument(
        "--timed", type=int, default=1_000_000, help="messages for later, among which the due query searches"
    )
    parser.add_argument("--dispatched", type=int, default=20_000, help="messages that are dispatched")
    parser.add_argument("--dispatchers", type=int, default=2, help="processes that dispatch")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything that is drawn")
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, default=list(PARTS), help="measure only these parts"
    )
    parser.add_argument(
        "--first-kill",
        type=int,
        default=0,
        help="number of the first kill point, to continue an earlier stretch",
    )
    args = parser.parse_args(argv)
    if (
        args.connections < 1
        or args.kills < 0
        or min(args.timed, args.dispatched, args.dispatchers) < 1
        or args.seconds <= 0
    ):
        raise InvalidInput(
            "--connections, --timed, --dispatched, --dispatchers and --seconds are above 0, "
            "--kills is 0 or more"
        )
    folder = Path(tempfile.mkdtemp(prefix="angelia-intake-"))
    ours: dict[str, Any] = {}
    peers: dict[str, dict[str, Any]] = {}
    # What is asked for alone is measured alone, so that a long benchmark fits into stretches.
    try:
        if "load" in args.only:
            ours |= _taken(folder, args)
            peers["row_a_transaction"] = _taken_by_peer(folder, args)
        if "kills" in args.only:
            ours |= kills_of(folder, range(args.first_kill, args.first_kill + args.kills), args.seed)
        if "due" in args.only:
            tune_interpreter()  # as a dispatcher does
            ours |= due_query_ms(folder, args.timed, args.seed)
            progress("intake: asked for what is due")
        if "dispatch" in args.only:
            ours |= dispatched_of(folder, args.dispatched, args.dispatchers)
            progress("intake: dispatched")
        if "latency" in args.only:
            ours |= latency_of(folder, args.seconds, min(args.dispatched, 10_000))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {"params": vars(args), "ours": ours, "peers": peers, "runs": 1}


def _taken(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of single messages and of batches."""
    key = make_key(folder)
    with _server(folder) as (port, pid):
        single = _load(port, pid, key, args.seconds, args.connections, 1, "single")
        progress("intake: single messages taken")
        batch = _load(port, pid, key, args.seconds, 4, BATCH, "batch")
        progress("intake: batches taken")
    return {
        "batch_messages_per_s": _rate(batch, args.seconds),
        "batch_messages_per_processor_s": _per_processor_s(batch),
        "batch_p99_ms": _p99(batch),
        **_singles(single, args.seconds),
    }


def _taken_by_peer(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Return the peer's figures.

    Our server has ended, so that the two never share the processor.
    """
    url = f"sqlite:///{folder / 'peer.db'}"
    with uvicorn_peer("benchmarks.peers.intake_peer:app", {"INTAKE_PEER_URL": url}) as (port, pid):
        single = _load(port, pid, "none", args.seconds, args.connections, 1, "peer")
    progress("intake: peer measured")
    return _singles(single, args.seconds)


def _singles(seen: dict[str, Any], seconds: float) -> dict[str, Any]:
    return {
        "single_per_s": _rate(seen, seconds),
        "single_per_processor_s": _per_processor_s(seen),
        "single_p50_ms": median(seen["milliseconds"]),
        "single_p99_ms": _p99(seen),
    }


@contextmanager
def _server(home: Path) -> Iterator[tuple[int, int]]:
    """Yield port and process id of a running intake; SIGTERM at the end."""
    process, port = start_intake(home)
    try:
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(60)


def _load(
    port: int, pid: int, key: str, seconds: float, connections: int, batch: int, prefix: str
) -> dict[str, Any]:
    def loading(lasts: float, name: str) -> subprocess.Popen[str]:
        return load(port, key, lasts, connections, batch, name)

    return loaded(loading, pid, seconds, prefix)


def _rate(seen: dict[str, Any], seconds: float) -> int:
    return round(len(seen["acknowledged"]) / seconds)


def _per_processor_s(seen: dict[str, Any]) -> int:
    return round(len(seen["acknowledged"]) / seen["processor_s"])


def _p99(seen: dict[str, Any]) -> float:
    return round(quantiles(seen["milliseconds"], n=100)[98], 1)
