"""Batches of due messages on each database: claimed by one, taken over, shared out, noted."""

from __future__ import annotations

import os
import threading
from dataclasses import replace

import pytest
from sqlalchemy.engine import Engine

from angelia.delivery.ledger.ledger import Owner
from angelia.errors import AngeliaError
from angelia.intake.dispatching.batches import Batches, IntakeSend, Lost
from angelia.intake.dispatching.steps import OutcomeStep
from angelia.intake.store import Accepted, IntakeStore
from tests.unit.intake.conftest import HOUR_US, NOW_US, Make
from tests.unit.intake.taking import DS, HOUR, LEASE_US, claim, of
from tests.unit.intake.test_store import at


def test_a_batch_is_one_dispatchers_until_it_lapses(any_engine: Engine, draft: Make) -> None:
    store, batches = IntakeStore(any_engine), of(any_engine)
    store.accept(
        [draft(), draft(priority="high"), draft(send_at=at(NOW_US + HOUR_US)), draft(priority="low")]
    )
    first = claim(batches, NOW_US)
    assert first is not None
    assert [row["priority"] for row in batches.rows(first)] == [0, 1, 2]
    assert claim(batches, NOW_US + LEASE_US) is None
    assert batches.take_over(NOW_US + LEASE_US - 1) is None
    second = batches.take_over(NOW_US + LEASE_US)
    assert second == replace(first, holder=second.holder if second else "", tries=1)
    with pytest.raises(Lost):
        batches.note(first, [], [], is_over=True)
    assert second is not None
    batches.note(second, [], [], is_over=True)
    assert batches.take_over(NOW_US + HOUR_US) is None
    later = claim(batches, NOW_US + HOUR_US)
    assert later is not None
    assert len(later.members) == 1


def test_a_dead_dispatchers_batch_is_taken_over_at_once(engine: Engine, draft: Make) -> None:
    IntakeStore(engine).accept([draft()])
    dead = replace(Owner.this_process(), started="1")
    batch = claim(Batches(engine, dead, LEASE_US), NOW_US)
    assert batch is not None
    taken = of(engine).take_over(NOW_US + 1)
    assert taken is not None
    assert taken.members == batch.members
    of(engine).rest(taken, NOW_US + 5)
    assert of(engine).take_over(NOW_US + 4) is None
    assert of(engine).take_over(NOW_US + 5) is not None
    assert os.getpid() == Owner.this_process().pid


def test_dispatchers_racing_share_without_overlap(any_engine: Engine, draft: Make) -> None:
    store, held = IntakeStore(any_engine), []
    store.accept([draft(user_id=f"u{i}") for i in range(120)])
    barrier = threading.Barrier(3)

    def take() -> None:
        barrier.wait()
        while batch := claim(of(any_engine), NOW_US + 1, 10):
            held.extend(batch.members)

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = claim(of(any_engine), NOW_US + 1, 999)
    held += last.members if last else ()
    assert len(held) == len(set(held)) == 120


def test_an_expired_message_is_in_no_batch(engine: Engine, draft: Make) -> None:
    store = IntakeStore(engine)
    (kept,) = store.accept([draft(expires_at=at(NOW_US + 1_000_000))])
    assert isinstance(kept, Accepted)
    assert of(engine).claim(NOW_US + 1_000_000, 9, DS, HOUR) == (None, 1)
    row = store.get("shop", kept.id)
    assert row is not None
    assert (row["status"], row["is_open"]) == ("expired", 0)
    assert [step["reason"] for step in store.steps("shop", [kept.id])[kept.id]] == ["expired"]


def test_a_lane_of_high_messages_takes_no_other(engine: Engine, draft: Make) -> None:
    IntakeStore(engine).accept([draft(priority=name) for name in ("low", "medium", "high")])
    batch = claim(of(engine), NOW_US, 9, 0)
    assert batch is not None
    assert [row["priority"] for row in of(engine).rows(batch)] == [0]


def test_what_is_postponed_is_due_again_later(engine: Engine, draft: Make) -> None:
    store, batches = IntakeStore(engine), of(engine)
    store.accept([draft(), draft(user_id="u2")])
    batch = claim(batches, NOW_US)
    assert batch is not None
    first, two = batches.rows(batch)
    send = IntakeSend("0" * 32, "shop", first["id"], "u1", "cart", NOW_US)
    batches.reserve(batch, [send, replace(send, message_id="1" * 32)])
    queued = OutcomeStep("shop", first["id"], "queued", NOW_US, "queued", channel="fcm")
    batches.seal(batch, [queued], [(two, NOW_US + HOUR_US, "quiet_hours")], ["1" * 32], NOW_US)
    assert batches.sent_to(["u1"], NOW_US) == [(send, True)]
    assert claim(batches, NOW_US + HOUR_US - 1) is None
    assert [row["id"] for row in batches.rows(replace(batch, claimed=()))] == [first["id"]]
    again = claim(batches, NOW_US + HOUR_US)
    assert again is not None
    assert again.members == (("shop", two["id"]),)


def test_a_batch_and_receipts_that_wait_for_each_other(any_engine: Engine, draft: Make) -> None:
    # Each writes steps of the same messages, one from the end, so each holds what the other asks for next.
    IntakeStore(any_engine).accept([draft(user_id=f"u{i}") for i in range(150)])
    batches = of(any_engine)
    batch = claim(batches, NOW_US, 150)
    assert batch is not None
    barrier, faults = threading.Barrier(2), []

    def steps(turn: int) -> list[OutcomeStep]:
        return [
            OutcomeStep(client, name, f"step {turn}", NOW_US + turn, "queued")
            for client, name in batch.members
        ]

    def write(*, is_receipt: bool) -> None:
        try:
            for turn in range(12):
                barrier.wait(30)
                if is_receipt:
                    batches.note_receipts(steps(turn)[::-1])
                else:
                    batches.note(batch, steps(turn), [], is_over=False)
        except (AngeliaError, threading.BrokenBarrierError) as error:
            faults.append(error)
            barrier.abort()

    threads = [threading.Thread(target=write, kwargs={"is_receipt": each}) for each in (False, True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert batches.take_over(NOW_US + LEASE_US + HOUR_US) is not None
