"""Counts over 28 days: the windows' last days count, the days beside them do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from angelia.users.history import OPEN_RATE_STRENGTH, days_of, event_features, push_features


def event_row(*rows: tuple[int, int, int, bool, float], n: int = 2) -> dict[str, list[Any]]:
    user, age, n_events, bought, value = (np.array(column) for column in zip(*rows, strict=True))
    features = event_features(
        user.astype(np.int64), age.astype(np.int64), n_events.astype(np.int64), bought.astype(bool), value, n
    )
    return {name: column.to_pylist() for name, column in features.items()}


def test_events_count_in_the_windows_they_fall_into() -> None:
    features = event_row(
        (0, 0, 1, False, 0.0),
        (0, 1, 10, False, 0.0),
        (0, 6, 100, True, 2.5),
        (0, 7, 1_000, False, 0.0),
        (0, 27, 10_000, False, 0.0),
        (0, 28, 100_000, True, 9.0),
    )
    assert features["n_events_1d"] == [1, 0]
    assert features["n_events_7d"] == [111, 0]
    assert features["n_events_28d"] == [11_111, 0]
    assert features["n_active_days_28d"] == [5, 0]
    assert features["n_purchases_28d"] == [100, 0]
    assert features["value_28d"] == [2.5, 0.0]


def test_what_never_happened_is_null_and_today_is_nought() -> None:
    features = event_row((0, 0, 1, False, 0.0), (1, 28, 1, True, 1.0))
    assert features["days_since_event"] == [0, None]
    assert features["days_since_purchase"] == [None, None]


def test_several_rows_of_a_day_are_one_active_day() -> None:
    features = event_row((1, 3, 2, False, 0.0), (1, 3, 1, True, 1.0), (1, 4, 1, False, 0.0))
    assert features["n_active_days_28d"] == [0, 2]


def test_days_are_those_of_distinct_numbers() -> None:
    rng = np.random.default_rng(3)
    user, age = rng.integers(0, 50, 900), rng.integers(0, 28, 900)
    row, day = days_of(user, age, 60)
    assert np.array_equal(row * 28 + day, np.unique(user * 28 + age))


def test_a_count_beyond_its_column_is_cut_off() -> None:
    assert event_row((0, 0, 2**40, False, 0.0))["n_events_1d"] == [2**31 - 1, 0]


def test_few_pushes_leave_the_populations_rate() -> None:
    none, sent = np.zeros(0, np.int64), np.zeros(20, np.int64)
    features = push_features(sent, sent + 7, sent[:4], sent[:4], 0.05, 2)
    rates = features["open_rate_28d"].to_pylist()
    assert rates[1] == pytest.approx(0.05)
    assert rates[0] == pytest.approx((4 + OPEN_RATE_STRENGTH * 0.05) / (20 + OPEN_RATE_STRENGTH))
    assert features["n_pushes_7d"].to_pylist() == [0, 0]
    assert features["days_since_push"].to_pylist() == [7, None]
    # An open whose push has left the window.
    assert push_features(none, none, sent, sent, 1.0, 1)["open_rate_28d"].to_pylist() == [1.0]
