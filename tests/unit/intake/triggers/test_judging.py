"""An event is moot, too old or for somebody else at its exact boundary."""

from __future__ import annotations

import pytest

from angelia.intake.dispatching import sample_night
from tests.unit.intake.dispatching import Bench, bench
from tests.unit.intake.triggers.setting import (
    LEFT,
    MINUTE,
    T,
    arrive,
    documents,
    index,
    messages,
    run,
    users,
)

__all__ = ["bench"]


@pytest.mark.parametrize(("after", "moot"), [(0, True), (60, True), (61, False), (-1, False)])
def test_the_minutes_begin_and_end_with_the_event(shop: Bench, after: int, moot: bool) -> None:
    arrive(shop.lake, (0, "cart", T), (0, "purchase", T + after * MINUTE))
    run(shop, T + 100 * MINUTE)
    assert messages(shop) == [] if moot else len(messages(shop)) == 1


def test_audience_and_condition_are_asked(bench: Bench) -> None:
    trigger = {"event": "cart", "where": "country = 'AT'", "delay_minutes": 5}
    bench.night(documents=documents(LEFT | {"trigger": trigger}))
    index(bench.lake, men=[2])
    arrive(bench.lake, (0, "cart", T), (1, "cart", T), (2, "cart", T), (99, "cart", T))
    assert run(bench, T + 4 * MINUTE).outcomes == {}
    assert run(bench, T + 5 * MINUTE).outcomes == {
        "handed_over": 1,
        "not_in_audience": 2,
        "unknown_person": 1,
    }
    assert users(bench) == [sample_night.user(0)]
