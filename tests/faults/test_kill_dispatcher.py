"""Dispatchers that are killed at seeded places; the sandbox counts what arrived.

What was acknowledged is never lost, marketing never doubled. `make test` tries some points, `make soak` more
(`ANGELIA_SOAK`).
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from angelia.contracts.ids import dispatch_id, message_id
from angelia.delivery.ledger.ledger import Owner
from angelia.intake.codes import Codes, Secret
from angelia.intake.database import connect
from angelia.intake.dispatching import sample_night
from angelia.intake.dispatching.batches import Batches
from angelia.intake.dispatching.deciding import occurrence_of
from angelia.intake.dispatching.dispatcher import Dispatcher
from angelia.intake.dispatching.terms import DispatchTerms
from angelia.intake.message import now, parse_message
from angelia.intake.store import Accepted, IntakeStore
from angelia.lake import Lake
from angelia.lake.failpoint import INTAKE

pytestmark = pytest.mark.integration
SEED = int(os.environ.get("ANGELIA_SOAK_SEED", "2026"))
N = int(os.environ.get("ANGELIA_SOAK") or 5)
MESSAGES, ROWS = 48, 20
PASSAGES = {
    **dict.fromkeys(INTAKE, 3),
    "publish.before_create": 3,
    "create.after_link": 20,
    "before_intent": 3,
    "after_intent": 3,
    "after_send": MESSAGES // 2,
    "before_ack": MESSAGES // 2,
    "before_outcome": 3,
    "after_outcome": 3,
    "before_done": 3,
}
_people = iter(range(1_000_000, 10**9, 1_000))


def scenarios() -> list[tuple[str, ...]]:
    """Return failpoints in a row, drawn from the seed; each place is as likely."""
    draw, made, killed = random.Random(SEED), [], 0
    while killed < N:
        names = draw.choices(list(PASSAGES), k=draw.choice((1, 1, 2)))
        killed += len(names)
        made.append(tuple(f"{name}:{draw.randint(1, PASSAGES[name])}" for name in names))
    return made


def dispatch(home: str, environment: dict[str, str]) -> None:
    """Dispatch once, in a process of its own."""
    os.environ.update(environment)
    sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - progress lines
    engine = connect(f"sqlite:///{home}/intake.db")
    batches, codes = Batches(engine, Owner.this_process(), 30_000_000), Codes(engine, Secret(b"k" * 32))
    terms = DispatchTerms(once=True, batch_rows=ROWS, lanes=2)

    async def main() -> None:
        await Dispatcher(Lake.open(f"{home}/lake"), batches, terms, codes).run()

    asyncio.run(main())


@pytest.mark.parametrize("points", scenarios(), ids="+".join)
def test_kill(points: Sequence[str], sandbox: Any, tmp_path: Path) -> None:
    lake, first = Lake.open(str(tmp_path / "lake")), next(_people)
    sample_night.make(lake, MESSAGES, "2026-11-26", first=first)
    engine = connect(f"sqlite:///{tmp_path / 'intake.db'}")
    store, heard = IntakeStore(engine), {}
    for number in range(MESSAGES):
        campaign, kind = (("sale", "marketing"), ("order", "transactional"))[number % 2]
        user = sample_night.user(number, first)
        priority = ("high", "medium", "low")[number % 3]
        body = {"user_id": user, "campaign_id": campaign, "class": kind, "priority": priority}
        (verdict,) = store.accept([parse_message(json.dumps(body).encode(), "shop", now())])  # type: ignore[list-item]
        assert isinstance(verdict, Accepted)
        address = f"sandbox-{first + number:08d}-" + "x" * 60
        message = message_id(campaign, user, occurrence_of(verdict.id))
        heard[verdict.id] = (kind, dispatch_id(message, "fcm", address))
    names = sandbox.names
    environment = {
        "ANGELIA_FCM_URL": names["url"],
        "ANGELIA_CA_FILE": names["ca_file"],
        "ANGELIA_FCM_CREDENTIALS": names["credentials"],
    }
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["angelia.intake.dispatching.dispatcher", "pandas"])
    crashes = 0
    for point in (*points, ""):
        process = context.Process(
            target=dispatch, args=(str(tmp_path), {**environment, "ANGELIA_FAILPOINT": point})
        )
        process.start()
        process.join(60)
        assert process.exitcode in (-signal.SIGKILL, 0), f"seed {SEED}"
        crashes += process.exitcode != 0
    assert crashes >= 1
    received = sandbox.received()
    counts = Counter((kind, min(received.get(dispatch, 0), 2)) for kind, dispatch in heard.values())
    states = {message: (store.get("shop", message) or {})["status"] for message in heard}
    assert set(states.values()) <= {"sent", "ambiguous"}, f"seed {SEED}: acknowledged and lost"
    lost = [
        message
        for message, (_, name) in heard.items()
        if states[message] == "sent" and not received.get(name)
    ]
    assert lost == [], f"seed {SEED}"
    assert counts["marketing", 2] == 0, f"seed {SEED}: marketing doubled"
    assert counts["transactional", 0] == 0, f"seed {SEED}: transactional unsent"
    engine.dispose()
