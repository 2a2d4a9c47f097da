"""A log of pushes: parts are joined in order, and a copy that grows leaves the other alone."""

from __future__ import annotations

import numpy as np

from angelia.rehearsal.push_log import PushLog, Sent

DAY = 86_400


def part(first: int, n: int, material: str) -> Sent:
    rows = np.arange(first, first + n)
    ids = [f"{row:032x}" for row in rows]
    return Sent(rows, ["price_drop"] * n, [material] * n, rows * 24, ids, np.full(n, np.nan), np.full(n, 0.5))


def test_parts_are_joined_in_the_order_they_came() -> None:
    one_part = PushLog().and_(part(0, 2, "price_drop_books"), np.array([5, 6]), np.array([-1, 9]))
    both = one_part.and_(part(7, 1, "price_drop_games"), np.array([7]), np.array([-1]))
    assert both.row.tolist() == both.sent.row.tolist() == [0, 1, 7]
    assert both.sent.material == ["price_drop_books"] * 2 + ["price_drop_games"]
    assert (both.at.tolist(), both.opened_at.tolist()) == ([5, 6, 7], [-1, 9, -1])
    assert len(set(both.category[:2].tolist())) == 1
    assert both.category[0] != both.category[2]
    assert len(one_part.row) == 2, "the shorter log is another one"
    assert len(PushLog().row) == len(PushLog().sent.slot) == 0


def test_a_day_has_what_was_sent_or_opened_on_it() -> None:
    log = PushLog().and_(part(0, 1, "price_drop_books"), np.array([DAY - 1]), np.array([2 * DAY]))
    log = log.and_(part(1, 1, "price_drop_books"), np.array([DAY]), np.array([-1]))
    assert [log.of_day(day).row.tolist() for day in (-1, 0, 1, 2, 3)] == [[], [0], [1], [0], []]
