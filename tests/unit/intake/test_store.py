"""The store on each database: repeated keys, lists, cancelling, its tables."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from sqlalchemy.engine import Engine

from angelia.delivery.ledger.ledger import Owner
from angelia.errors import AngeliaError
from angelia.intake.database import writing
from angelia.intake.dispatching.batches import Batches
from angelia.intake.dispatching.steps import OutcomeStep, note_steps
from angelia.intake.message import Refusal
from angelia.intake.store import Accepted, IntakeStore, effective_status
from tests.unit.intake.conftest import HOUR_US, NOW_US, Make


def at(us: int) -> str:
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat()


def test_a_key_answers_the_same_twice(any_engine: Engine, draft: Make) -> None:
    store = IntakeStore(any_engine)
    (first,) = store.accept([draft(idempotency_key="k")])
    again, other, foreign = store.accept(
        [
            draft(idempotency_key="k", now_us=NOW_US + HOUR_US),
            draft(idempotency_key="k", user_id="u2"),
            draft(idempotency_key="k", client="bank"),
        ]
    )
    assert isinstance(first, Accepted)
    assert again == Accepted(first.id, NOW_US, True)
    assert isinstance(other, Refusal)
    assert other.code == "idempotency_conflict"
    assert isinstance(foreign, Accepted)
    assert not foreign.repeated
    assert len(store.newest("shop", NOW_US)) == 1


def test_a_key_twice_in_one_group_is_one_message(engine: Engine, draft: Make) -> None:
    store = IntakeStore(engine)
    first, second, other = store.accept(
        [draft(idempotency_key="k"), draft(idempotency_key="k"), draft(idempotency_key="k", priority="low")]
    )
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert (first.id, second.repeated) == (second.id, True)
    assert isinstance(other, Refusal)


def test_a_repeat_after_its_time_gets_the_first_answer(engine: Engine, draft: Make) -> None:
    store = IntakeStore(engine)
    timed = {"send_at": at(NOW_US + HOUR_US), "idempotency_key": "k"}
    (first,) = store.accept([draft(**timed)])
    again, fresh = store.accept(
        [
            draft(now_us=NOW_US + 9 * HOUR_US, **timed),
            draft(now_us=NOW_US + 9 * HOUR_US, send_at=at(NOW_US + HOUR_US)),
        ]
    )
    assert isinstance(first, Accepted)
    assert isinstance(again, Accepted)
    assert again.id == first.id
    assert isinstance(fresh, Refusal)
    assert fresh.code == "past"


def test_writers_racing_on_keys_keep_each_once(any_engine: Engine, draft: Make) -> None:
    store, verdicts = IntakeStore(any_engine), []
    barrier = threading.Barrier(3)

    def write() -> None:
        barrier.wait()
        for start in range(0, 60, 20):
            verdicts.extend(store.accept([draft(idempotency_key=f"k{start + i}") for i in range(20)]))

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(verdicts) == 180
    accepted = [verdict for verdict in verdicts if isinstance(verdict, Accepted)]
    assert len(accepted) == 180
    assert sum(not verdict.repeated for verdict in accepted) == 60 == len({v.id for v in accepted})


def test_writers_that_wait_for_each_other_try_again(any_engine: Engine, draft: Make) -> None:
    # One takes the keys in order, the other from the end, so each holds what the other asks for next.
    store, verdicts = IntakeStore(any_engine), []
    barrier, faults = threading.Barrier(2), []

    def write(*, is_back: bool) -> None:
        try:
            for turn in range(12):
                names = [f"t{turn}-{i}" for i in range(150)]
                drafts = [draft(idempotency_key=name) for name in (names[::-1] if is_back else names)]
                barrier.wait(30)
                verdicts.extend(store.accept(drafts))
        except (AngeliaError, threading.BrokenBarrierError) as error:
            faults.append(error)
            barrier.abort()

    threads = [threading.Thread(target=write, kwargs={"is_back": back}) for back in (False, True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert sum(not v.repeated for v in verdicts if isinstance(v, Accepted)) == 12 * 150 == len(verdicts) / 2


def test_lists_page_by_time_campaign_and_status(any_engine: Engine, draft: Make) -> None:
    store = IntakeStore(any_engine)
    times = [NOW_US + i * HOUR_US for i in range(4)]
    store.accept([draft(now_us=us, campaign_id=f"c{i % 2}") for i, us in enumerate(times)])
    store.accept([draft(client="bank")])
    page = store.newest("shop", times[3], limit=3)
    assert [row["accepted_us"] for row in page] == times[:0:-1]
    assert [row["accepted_us"] for row in store.newest("shop", times[3], before=page[-1]["id"])] == times[:1]
    within = store.newest("shop", times[3], from_us=times[1], to_us=times[3])
    assert [row["accepted_us"] for row in within] == [times[2], times[1]]
    assert len(store.newest("shop", times[3], campaigns=["c1"])) == 2
    queued = [OutcomeStep("shop", page[1]["id"], "queued", 1, None, "", "sms")]
    with writing(any_engine) as connection:
        note_steps(connection, [*queued, OutcomeStep("bank", page[2]["id"], "queued", 1, None, "", "sms")])
    assert [row["id"] for row in store.newest("shop", times[3], channel="sms")] == [page[1]["id"]]
    assert store.newest("shop", times[3], channel="fcm") == []
    assert store.cancel("shop", page[0]["id"], times[3])
    assert [row["id"] for row in store.newest("shop", times[3], status="cancelled")] == [page[0]["id"]]
    assert len(store.newest("shop", times[3], status="accepted")) == 3


def test_only_a_waiting_message_is_cancelled(engine: Engine, draft: Make) -> None:
    store = IntakeStore(engine)
    waiting, over, taken = store.accept(
        [draft(), draft(expires_at=at(NOW_US + 5_000_000)), draft(priority="high")]
    )
    assert isinstance(waiting, Accepted)
    assert isinstance(over, Accepted)
    assert isinstance(taken, Accepted)
    batch, _ = Batches(engine, Owner.this_process(), HOUR_US).claim(NOW_US, 1, "2026-11-26", "2026-11-28T04")
    assert batch is not None
    assert batch.members == (("shop", taken.id),)
    later = NOW_US + 5_000_000
    assert not store.cancel("bank", waiting.id, later)
    assert [store.cancel("shop", each.id, later) for each in (waiting, over, taken)] == [True, False, False]
    row = store.get("shop", over.id)
    assert row is not None
    assert effective_status(row, later) == "expired"
    assert effective_status(row, later - 1) == "accepted"
    assert [listed["id"] for listed in store.newest("shop", later, status="expired")] == [over.id]
