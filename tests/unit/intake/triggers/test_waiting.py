"""What waits for its moment, on each database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy.engine import Engine

from angelia.catalog.document_parts import Trigger
from angelia.intake.store import Accepted, IntakeStore
from angelia.intake.triggers.arrivals import Arrived
from angelia.intake.triggers.waiting import HANDED, HANDED_OVER, KEPT_US, Waiting
from tests.unit.intake.triggers.setting import MINUTE

TRIGGERS = {
    "left": Trigger(event="cart", without="purchase", within_minutes=60),
    "all": Trigger(event="cart"),
}
T = 1_790_000_000_000_000


def arrived(number: int, *events: tuple[str, str, int]) -> Arrived:
    return Arrived("user_events/ds=2026-11-28", number, [(*event, "camera") for event in events])


def test_an_event_waits_and_is_over_once(any_engine: Engine, draft: Callable[..., Any]) -> None:
    waiting = Waiting(any_engine)
    assert waiting.keep(arrived(2, ("u1", "cart", T), ("u1", "purchase", T + 1)), TRIGGERS) == 2
    # The leaf comes again with the same events and one more; an older commit does not set the note back.
    assert waiting.keep(arrived(3, ("u1", "cart", T), ("u2", "cart", T)), TRIGGERS) == 2
    assert waiting.keep(arrived(1, ("u1", "purchase", T + 1)), TRIGGERS) == 0
    assert waiting.read_so_far() == {"user_events/ds=2026-11-28": 3}
    assert waiting.moots_of(["u1", "u2"]) == {("u1", "purchase"): [T + 1]}
    assert [event.key for event in waiting.due(T, 9)] == [("all", "u1", T), ("all", "u2", T)]
    assert len(waiting.due(T + 60 * MINUTE - 1, 9)) == 2
    assert len(waiting.due(T + 60 * MINUTE, 9)) == 4
    assert len(waiting.due(T + 60 * MINUTE, 3)) == 3
    first, second = waiting.due(T, 9)
    (verdict,) = IntakeStore(any_engine).accept([draft(user_id="u1")])
    assert isinstance(verdict, Accepted)
    waiting.conclude([(first, HANDED_OVER, verdict.id)], HANDED)
    waiting.conclude([(second, "too_old", "")])
    waiting.conclude([(second, HANDED_OVER, "late")])  # another run's word: it is over already
    assert waiting.due(T, 9) == []
    (handed,) = waiting.handed_over("shop")
    assert (handed.event, handed.message, handed.status) == (first, verdict.id, "accepted")
    assert waiting.counts("all") == {HANDED_OVER: 1, "too_old": 1}
    assert waiting.counts("left") == {"waiting": 2}
    waiting.conclude([(first, HANDED_OVER, verdict.id)])
    assert waiting.handed_over("shop") == []
    assert waiting.forget_old(T + KEPT_US) == 0
    assert waiting.forget_old(T + KEPT_US + 2) == 2  # what is open stays
    assert waiting.moots_of(["u1"]) == {}
