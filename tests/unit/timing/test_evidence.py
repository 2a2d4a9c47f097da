"""A user's history by local hour: cells, decay, inverse propensities, and young pushes."""

from __future__ import annotations

import numpy as np
import pytest

from angelia.timing.evidence import (
    MAX_INVERSE,
    active_hours,
    count_activity,
    count_hours,
    count_pushes,
    exact,
    inverse_propensity,
    read_clock,
    slot_weights,
)

# Two weeks to a Sunday: ten workdays, four days off.
CLOCK = read_clock(["UTC", "Asia/Kolkata"], [None, None], np.datetime64("2026-11-15"), 14, 7.0)
SUNDAY, MONDAY = 13, 7


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_the_clock_halves_and_balances() -> None:
    assert (CLOCK.n_users, CLOCK.decay[-1], CLOCK.decay[-8]) == (2, 1.0, 0.5)
    # An hour of everybody's whole window weighs five workdays to two days off.
    weight = np.repeat(CLOCK.decay, 24)
    off = CLOCK.cells[0] >= 24
    sums = [(weight * ~off).sum() * CLOCK.day_balance[0, 0], (weight * off).sum() * CLOCK.day_balance[0, 1]]
    assert sums[0] / sums[1] == pytest.approx(2.5, abs=1e-4)


def test_active_hours_are_local_and_counted_once() -> None:
    user, day, cell = active_hours(
        CLOCK, ints(0, 0, 1), ints(SUNDAY, SUNDAY, MONDAY), ints(0b11, 0b10, 1 << 20)
    )
    assert user.tolist() == [0, 0, 1]
    assert day.tolist() == [SUNDAY, SUNDAY, MONDAY]
    # 20:00 UTC on a Monday is half past one on Tuesday in Kolkata.
    assert cell.tolist() == [24, 25, 1]


def test_activity_fades_and_keeps_to_its_cells() -> None:
    counts = count_activity(CLOCK, ints(0, 0), ints(SUNDAY, SUNDAY - 7), ints(1 << 9, 1 << 9))
    assert counts.shape == (2, 48)
    assert np.flatnonzero(counts[0]).tolist() == [24 + 9]
    assert counts[0, 33] == pytest.approx(1.5 * CLOCK.day_balance[0, 1], abs=1e-5)
    hours = count_hours(CLOCK, ints(1, 1), ints(SUNDAY, SUNDAY - 1), ints(5, 5), 1.0)
    assert hours[1, 5] == 1.5
    nobody = np.zeros(0, np.int64)
    assert not count_activity(CLOCK, nobody, nobody, nobody).any()


def test_inverse_propensities_are_clipped_and_unknown_ones_zero() -> None:
    given = np.array([0.5, 1.0, 0.001, np.nan, 0.0, -1.0, 2.0])
    assert inverse_propensity(given).tolist() == [2.0, 1.0, MAX_INVERSE, 0.0, 0.0, 0.0, 1.0]
    weights = slot_weights(np.array([0.5, 0.25, np.nan]))
    assert weights[:2].mean() == 1.0
    assert weights[2] == 1.0
    assert slot_weights(np.array([np.nan])).tolist() == [1.0]


def test_pushes_outside_the_window_or_too_young_are_left_out() -> None:
    end = CLOCK.first_hour + 24 * 14
    hours = ints(CLOCK.first_hour - 1, CLOCK.first_hour, end - 25, end - 24, end)
    counts = count_pushes(CLOCK, np.zeros(5, np.int64), hours, np.full(5, np.nan))
    assert (counts.unknown > 0).sum() == 2
    assert not counts.known.any()
    assert (
        count_pushes(CLOCK, np.zeros(5, np.int64), hours, np.full(5, np.nan), first=1).unknown.sum()
        == (CLOCK.decay[12])
    )


def test_known_pushes_weigh_inversely_beside_their_plain_count() -> None:
    at = CLOCK.first_hour + 24 * SUNDAY - 15  # Saturday, nine in the morning
    counts = count_pushes(CLOCK, ints(0, 0), ints(at, at), np.array([0.25, np.nan]))
    decay = CLOCK.decay[SUNDAY - 1]
    assert counts.known[0, 33] == exact(4 * decay)
    assert counts.known_plain[0, 33] == counts.unknown[0, 33] == decay
    assert counts.weighted(0.5)[0, 33] == pytest.approx(decay + 0.5 * 4 * decay)
