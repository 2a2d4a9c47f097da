"""A process that folds is killed at seeded places: nothing is lost or doubled."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from datetime import timedelta
from pathlib import Path

from angelia.lake import Lake
from angelia.lake.failpoint import FOLD
from angelia.receive.folding import Folding, fold
from angelia.receive.journal import Event, Journal
from tests.unit.receive.callers import NOW, receipts

SEED = int(os.environ.get("ANGELIA_SOAK_SEED", "2026"))
N = int(os.environ.get("ANGELIA_SOAK") or 6)
PASSAGES = {**dict.fromkeys(FOLD, 1), "fold.moved": 2, "publish.before_create": 2, "create.after_link": 6}


def fold_once(url: str, folder: str, point: str) -> None:
    """Fold in a process of its own."""
    os.environ["ANGELIA_FAILPOINT"] = point
    Folding(Lake.open(url), Path(folder)).fold(NOW)


def taken(journal: Journal, dispatches: list[str], number: int) -> None:
    """Take two groups: opens, an opt-out, and an open of nobody's message."""
    at_us = int((NOW - timedelta(hours=1)).timestamp() * 1e6) + number

    def heard(dispatch: str, kind: str) -> Event:
        return Event(f"{kind}-{number}", dispatch, kind, at_us, "", "app")

    journal.keep([heard(dispatches[0], "opened"), heard("f" * 32, "opened")], NOW)
    journal.keep([heard(dispatches[number % 4], kind) for kind in ("delivered", "unsubscribed")], NOW)


def test_a_fold_that_is_killed_loses_and_doubles_nothing(
    lake: Lake, dispatches: list[str], tmp_path: Path
) -> None:
    draw, journal, crashes = random.Random(SEED), Journal(lake.store), 0
    names = (*PASSAGES, *draw.choices(list(PASSAGES), k=max(N - len(PASSAGES), 0)))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["angelia.receive.folding"])
    for number, name in enumerate(names):
        taken(journal, dispatches, number)
        point = f"{name}:{draw.randint(1, PASSAGES[name])}"
        process = context.Process(target=fold_once, args=(lake.store.url, str(tmp_path / "index"), point))
        process.start()
        process.join(60)
        assert process.exitcode in (-signal.SIGKILL, 0), f"seed {SEED}, {point}"
        crashes += process.exitcode != 0
    assert crashes >= len(FOLD), f"seed {SEED}"
    fold(lake, NOW)
    rows = receipts(lake)
    placed = sorted((row["dispatch_id"], row["kind"]) for row in rows)
    each = range(len(names))
    expected = [(dispatches[0], "opened") for _ in each]
    expected += [(dispatches[number % 4], kind) for number in each for kind in ("delivered", "unsubscribed")]
    assert placed == sorted(expected), f"seed {SEED}: lost or doubled"
    assert len({row["receipt_id"] for row in rows}) == len(rows)
    entries = lake.read_log("suppressions")["entry_id"].to_pylist()
    assert len(entries) == len(set(entries)) == len(names), f"seed {SEED}: an opt-out"
    left = {(event.dispatch_id, event.id) for _, events in journal.pending() for event in events}
    assert left == {("f" * 32, f"opened-{number}") for number in each}, f"seed {SEED}: what waits"
