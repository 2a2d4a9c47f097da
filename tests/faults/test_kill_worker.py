"""kill -9 a real worker at seeded failpoints; a real sandbox counts messages.

The promise: unaccounted 0; at most once: doubled 0, ambiguous at most the rows of the open intents; at least
once: unsent 0, doubled at most those.
"""

from __future__ import annotations

import json
import random
import signal
from typing import Any

import pytest

from angelia.delivery.ledger import ledger as ledgers
from angelia.delivery.ledger.ledger import Owner

pytestmark = pytest.mark.integration
ROWS, BATCH, OPEN_BATCHES = 600, 60, 4
LAKE_POINTS = ["create.before_link:6", "create.after_link:9"]  # inside a conditional create of the ledger
POINTS = [
    "before_intent:3",
    "after_intent:4",
    "after_send:137",
    "before_ack:251",
    "before_outcome:2",
    "after_outcome:3",
    "before_done:1",
    "create.before_link:6",
    "create.after_link:9",
]


@pytest.mark.parametrize("point", POINTS + LAKE_POINTS)
def test_a_killed_worker_loses_nothing_and_doubles_nothing(point: str, sandbox: Any, new_site: Any) -> None:
    site = new_site("at_most_once")
    killed = site.fork(point)
    killed.join(60)
    assert killed.exitcode == -signal.SIGKILL
    result = site.resume()
    assert result.unfinished == result.busy == 0
    received, ledger = sandbox.received(), site.ledger()
    assert set(ledger) == site.dispatches  # unaccounted 0
    assert max(received.get(dispatch, 0) for dispatch in site.dispatches) == 1  # doubled 0
    by_outcome = {word: {d for d, o in ledger.items() if o == word} for word in set(ledger.values())}
    assert set(by_outcome) <= {"accepted", "ambiguous"}
    assert all(received.get(dispatch) == 1 for dispatch in by_outcome["accepted"])
    assert len(by_outcome.get("ambiguous", ())) <= BATCH * OPEN_BATCHES
    never = [dispatch for dispatch in site.dispatches if dispatch not in received]
    assert all(ledger[dispatch] == "ambiguous" for dispatch in never)
    assert result.already_delivered + sum(result.delivered.values()) == ROWS


def test_a_killed_worker_doubles_no_device(sandbox: Any, new_site: Any) -> None:
    """Three devices a person: each has the message once, or nobody knows of that device alone."""
    site = new_site("at_most_once", devices=3)
    killed = site.fork("before_ack:251")
    killed.join(60)
    assert killed.exitcode == -signal.SIGKILL
    assert site.resume().unfinished == 0
    received, ledger = sandbox.received(), site.ledger()
    assert set(ledger) == site.dispatches, "lost 0"
    assert max(received.get(dispatch, 0) for dispatch in site.dispatches) == 1, "doubled 0"
    assert set(ledger.values()) == {"accepted", "ambiguous"}
    assert all(received.get(dispatch) == 1 for dispatch in ledger if ledger[dispatch] == "accepted")
    assert sum(outcome == "ambiguous" for outcome in ledger.values()) <= BATCH * OPEN_BATCHES
    rows = site.lake.read(site.lake.require("dispatch_manifest", ds="2026-11-14")).to_pylist()
    assert len({row["message_id"] for row in rows}) * 3 == len(rows) == ROWS


def test_a_killed_worker_doubles_nobody_of_a_list(sandbox: Any, new_site: Any) -> None:
    """A list of twenty tokens is one request: all of it was sent, or nobody knows of all of it."""
    site = new_site("at_most_once", per_request=20)
    before = sandbox.stats()["requests"]
    killed = site.fork("before_ack:251")
    killed.join(60)
    assert killed.exitcode == -signal.SIGKILL
    assert site.resume().unfinished == 0
    received, ledger = site.received(), site.ledger()
    assert set(ledger) == site.dispatches, "lost 0"
    assert max(received.values()) == 1, "doubled 0"
    assert set(ledger.values()) == {"accepted", "ambiguous"}
    assert all(received.get(dispatch) == 1 for dispatch in ledger if ledger[dispatch] == "accepted")
    assert sum(outcome == "ambiguous" for outcome in ledger.values()) <= BATCH * OPEN_BATCHES
    assert sandbox.stats()["requests"] - before < ROWS / 10


def test_a_killed_workers_transactional_messages_go_again(sandbox: Any, new_site: Any) -> None:
    site = new_site("at_least_once")
    nth = random.Random(7).randrange(50, 500)
    assert site.deliver(failpoint=f"before_ack:{nth}")[0] == -signal.SIGKILL
    assert site.resume().unfinished == 0
    received, ledger = sandbox.received(), site.ledger()
    assert set(ledger.values()) == {"accepted"}
    assert all(received.get(dispatch, 0) >= 1 for dispatch in site.dispatches)  # unsent 0
    assert sum(received[dispatch] > 1 for dispatch in site.dispatches) <= BATCH * OPEN_BATCHES


def test_two_workers_on_one_manifest_send_disjoint_rows(sandbox: Any, new_site: Any) -> None:
    site = new_site("at_most_once")
    workers = [site.start(), site.start()]
    results = [json.loads(worker.communicate(timeout=60)[0]) for worker in workers]
    assert sorted(sum(result["delivered"].values()) for result in results) == [0, ROWS]
    assert sandbox.received().keys() >= site.dispatches
    assert all(sandbox.received()[dispatch] == 1 for dispatch in site.dispatches)


@pytest.mark.parametrize("guarantee", ["at_most_once", "at_least_once"])
def test_a_retry_waits_for_the_lease_of_the_killed(
    guarantee: str, sandbox: Any, new_site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on another machine, where nobody can see that the process is gone."""
    site = new_site(guarantee)
    killed = site.fork("before_ack:251", batch_deadline_s=1.0, request_timeout_s=0.5)
    killed.join(60)
    assert killed.exitcode == -signal.SIGKILL
    monkeypatch.setattr(Owner, "is_dead", lambda _: False)
    assert site.resume().busy == 1  # as it was: the retry ends, and the part waits for the next hour
    monkeypatch.setattr(ledgers, "STALE_US", 2_000_000)
    result = site.resume(wait_for_lease=True, batch_deadline_s=1.0, request_timeout_s=0.5)
    assert (result.parts, result.busy, result.unfinished) == (1, 0, 0)
    received, outcomes = sandbox.received(), site.ledger()
    assert set(outcomes) == site.dispatches  # lost 0
    doubled = [dispatch for dispatch in site.dispatches if received.get(dispatch, 0) > 1]
    ambiguous = [dispatch for dispatch in outcomes if outcomes[dispatch] == "ambiguous"]
    never = {dispatch for dispatch in site.dispatches if dispatch not in received}
    if guarantee == "at_most_once":
        assert doubled == []
        assert never <= set(ambiguous)
        assert 0 < len(ambiguous) <= BATCH * OPEN_BATCHES
    else:
        assert never == set()
        assert len(doubled) <= BATCH * OPEN_BATCHES
