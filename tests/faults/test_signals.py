"""Signals to a worker: SIGTERM, SIGTERM then SIGKILL, SIGSTOP for longer than its lease."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

pytestmark = pytest.mark.integration
BATCH, OPEN_BATCHES, ROWS = 60, 4, 600
WINDOW = BATCH * OPEN_BATCHES


def test_sigterm_drains_and_the_next_worker_finishes(new_site: Any) -> None:
    """SIGTERM, as `execution_timeout` sends it: no new request, and the part is released.

    Answers are awaited and outcomes written.
    """
    site = new_site("at_most_once", prefix="slow-")
    process = site.fork()
    site.wait_until_sending(process)
    os.kill(process.pid, signal.SIGTERM)
    process.join(30)
    assert process.exitcode == 3
    at_the_end = site.received()
    assert 1 <= len(at_the_end) < ROWS
    assert site.resume().unfinished == 0  # no takeover needed: it was given back
    assert site.received() == dict.fromkeys(site.dispatches, 1)
    assert set(site.ledger().values()) == {"accepted"}


@pytest.mark.parametrize("guarantee", ["at_most_once", "at_least_once"])
def test_sigterm_then_sigkill_before_the_drain_is_over(guarantee: str, new_site: Any) -> None:
    """SIGKILL after too short a grace: answers under way are lost, the promise holds."""
    site = new_site(guarantee, prefix="slow-")
    process = site.fork()
    site.wait_until_sending(process)
    os.kill(process.pid, signal.SIGTERM)
    time.sleep(0.02)  # the answers under way take 0.4 s
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    assert site.resume().unfinished == 0
    received, ledger = site.received(), site.ledger()
    assert set(ledger) == site.dispatches
    doubled = sum(count > 1 for count in received.values())
    if guarantee == "at_most_once":
        assert doubled == 0
        assert 0 < sum(outcome == "ambiguous" for outcome in ledger.values()) <= WINDOW
        assert all(dispatch in received for dispatch, outcome in ledger.items() if outcome == "accepted")
    else:
        assert set(received) == site.dispatches
        assert doubled <= WINDOW
        assert set(ledger.values()) == {"accepted"}


@pytest.mark.parametrize("guarantee", ["at_most_once", "at_least_once"])
def test_a_worker_that_wakes_after_its_lease_sends_nothing(guarantee: str, new_site: Any) -> None:
    """SIGSTOP while it sends: another worker takes over, and the zombie sends no more.

    Its deadline passes and the other worker finishes before it wakes.
    """
    site = new_site(guarantee, prefix="slow-")
    zombie = site.fork(batch_deadline_s=1.0, request_timeout_s=0.8)
    site.wait_until_sending(zombie, at_least=20)
    os.kill(zombie.pid, signal.SIGSTOP)
    try:
        assert site.resume(takeover=True, request_timeout_s=0.8).unfinished == 0
        before = site.received()
        requests = site.sandbox.stats()["requests"]
    finally:
        os.kill(zombie.pid, signal.SIGCONT)
    zombie.join(60)
    assert zombie.exitcode is not None
    assert site.received() == before
    assert site.sandbox.stats()["requests"] == requests
    ledger = site.ledger()
    assert set(ledger) == site.dispatches
    doubled = sum(count > 1 for count in before.values())
    if guarantee == "at_most_once":
        assert doubled == 0
        assert all(before.get(dispatch) == 1 for dispatch, outcome in ledger.items() if outcome == "accepted")
        assert sum(outcome == "ambiguous" for outcome in ledger.values()) <= WINDOW
    else:
        assert set(before) == site.dispatches
        assert doubled <= WINDOW
