"""The dispatcher's part of `intake`: messages that fall due together, sent to a sandbox.

The dispatchers are running when the messages fall due, so their start is in no figure. It is over when every
message has its outcome in the database; processor time is that of the dispatchers, from the same instant on.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from angelia.delivery.ledger.ledger import Owner
from angelia.errors import AngeliaError
from angelia.intake.database import connect
from angelia.intake.dispatching import sample_night
from angelia.intake.dispatching.batches import Batches
from angelia.intake.message import Draft, IntakeMessage, draft, now
from angelia.intake.store import IntakeStore
from angelia.lake import Lake
from benchmarks.deliver import environment
from benchmarks.harness.serving import processor_s, sandbox

NIGHT = "2026-11-26"
GROUP = 2_000
START_S = 20  # dispatchers start and messages are accepted in this time
MOST_S = 180


def dispatched(folder: Path, messages: int, kind: str, dispatchers: int) -> dict[str, Any]:
    """Return how fast due messages reach the sandbox, and how many did not or did twice.

    Args:
        messages: one to each of so many people.
        kind: `transactional`, or `marketing`, which asks for consent, holdouts and caps.
        dispatchers: so many processes share the work.
    """
    home = folder / f"dispatch-{kind}-{dispatchers}"
    home.mkdir()
    documents = list(sample_night.DOCUMENTS)
    documents[0] = {**sample_night.POLICY, "caps": [{"messages": 3, "days": 7}], "min_gap_hours": 1}
    sample_night.make(Lake.open(str(home / "lake")), messages, NIGHT, documents=documents)
    engine = connect(f"sqlite:///{home / 'intake.db'}")
    store, batches = IntakeStore(engine), Batches(engine, Owner.this_process(), 1)
    campaign = {"marketing": "sale", "transactional": "order"}[kind]
    with sandbox(folder / f"{kind}-{dispatchers}-sandbox") as names:
        env = environment(names, "fcm") | {"ANGELIA_HOME": str(home)}
        with _dispatching(env, dispatchers) as processes:
            due = datetime.now(UTC) + timedelta(seconds=START_S)
            for first in range(0, messages, GROUP):
                numbers = range(first, min(messages, first + GROUP))
                store.accept([_draft(number, campaign, kind, due) for number in numbers])
            if (left := due.timestamp() - time.time()) <= 0:
                raise AngeliaError("messages fell due while they came in", fix="run it again, less loaded")
            time.sleep(left)
            before = [processor_s(process.pid) for process in processes]
            # What is due is counted twenty times a second, so that counting takes no part of the processor.
            while any(batches.waiting(now()).values()):
                if time.time() > due.timestamp() + MOST_S:
                    raise AngeliaError("not everything was dispatched", fix="run it again, less loaded")
                time.sleep(0.05)
            seconds = time.time() - due.timestamp()
            used = [processor_s(process.pid) for process in processes]
        with urlopen(f"{names['http_url']}/stats", timeout=60) as answer:
            stats = json.load(answer)
    engine.dispose()
    return {
        "per_s": round(messages / seconds),
        "per_processor_s": round(messages / (sum(used) - sum(before))),
        "lost": messages - stats["unique"],
        "doubled": stats["doubled"],
    }


@contextmanager
def _dispatching(env: dict[str, str], number: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    words = [sys.executable, "-m", "angelia.cli", "intake", "dispatch"]
    processes = [subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL) for _ in range(number)]
    try:
        yield processes
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        ended = [process.wait(60) for process in processes]
    if any(ended):
        raise AngeliaError(f"a dispatcher ended with {max(ended)}", fix="run `angelia intake dispatch`")


def _draft(number: int, campaign: str, kind: str, due: datetime) -> Draft:
    fields = {
        "user_id": sample_night.user(number),
        "campaign_id": campaign,
        "class": kind,
        "variables": {"item": f"order {number}"},
        "send_at": due,
    }
    made = draft(IntakeMessage.model_validate(fields), "bench", now())
    assert isinstance(made, Draft)
    return made


def dispatched_of(folder: Path, messages: int, dispatchers: int) -> dict[str, Any]:
    """Return the figures of both kinds, and of one dispatcher alone."""
    marketing = dispatched(folder, messages, "marketing", dispatchers)
    transactional = dispatched(folder, messages, "transactional", dispatchers)
    alone = dispatched(folder, messages, "transactional", 1) if dispatchers > 1 else transactional
    runs = [marketing, transactional, *([alone] if dispatchers > 1 else [])]
    return {
        "dispatched_per_s": transactional["per_s"],
        "dispatched_per_processor_s": transactional["per_processor_s"],
        "dispatched_marketing_per_s": marketing["per_s"],
        "dispatched_marketing_per_processor_s": marketing["per_processor_s"],
        "dispatched_by_one_per_s": alone["per_s"],
        "dispatched_by_one_per_processor_s": alone["per_processor_s"],
        "dispatched_lost": sum(run["lost"] for run in runs),
        "dispatched_doubled": sum(run["doubled"] for run in runs),
    }
