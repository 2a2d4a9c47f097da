"""A disk that takes nothing more, and up to eight workers on one manifest."""

from __future__ import annotations

import os
import random
import time
from typing import Any

import pytest

pytestmark = pytest.mark.integration


def test_a_full_disk_means_no_send_and_the_next_run_finishes(sandbox: Any, new_site: Any) -> None:
    """A row whose intent cannot be written is not sent.

    With RLIMIT_FSIZE, writing fails as it does on a full disk.
    """
    site = new_site("at_most_once")
    full = site.fork(limit=100)  # an intent is larger than 100 bytes, an empty marker is not
    full.join(60)
    assert full.exitcode == 2
    assert not sandbox.received().keys() & site.dispatches
    assert not list(site.lake.store.list("intents"))
    again = site.fork(takeover=True)
    again.join(60)
    assert again.exitcode == 0
    assert set(site.ledger().values()) == {"accepted"}
    assert all(sandbox.received()[dispatch] == 1 for dispatch in site.dispatches)


def test_a_disk_that_fills_up_while_sending_doubles_nothing(sandbox: Any, new_site: Any) -> None:
    """Intents still fit, outcomes do not: the sent rows are ambiguous and never sent again."""
    site = new_site("at_most_once")
    full = site.fork(limit=1000)
    full.join(60)
    assert full.exitcode == 2
    sent = sandbox.received().keys() & site.dispatches
    assert sent
    again = site.fork(takeover=True)
    again.join(60)
    assert again.exitcode == 0
    ledger, received = site.ledger(), sandbox.received()
    assert set(ledger) == site.dispatches
    assert max(received[dispatch] for dispatch in site.dispatches if dispatch in received) == 1
    assert {ledger[dispatch] for dispatch in sent} <= {"ambiguous", "accepted"}


SIZES = range(2, 9) if os.environ.get("ANGELIA_SOAK") else (8,)


@pytest.mark.parametrize("n_workers", SIZES)
def test_workers_on_one_manifest_send_every_row_once(n_workers: int, new_site: Any) -> None:
    """Six parts, and answers that take their time, so that all are at it at once."""
    draw = random.Random(n_workers)
    site = new_site("at_most_once", prefix="slow-", part_rows=100)
    workers = []
    for _ in range(n_workers):
        workers.append(site.fork())
        time.sleep(draw.random() * 0.05)
    for process in workers:
        process.join(120)
    assert {process.exitcode for process in workers} <= {0, 3}  # 3: a part was somebody else's
    assert site.received() == dict.fromkeys(site.dispatches, 1)
    assert set(site.ledger().values()) == {"accepted"}
