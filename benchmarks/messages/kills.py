"""What kill -9 costs the intake: servers killed at seeded points under load.

Each point draws from the seed and its own number how long the load runs before SIGKILL and whether it posts
single messages or batches of 50. Then the server starts again, and the client sends anew what it did not hear
of. Lost are acknowledged keys that the database does not have; doubled are keys that it has twice or that
were acknowledged under two ids. `--only kills --first-kill N` goes on where an earlier stretch ended.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from angelia.intake.database import connect
from angelia.intake.keys import SCOPES, Keys
from angelia.intake.message import now
from angelia.intake.tables import messages
from angelia.output import progress
from benchmarks.harness.serving import start_server
from benchmarks.messages.load import read_answer, request_bytes

SIZES = (1, 50)
CONNECTIONS = 16


def kills_of(folder: Path, points: Sequence[int], seed: int) -> dict[str, int]:
    """Return what was lost and doubled over these points.

    `killed_under_way` counts the points at which requests were unanswered, so that the kill hit something.
    """
    home = folder / "killed"
    home.mkdir()
    key = make_key(home)
    acknowledged: list[tuple[str, str]] = []
    under_way = 0
    server, port = start_intake(home)
    try:
        for number in points:
            drawn = random.Random(f"{seed}/{number}")
            sending = load(port, key, 30.0, CONNECTIONS, drawn.choice(SIZES), f"kill{number}")
            time.sleep(0.6 + drawn.random() * 1.5)
            server.send_signal(signal.SIGKILL)
            server.wait()
            seen = json.loads(sending.communicate()[0])
            under_way += bool(seen["unknown"])
            server, port = start_intake(home)
            acknowledged += map(tuple, seen["acknowledged"])
            acknowledged += asyncio.run(_send_again(port, key, seen["unknown"]))
            progress(f"intake: killed at point {number}, {len(acknowledged)} acknowledged")
    finally:
        server.terminate()
        server.wait(60)
    engine = connect(f"sqlite:///{home / 'intake.db'}")
    with engine.connect() as connection:
        pairs = [
            (user[1:], message)
            for user, message in connection.execute(sa.select(messages.c.user_id, messages.c.id))
        ]
    engine.dispose()
    return {"kills": len(points), "killed_under_way": under_way, **compared(acknowledged, pairs)}


def compared(acknowledged: Iterable[tuple[str, str]], kept: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Return how many keys were lost and doubled.

    Args:
        acknowledged: (key, message id) as they were answered.
        kept: as the database has them.
    """
    heard, rows = _ids_of(acknowledged), _ids_of(kept)
    lost = sum(not set(ids) <= set(rows.get(name, ())) for name, ids in heard.items())
    doubled = {name for name, ids in heard.items() if len(set(ids)) > 1}
    doubled |= {name for name, ids in rows.items() if len(ids) > 1}
    return {"lost": lost, "doubled": len(doubled), "acknowledged_under_kills": len(heard)}


def _ids_of(pairs: Iterable[tuple[str, str]]) -> Mapping[str, list[str]]:
    by_name: dict[str, list[str]] = {}
    for name, message in pairs:
        by_name.setdefault(name, []).append(message)
    return by_name


def make_key(home: Path) -> str:
    """Return a new API key of the intake at a home, with all scopes."""
    engine = connect(f"sqlite:///{home / 'intake.db'}")
    text = Keys(engine).make("bench", SCOPES, 1_000_000, now())[1]
    engine.dispose()
    return text


def start_intake(home: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start a server at a home; return it and its port."""
    return start_server(["intake", "serve"], {"ANGELIA_HOME": str(home)}, home / "ready.json")


def load(
    port: int, key: str, seconds: float, connections: int, batch: int, prefix: str
) -> subprocess.Popen[str]:
    """Start a load in a process of its own; it prints what it saw."""
    words = [str(port), key, str(seconds), str(connections), str(batch), prefix]
    command = [sys.executable, "-m", "benchmarks.messages.load", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


async def _send_again(port: int, key: str, names: Sequence[str]) -> list[tuple[str, str]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    pairs: list[tuple[str, str]] = []
    for name in names:
        writer.write(request_bytes(key, [name]))
        answer: tuple[int, dict[str, Any]] = await read_answer(reader)
        pairs.append((name, answer[1]["id"]))
    writer.close()
    return pairs
