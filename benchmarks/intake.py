"""Messages taken by REST: how many a second, how late the answers, what kill -9 costs.

A server in its own process on SQLite, with every commit flushed, takes messages with idempotency keys from
a load in another process: single ones over `--connections`, then batches of 500. The peer, FastAPI and
SQLAlchemy with one row a transaction, takes the same single ones. For `lost` and `doubled`, the server is
killed `--kills` times at a drawn moment under load and started again, and the client sends again what it did
not hear of. Lost are acknowledged keys that the database does not have; doubled are keys that it has twice or
acknowledged under two ids. `due_query_ms` is the median of finding the next 500 due among `--timed` messages
of five years. `dispatched_per_s` is from `angelia intake dispatch --once` beginning to everything being
accounted for, to a sandbox in a process of its own. `high_handed_over_p99_ms` is from acceptance to the
worker, `trigger_handed_over_p95_s` from an event's arrival. Figures by processor second count the server's
process, since a busy machine stretches time.
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

import sqlalchemy as sa

from angelia.errors import InvalidInput
from angelia.intake.database import connect, writing
from angelia.intake.dispatching.batches import due_query
from angelia.intake.keys import SCOPES, Keys
from angelia.intake.message import IntakeMessage, draft, now
from angelia.intake.tables import messages
from angelia.output import progress
from benchmarks.harness.result import Result
from benchmarks.harness.serving import loaded, start_server, uvicorn_peer
from benchmarks.measured.intake_dispatch import dispatched_of
from benchmarks.measured.intake_latency import latency_of

BATCH = 500
_YEARS_US = 5 * 366 * 86_400_000_000


def main(argv: Sequence[str]) -> Result:
    """Run the benchmark; return its result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks intake", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--kills", type=int, default=10, help="how often the server is killed")
    parser.add_argument("--timed", type=int, default=1_000_000, help="messages for later, for the due query")
    parser.add_argument("--dispatched", type=int, default=20_000, help="messages through the dispatcher")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    if args.connections < 1 or args.kills < 0 or min(args.timed, args.dispatched) < 1 or args.seconds <= 0:
        raise InvalidInput(
            "--connections, --timed, --dispatched and --seconds are above 0, --kills is 0 or more"
        )
    folder = Path(tempfile.mkdtemp(prefix="angelia-intake-"))
    peer_url = f"sqlite:///{folder / 'peer.db'}"
    try:
        key = _key(folder)
        # Our server ends before the peer's begins, so that the two never share the processor.
        with _server(folder) as (port, pid):
            single = _load(port, pid, key, args.seconds, args.connections, 1, "single")
            progress("intake: single messages taken")
            batch = _load(port, pid, key, args.seconds, 4, BATCH, "batch")
        progress("intake: batches taken")
        with uvicorn_peer("benchmarks.peers.intake_peer:app", {"INTAKE_PEER_URL": peer_url}) as (port, pid):
            peer = _load(port, pid, key, args.seconds, args.connections, 1, "peer")
        progress("intake: peer measured")
        lost, doubled, acknowledged = _kills(folder, args.kills, random.Random(args.seed))
        due = _due_query_ms(folder, args.timed, args.seed)
        progress("intake: killed, and asked for what is due")
        sent = dispatched_of(folder, args.dispatched)
        progress("intake: dispatched")
        waits = latency_of(folder, args.seconds, min(args.dispatched, 10_000))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    ours = {
        "batch_messages_per_s": _rate(batch, args.seconds),
        "batch_messages_per_processor_s": _per_processor_s(batch),
        "batch_p99_ms": _p99(batch),
        "single_per_s": _rate(single, args.seconds),
        "single_per_processor_s": _per_processor_s(single),
        "single_p50_ms": median(single["milliseconds"]),
        "single_p99_ms": _p99(single),
        "due_query_ms": due,
        "lost": lost,
        "doubled": doubled,
        **sent,
        **waits,
        "acknowledged_under_kills": acknowledged,
    }
    theirs = {
        "single_per_s": _rate(peer, args.seconds),
        "single_per_processor_s": _per_processor_s(peer),
        "single_p50_ms": median(peer["milliseconds"]),
        "single_p99_ms": _p99(peer),
    }
    return {"params": vars(args), "ours": ours, "peers": {"row_a_transaction": theirs}, "runs": 1}


def _key(home: Path) -> str:
    engine = connect(f"sqlite:///{home / 'intake.db'}")
    text = Keys(engine).make("bench", SCOPES, 1_000_000, now())[1]
    engine.dispose()
    return text


@contextmanager
def _server(home: Path) -> Iterator[tuple[int, int]]:
    """Yield port and process id of a running intake; SIGTERM at the end."""
    process, port = _start(home)
    try:
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(60)


def _start(home: Path) -> tuple[subprocess.Popen[bytes], int]:
    return start_server(["intake", "serve"], {"ANGELIA_HOME": str(home)}, home / "ready.json")


def _loading(
    port: int, key: str, seconds: float, connections: int, batch: int, prefix: str
) -> subprocess.Popen[str]:
    words = [str(port), key, str(seconds), str(connections), str(batch), prefix]
    command = [sys.executable, "-m", "benchmarks.measured.intake_load", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _load(
    port: int, pid: int, key: str, seconds: float, connections: int, batch: int, prefix: str
) -> dict[str, Any]:
    def loading(lasts: float, name: str) -> subprocess.Popen[str]:
        return _loading(port, key, lasts, connections, batch, name)

    return loaded(loading, pid, seconds, prefix)


def _kills(folder: Path, rounds: int, drawn: random.Random) -> tuple[int, int, int]:
    """Kill the server under load, send again; return lost, doubled, acknowledged."""
    home = folder / "killed"
    home.mkdir()
    key = _key(home)
    heard: dict[str, set[str]] = {}
    for number in range(rounds):
        process, port = _start(home)
        batch = drawn.choice([1, 50])
        sending = _loading(port, key, 30.0, 16, batch, f"kill{number}")
        time.sleep(0.6 + drawn.random() * 1.5)
        process.send_signal(signal.SIGKILL)
        process.wait()
        seen = json.loads(sending.communicate()[0])
        process, port = _start(home)
        again = _send_again(port, key, seen["unknown"])
        process.terminate()
        process.wait(60)
        for name, message_id in [*seen["acknowledged"], *again]:
            heard.setdefault(name, set()).add(message_id)
    engine = connect(f"sqlite:///{home / 'intake.db'}")
    with engine.connect() as connection:
        kept: dict[str, list[str]] = {}
        for user, message_id in connection.execute(sa.select(messages.c.user_id, messages.c.id)):
            kept.setdefault(user[1:], []).append(message_id)
    engine.dispose()
    lost = sum(not ids <= set(kept.get(name, ())) for name, ids in heard.items())
    doubled = sum(len(ids) > 1 for ids in heard.values()) + sum(len(ids) > 1 for ids in kept.values())
    return lost, doubled, len(heard)


def _send_again(port: int, key: str, names: list[str]) -> list[tuple[str, str]]:
    import asyncio

    from benchmarks.measured.intake_load import read_answer, request_bytes

    async def send() -> list[tuple[str, str]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        pairs = []
        for name in names:
            writer.write(request_bytes(key, [name]))
            pairs.append((name, (await read_answer(reader))[1]["id"]))
        writer.close()
        return pairs

    return asyncio.run(send())


def _due_query_ms(folder: Path, timed: int, seed: int) -> float:
    """Return the median time to find 500 due messages among those of five years."""
    engine = connect(f"sqlite:///{folder / 'timed.db'}")
    drawn, moment = random.Random(seed), now()
    message = IntakeMessage.model_validate({"user_id": "u", "campaign_id": "cart", "class": "marketing"})
    base = draft(message, "bench", moment).row  # type: ignore[union-attr]
    for start in range(0, timed, 50_000):
        rows = []
        for number in range(start, min(timed, start + 50_000)):
            due = moment + drawn.randrange(_YEARS_US)
            rows.append(
                base | {"id": f"{number:032x}", "priority": number % 3, "send_us": due, "due_us": due}
            )
        with writing(engine) as connection:
            connection.execute(sa.insert(messages), rows)
    times = []
    for _ in range(50):
        at = moment + drawn.randrange(_YEARS_US)
        with engine.connect() as connection:
            began = time.perf_counter()
            connection.execute(due_query(drawn.randrange(3), at, BATCH)).all()
            times.append(time.perf_counter() - began)
    engine.dispose()
    return round(1000 * median(times), 2)


def _rate(seen: dict[str, Any], seconds: float) -> int:
    return round(len(seen["acknowledged"]) / seconds)


def _per_processor_s(seen: dict[str, Any]) -> int:
    return round(len(seen["acknowledged"]) / seen["processor_s"])


def _p99(seen: dict[str, Any]) -> float:
    return round(quantiles(seen["milliseconds"], n=100)[98], 1)
