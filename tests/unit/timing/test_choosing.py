"""Parameters that predict are chosen, by responses where there are enough of them."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from angelia.timing.choosing import (
    BY_RESPONSES,
    CHOSEN_ON,
    GRID,
    HALF_LIVES,
    QUARTERS,
    STRENGTH_GRID,
    Sample,
    Settled,
    by_activity,
    choose,
    choose_habit,
    choose_strength,
    walk,
)
from angelia.timing.curves import Strength, cohort_sums
from angelia.timing.evidence import CELLS, PushCounts
from angelia.timing.habits import Habit

N, DAYS = 400, 28


def sample(*, own: bool, effect: float = 0.0, rate: float = 0.0, seed: int = 4) -> Sample:
    """Return people who are active at an hour of their own, or all at one.

    They are pushed at all hours. Opens follow the own hour by `effect`.
    """
    rng = np.random.default_rng(seed)
    center = rng.integers(0, 24, N) if own else np.full(N, 12)
    activity = np.zeros((len(HALF_LIVES), 1 + QUARTERS, N, CELLS))
    rows = np.repeat(np.arange(N), 4)
    for quarter in range(1, 1 + QUARTERS):
        at = (center[rows] + np.round(rng.normal(0, 1.5, len(rows)))).astype(int) % 24
        np.add.at(activity[0, quarter], (rows, at), 1.0)
    activity[1:] = activity[0]
    away = np.abs((np.arange(24)[None] - center[:, None] + 12) % 24 - 12)
    near = np.tile(np.exp(effect * (away <= 2)), 2)
    pushes = np.full((QUARTERS, N, CELLS), 0.5)
    opens = rng.poisson(pushes * rate * near).astype(float)
    return Sample(("UTC",) * N, activity, pushes, opens)


def sums_of(part: Sample) -> dict[str, np.ndarray]:
    none = np.zeros((N, CELLS))
    pushes, opens = (PushCounts(values.sum(axis=0), none, none) for values in (part.pushes, part.opens))
    return cohort_sums(part.timezones, part.whole(14.0), pushes, opens)


def test_own_hours_count_where_people_differ() -> None:
    different, gain = choose_habit(sample(own=True), DAYS)
    alike, none = choose_habit(sample(own=False), DAYS)
    assert gain is not None
    assert none is not None
    assert gain > 0.5 > 0.05 > abs(none)
    assert different.sharpness > 0 or different.workday < alike.workday


def test_elasticity_follows_the_responses() -> None:
    following, by = choose_strength(replaced(1.5), sums_of(replaced(1.5)), Habit())
    flat, _ = choose_strength(replaced(0.0), sums_of(replaced(0.0)), Habit())
    assert by == "responses"
    assert following.elasticity > 0.125 >= flat.elasticity


def replaced(effect: float) -> Sample:
    return sample(own=True, effect=effect, rate=0.15)


def test_without_responses_only_waiting_is_chosen() -> None:
    part = sample(own=True)
    strength, by = choose_strength(part, sums_of(part), Habit())
    assert by == "activity"
    assert strength.elasticity == Strength().elasticity
    assert strength.waiting > 0


def test_activity_of_the_held_out_quarter_tells_nothing() -> None:
    part = sample(own=True, effect=1.5, rate=0.15)
    leaking = part.activity.copy()
    # In the last quarter an open is followed by a visit in the same hour.
    leaking[:, QUARTERS] += 50 * part.opens[QUARTERS - 1]
    outside = replace(part, activity=leaking).without(14.0, QUARTERS - 1)
    np.testing.assert_array_equal(outside, part.without(14.0, QUARTERS - 1))


def test_nobody_active_means_the_defaults() -> None:
    choice = choose(Sample.join([]), {}, DAYS)
    assert (choice.habit, choice.strength, choice.by, choice.gain) == (Habit(), Strength(), "nothing", None)


def test_what_responses_chose_holds_for_a_week() -> None:
    part = sample(own=True, effect=1.0, rate=0.2)
    first = choose(part, sums_of(part), DAYS)
    assert first.by == BY_RESPONSES
    meta = {
        **{"habit": asdict(first.habit), "strength": asdict(first.strength), "gain": first.gain},
        **{"chosen_by": first.by, CHOSEN_ON: "2026-11-10"},
    }
    settled = Settled.of(meta, "2026-11-10")
    assert settled is not None
    # Other people: the walk would end elsewhere, and clusters follow them.
    other = sample(own=False, seed=5)
    later = choose(other, sums_of(other), DAYS, settled)
    assert (later.habit, later.strength, later.gain) == (first.habit, first.strength, first.gain)
    assert later.habit != choose(other, sums_of(other), DAYS).habit
    assert Settled.of(meta, "2026-11-11") is None
    assert Settled.of(meta | {"chosen_by": "activity"}, "2026-11-10") is None
    assert Settled.of({}, "2026-11-10") is None


def test_hours_before_a_quarter_fade_as_of_its_begin() -> None:
    part = sample(own=True)
    half = HALF_LIVES[0]
    grown = part.until(half, 2, DAYS)
    np.testing.assert_allclose(grown, part.activity[0, :3].sum(axis=0) * 2 ** (14 / half), rtol=1e-5)


def test_curves_are_judged_by_the_three_hours_from_a_push() -> None:
    later = np.zeros((1, CELLS))
    later[0, 20] = 1.0
    scores = {}
    for hour in (17, 18, 20, 21):
        curve = np.full((1, CELLS), 0.5)
        curve[0, hour] = 5.0
        scores[hour] = by_activity(curve, later)
    assert scores[18] == pytest.approx(scores[20])
    assert scores[18] > scores[17] == pytest.approx(scores[21])


def test_a_walk_ends_at_the_best_of_the_grid() -> None:
    target = Habit(14.0, 2.0, 0.0, 160.0, 320.0, 1.0)

    asked: list[Habit] = []

    def score(habit: Habit) -> float:
        asked.append(habit)
        return -sum(abs(values.index(getattr(habit, name)) - values.index(getattr(target, name)))
                    for name, values in GRID.items())  # fmt: skip

    assert walk(Habit(), GRID, score) == (target, 0.0)
    assert len(asked) == len(set(asked)), "a score takes its time, so nobody is asked twice"
    assert all(getattr(Habit(), name) in values for name, values in GRID.items())
    assert all(getattr(Strength(), name) in values for name, values in STRENGTH_GRID.items())


def test_samples_of_shards_are_joined_in_their_order() -> None:
    part = sample(own=True)
    first, last = (
        Sample(part.timezones[cut], part.activity[:, :, cut], part.pushes[:, cut], part.opens[:, cut])
        for cut in (slice(0, 150), slice(150, N))
    )
    whole = Sample.join([first, last])
    assert whole.timezones == part.timezones
    np.testing.assert_array_equal(whole.activity, part.activity)
    np.testing.assert_array_equal(whole.opens, part.opens)
