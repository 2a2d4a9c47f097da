"""Categories' own hours: found where they are, invented nowhere, equal for any shards."""

import numpy as np

from angelia.timing.category_hours import (
    SHAPES,
    WEEKDAYS,
    CategoryHours,
    CategoryPushes,
    by_cell,
    by_weekday,
    category_sums,
    choose_hours,
    choose_strength,
    factors,
    merge,
)

USERS, N = 400, 60_000


def drawn(seed: int, effect: float) -> np.ndarray:
    """Return sums of two categories: one for the morning, one for the evening, by `effect`."""
    rng = np.random.default_rng(seed)
    user, cell, category = rng.integers(0, USERS, N), rng.integers(8, 22, N), rng.integers(0, 2, N)
    cell = cell + 24 * rng.integers(0, 2, N)
    sign = np.where((cell % 24 < 15) == (category == 0), effect, -effect)
    hit = rng.random(N) < 0.1 * np.exp(sign)
    weekday = rng.integers(0, 7, N)
    hit |= (weekday == 6) & (category == 1) & (rng.random(N) < 0.2 * effect)
    sent = CategoryPushes(user, cell, weekday, category, np.ones(N))
    opened = CategoryPushes(*(values[hit] for values in sent))
    return category_sums(sent, opened, np.ones((USERS, 48)), np.full(USERS, 0.1), 2)


def test_hours_that_are_there_are_found() -> None:
    earlier, later = drawn(1, 0.5), drawn(2, 0.5)
    shape, strength = choose_hours(earlier, later)
    assert np.isfinite(strength)
    factor = factors(by_cell(earlier + later, shape), strength)
    assert factor[0, 10] > 1.2 > 0.8 > factor[0, 20]
    assert factor[1, 20] > 1.2 > 0.8 > factor[1, 10]
    used = by_cell(earlier + later, shape)[:, 1]
    assert np.allclose((factor * used).sum(axis=1) / used.sum(axis=1), 1.0, atol=1e-6)


def test_weekdays_that_are_there_are_found() -> None:
    earlier, later = by_weekday(drawn(1, 0.5)), by_weekday(drawn(2, 0.5))
    factor = factors(earlier + later, choose_strength(earlier, later)[0])
    assert factor[1, 6] > 1.3 > 1.1 > factor[0].max()


def test_hours_that_are_not_there_are_not_invented() -> None:
    assert choose_hours(drawn(3, 0.0), drawn(4, 0.0))[1] >= 300.0
    assert choose_strength(by_weekday(drawn(3, 0.0)), by_weekday(drawn(4, 0.0)))[0] >= 300.0
    nothing = np.zeros((2, 2, 48))
    assert choose_strength(nothing, nothing) == (np.inf, 0.0)
    assert np.array_equal(factors(nothing, 30.0), np.ones((2, 48)))


def test_sharp_hours_choose_the_narrow_shape() -> None:
    hours = np.arange(48) % 24
    sharp = np.where((hours == 12) | (hours == 19), 2.0, 0.8)
    expected = np.full((2, 55), 400.0)
    sums = np.stack([np.stack([np.r_[400.0 * factor, np.full(7, 400.0)], expected[0]]) for factor in
                     (sharp, 2.0 - sharp)])  # fmt: skip
    assert choose_hours(sums, sums)[0] == SHAPES[-1]
    # What differs on days off must not be lent to workdays whole.
    apart = np.where(np.arange(48) < 24, 0.7, 1.6)
    sums[0, 0, :48], sums[1, 0, :48] = 400.0 * apart, 400.0 * (2.2 - apart)
    assert choose_hours(sums, sums)[0] == SHAPES[0]


def test_sums_do_not_depend_on_how_people_are_cut() -> None:
    rng = np.random.default_rng(5)
    user, cell, category = rng.integers(0, USERS, 999), rng.integers(0, 48, 999), rng.integers(0, 2, 999)
    weekday = rng.integers(0, 7, 999)
    curve, rate, weight = rng.random((USERS, 48)) + 0.5, rng.random(USERS) / 9, rng.random(999)
    parts = []
    for keep in (np.ones(999, bool), user < 100, user >= 100):
        sample = CategoryPushes(user[keep], cell[keep], weekday[keep], category[keep], weight[keep])
        parts.append(category_sums(sample, sample, curve, rate, 2))
    assert np.array_equal(parts[0], parts[1] + parts[2])
    merged = merge([{"b": parts[1][0].tolist()}, {"a": parts[2][1].tolist(), "b": parts[2][0].tolist()}])
    assert list(merged) == ["a", "b"]
    assert np.array_equal(merged["b"], parts[0][0])


def test_a_commit_that_says_nothing_means_one_everywhere() -> None:
    silent = CategoryHours.of({})
    assert silent.rows({"m": "camera"}, ["m", "other"]) == [0, 0]
    assert np.array_equal(silent.factor, np.ones((1, 48)))
    assert np.array_equal(silent.weekday, np.ones((1, WEEKDAYS)))
    known = CategoryHours.of({"categories": {"camera": [2.0] * 48}})
    assert known.rows({"m": "camera"}, ["m", "other"]) == [0, 1]
