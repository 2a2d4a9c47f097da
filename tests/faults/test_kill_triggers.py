"""Trigger runs killed between their steps: no event is lost, no occurrence doubled."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from angelia.intake.database import connect
from angelia.intake.dispatching import sample_night
from angelia.intake.message import now
from angelia.intake.store import IntakeStore
from angelia.intake.triggers.run import CLIENT, TriggerRun
from angelia.intake.triggers.waiting import Waiting
from angelia.lake import Lake
from angelia.lake.failpoint import TRIGGERS
from tests.unit.intake.triggers.setting import LEFT, MINUTE, arrive, documents, index

pytestmark = pytest.mark.integration
PEOPLE = 8


def trigger(home: str, point: str, at: int) -> None:
    """Run once, in a process of its own."""
    os.environ["ANGELIA_FAILPOINT"] = point
    sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - progress lines
    TriggerRun(Lake.open(f"{home}/lake"), connect(f"sqlite:///{home}/intake.db"), lambda: at).run()


def test_kill(tmp_path: Path) -> None:
    lake, began = Lake.open(str(tmp_path / "lake")), now() - 120 * MINUTE
    sample_night.make(lake, PEOPLE, "2026-11-26", documents=documents(LEFT))
    index(lake, men=[])
    arrive(lake, *((who, "cart", began) for who in range(PEOPLE)), (0, "cart", began + MINUTE))
    engine = connect(f"sqlite:///{tmp_path / 'intake.db'}")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["angelia.intake.triggers.run", "pandas"])
    for point in (*TRIGGERS, ""):
        process = context.Process(target=trigger, args=(str(tmp_path), point, began + 62 * MINUTE))
        process.start()
        process.join(60)
        assert process.exitcode == (-signal.SIGKILL if point else 0), point
    people = Counter(row["user_id"] for row in IntakeStore(engine).newest(CLIENT, 2**62))
    assert people == Counter(sample_night.user(who) for who in range(PEOPLE))
    assert Waiting(engine).counts("left").total() == PEOPLE + 1
    assert Waiting(engine).due(2**62, 99) == []
    engine.dispose()
