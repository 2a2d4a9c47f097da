"""Curves: known profiles are recovered, evidence moves them, cuts into shards do not."""

import numpy as np
import pytest

from angelia.timing.curves import (
    Strength,
    ahead,
    cohort_sums,
    cohort_tables,
    curves_of,
    evidence,
    likeliest_strength,
    merge_sums,
    posterior,
    smooth,
)
from angelia.timing.evidence import CELLS, count_activity, count_pushes, exact, read_clock, slot_weights
from angelia.timing.habits import Clusters, Habit, fit_clusters, habits

LAST_DAY = np.datetime64("2026-11-14")
DAYS = 28
MIDDLE = Strength(elasticity=0.5, opens=5, waiting=0.0)
FLAT = Clusters((), np.ones((1, 1)), np.full((1, CELLS), 1 / 24))
NOBODY = np.zeros((1, CELLS))


def bump(peak: float) -> np.ndarray:
    """Return a known curve over 48 cells with one peak, mean 1, the same on days off."""
    distance = np.minimum(np.abs(np.arange(24) - peak), 24 - np.abs(np.arange(24) - peak))
    curve = 0.3 + np.exp(-0.5 * (distance / 2.5) ** 2) * 2.2
    return np.tile(curve / curve.mean(), 2)


class Simulated:
    """Users with the known curve `bump(peak)`, pushed at random hours, without activity."""

    def __init__(
        self,
        n: int,
        peak: float,
        rate: float = 0.2,
        zone: str = "UTC",
        seed: int = 7,
        per_day: int = 1,
        even: bool = True,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.clock = read_clock([zone] * n, [None] * n, LAST_DAY, DAYS, 14.0)
        self.zone, self.n = zone, n
        self.user = np.repeat(np.arange(n), DAYS * per_day)
        day = np.tile(np.repeat(np.arange(DAYS), per_day), n)
        draw = np.full(24, 1 / 24) if even else np.r_[np.full(12, 0.2 / 12), np.full(12, 0.8 / 12)]
        hour = rng.choice(24, len(self.user), p=draw)
        self.sent = self.clock.first_hour + day * 24 + hour
        self.propensity = draw[hour]
        cell = self.clock.cells[self.clock.group[self.user], self.sent - self.clock.first_hour]
        self.opened = rng.random(len(self.user)) < rate * bump(peak)[cell]
        self.activity = np.zeros((n, CELLS))

    def counts(self, **span: int):
        opened = self.opened
        return (
            count_pushes(self.clock, self.user, self.sent, self.propensity, **span),
            count_pushes(self.clock, self.user[opened], self.sent[opened], self.propensity[opened], **span),
        )

    def cohorts(self) -> list[str]:
        return [self.zone] * self.n

    def sums(self):
        return cohort_sums(self.cohorts(), self.activity, *self.counts())

    def curves(self, tables, strength: Strength) -> np.ndarray:
        pushes, opens = (count.weighted(tables.scale) for count in self.counts())
        habit = np.full((self.n, CELLS), 1 / 24)
        return curves_of(self.cohorts(), habit, FLAT, pushes, opens, tables, strength)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_cohort_recovers_a_known_profile_in_its_local_time() -> None:
    world = Simulated(3000, peak=20, zone="Asia/Kolkata")
    tables = cohort_tables(world.sums(), MIDDLE)
    assert tables.names == ("Asia/Kolkata",)
    assert correlation(tables.curves[0], bump(20)) > 0.97
    assert tables.rate == pytest.approx(0.2, rel=0.1)
    assert (tables.curves * tables.reference).sum(axis=1) == pytest.approx(1.0, abs=0.05)


def test_a_cold_user_has_the_timezones_curve() -> None:
    world = Simulated(500, peak=20)
    tables = cohort_tables(world.sums(), MIDDLE)
    rng = np.random.default_rng(1)
    clusters = fit_clusters(exact(rng.random((90, CELLS)) * 3), ["UTC"] * 90)
    zones, nothing = ["UTC", "Asia/Tokyo"], np.zeros((2, CELLS))
    habit = habits(nothing, clusters.rows(zones), clusters, Habit())
    curves = curves_of(zones, habit, clusters, nothing, nothing, tables, MIDDLE)
    np.testing.assert_allclose(curves[0], tables.curves[0], rtol=1e-12)
    np.testing.assert_allclose(curves[1], tables.curves[1], rtol=1e-12)
    none = count_pushes(world.clock, *np.zeros((2, 0), np.int64), np.zeros(0))
    assert not evidence(none, 1.0).any()


def test_more_own_opens_pull_further_from_the_cohort() -> None:
    tables = cohort_tables(Simulated(2000, peak=8).sums(), MIDDLE)
    distances = []
    for per_day in (1, 4, 40):
        owl = Simulated(40, peak=22, per_day=per_day, seed=3)
        curves = owl.curves(tables, MIDDLE)
        distances.append(np.mean([correlation(curve, bump(22)) for curve in curves]))
    assert distances[0] < distances[1] < distances[2]
    assert distances[0] < 0.3
    assert distances[2] > 0.75


def test_habits_move_a_curve_as_far_as_elasticity_says() -> None:
    tables = cohort_tables(Simulated(500, peak=20).sums(), MIDDLE)
    early_bird = np.full((1, CELLS), 0.01)
    early_bird[0, [6, 7, 8, 30, 31, 32]] = 0.79 / 3
    gain = [
        float(
            (curves_of(["UTC"], early_bird, FLAT, NOBODY, NOBODY, tables, strength) / tables.curves[0])[0, 7]
        )
        for strength in (Strength(elasticity, 5.0, 0.0) for elasticity in (0.0, 0.5, 1.0))
    ]
    assert gain[0] == pytest.approx(1.0)
    assert 1.2 < gain[1] < gain[2]


def test_hours_before_activity_are_better_than_those_after() -> None:
    active = np.zeros((1, CELLS))
    active[0, [20, 44]] = 1.0
    assert ahead(active, 0.0)[0].tolist() == active[0].tolist()
    waiting = ahead(active, 0.7)[0]
    # An hour counts for the eleven before it, each less than the next.
    np.testing.assert_allclose(waiting[9:21], 0.7 ** np.arange(11, -1, -1))
    assert not waiting[21:24].any()
    assert not waiting[:9].any()
    np.testing.assert_allclose(waiting[24:], waiting[:24])


def test_inverse_propensities_undo_the_logging_policy() -> None:
    # Eager users (open rate .6) are pushed in the afternoon, dull ones (.1) in the morning; nobody's response
    # depends on the hour.
    rng = np.random.default_rng(5)
    n = 4000
    clock = read_clock(["UTC"] * n, [None] * n, LAST_DAY, DAYS, 1e9)
    user, day = np.repeat(np.arange(n), DAYS), np.tile(np.arange(DAYS), n)
    eager = user % 2 == 0
    p_afternoon = np.where(eager, 0.8, 0.2)
    afternoon = rng.random(len(user)) < p_afternoon
    hour = rng.integers(0, 12, len(user)) + 12 * afternoon
    propensity = np.where(afternoon, p_afternoon, 1 - p_afternoon) / 12
    opened = rng.random(len(user)) < np.where(eager, 0.6, 0.1)
    sent = clock.first_hour + 24 * day + hour

    def ratio(q: np.ndarray) -> float:
        pushes, opens = (
            count_pushes(clock, user, sent, q),
            count_pushes(clock, user[opened], sent[opened], q[opened]),
        )
        curve = cohort_tables(cohort_sums(["UTC"] * n, np.zeros((n, CELLS)), pushes, opens), MIDDLE).curves[0]
        return float(curve[14:22].mean() / curve[2:10].mean())

    assert (
        ratio(np.full(len(user), np.nan)) > 1.8
    )  # unknown propensities: the policy's choice looks like an effect of the hour
    assert ratio(propensity) == pytest.approx(1.0, abs=0.07)


def test_sums_do_not_depend_on_the_cut_into_shards() -> None:
    world = Simulated(64, peak=20, even=False)
    world.activity = np.random.default_rng(1).random((64, CELLS)).round(3)
    world.activity = exact(world.activity)
    pushes, opens = world.counts()
    whole = world.sums()

    def cut(lo: int, hi: int):
        part = [
            type(pushes)(*(layer[lo:hi] for layer in (c.unknown, c.known, c.known_plain)))
            for c in (pushes, opens)
        ]
        return {
            name: values.tolist()
            for name, values in cohort_sums(world.cohorts()[lo:hi], world.activity[lo:hi], *part).items()
        }

    merged = merge_sums([cut(40, 64), cut(0, 7), cut(7, 40)])
    assert list(merged) == list(whole)
    for name, values in whole.items():
        np.testing.assert_array_equal(merged[name], values)
    tables = cohort_tables(whole, MIDDLE)
    clusters = fit_clusters(world.activity, world.cohorts())

    def curves(lo: int, hi: int) -> np.ndarray:
        zones = world.cohorts()[lo:hi]
        habit = habits(world.activity[lo:hi], clusters.rows(zones), clusters, Habit())
        sent, opened = (count.weighted(tables.scale)[lo:hi] for count in (pushes, opens))
        return curves_of(zones, habit, clusters, sent, opened, tables, MIDDLE)

    np.testing.assert_array_equal(curves(7, 40), curves(0, 64)[7:40])


def test_without_pushes_curves_follow_activity() -> None:
    clock = read_clock(["UTC"] * 3, [None] * 3, LAST_DAY, DAYS, 14.0)
    nothing = count_pushes(clock, np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    activity = np.zeros((3, CELLS))
    activity[:, 20] = 50.0
    tables = cohort_tables(cohort_sums(["UTC"] * 3, activity, nothing, nothing), MIDDLE)
    clusters = fit_clusters(activity, ["UTC"] * 3)
    habit = habits(activity, clusters.rows(["UTC"] * 3), clusters, Habit())
    none = np.zeros((3, CELLS))
    curves = curves_of(["UTC"] * 3, habit, clusters, none, none, tables, MIDDLE)
    assert np.isfinite(curves).all()
    assert curves[0].argmax() == 20
    assert curves.min() > 0
    empty = cohort_tables({}, MIDDLE)
    assert empty.curves.shape == (1, CELLS)
    np.testing.assert_allclose(empty.curves, 1.0)


def test_smoothing_is_circular_and_couples_day_types() -> None:
    values = np.zeros((1, CELLS))
    values[0, 23] = 1.0
    smoothed = smooth(values)[0]
    assert smoothed[[21, 22, 23, 0, 1, 2]].tolist() == [0.2, 0.6, 1.0, 0.6, 0.2, 0.0]
    assert smoothed[[45, 46, 47, 24, 25, 26]].tolist() == [0.1, 0.3, 0.5, 0.3, 0.1, 0.0]


def test_opens_count_less_the_stronger_the_prior_is() -> None:
    flat, even = np.ones((1, CELLS)), np.full(CELLS, 1 / CELLS)
    opens = np.zeros((1, CELLS))
    opens[0, 10] = 3.0
    peaks = [posterior(flat, np.full((1, CELLS), 0.1), opens, s, even)[0, 10] for s in (1, 10, 1e6)]
    assert peaks[0] > peaks[1] > peaks[2]
    assert peaks[2] == pytest.approx(1.0, abs=1e-3)


def test_activity_is_counted_in_local_time_once_an_hour() -> None:
    # 2026-11-14 is a Saturday. 18:30 UTC of Friday is midnight of Saturday in Kolkata, hence the hour that
    # begins 19:00 UTC is local 0.
    clock = read_clock(["Asia/Kolkata", "UTC"], ["IN", None], LAST_DAY, 2, 1.0)
    user, day = np.array([0, 0, 1]), np.array([0, 0, 1])
    mask = np.array([1 << 19, (1 << 19) | (1 << 3), 1 << 5])
    counted = count_activity(clock, user, day, mask)
    assert set(np.flatnonzero(counted[0])) == {24 + 0, 8}
    assert set(np.flatnonzero(counted[1])) == {24 + 5}


def test_constant_activity_is_five_parts_workday_two_day_off() -> None:
    for days in (3, 9, 28):
        clock = read_clock(["Asia/Kathmandu"], ["NP"], LAST_DAY, days, 1e9)
        counted = count_activity(clock, np.zeros(days, np.int64), np.arange(days), np.full(days, 2**24 - 1))
        assert counted[0].sum() == pytest.approx(24 * days, rel=1e-4)
        assert counted[0, :24].sum() / counted[0].sum() == pytest.approx(5 / 7, rel=1e-4)


def test_young_pushes_and_pushes_outside_the_window_are_left_out() -> None:
    clock = read_clock(["UTC"], [None], LAST_DAY, 3, 1e9)
    end = clock.first_hour + 72
    sent = np.array([end - 24, end - 25, clock.first_hour - 1, clock.first_hour])
    counted = count_pushes(clock, np.zeros(4, np.int64), sent, np.array([np.nan, np.nan, np.nan, 0.25]))
    assert counted.unknown.sum() == 1
    assert counted.known.sum() == 4
    assert counted.known_plain.sum() == 1


def test_slot_weights_have_mean_one_and_unknown_ones_weigh_one() -> None:
    weights = slot_weights(np.array([0.5, 0.1, np.nan, 0.0, 1e-9]))
    assert weights[2] == weights[3] == 1.0
    assert weights[[0, 1, 4]].mean() == pytest.approx(1.0)
    assert weights[1] == pytest.approx(5 * weights[0])
    assert weights[4] == pytest.approx(100 * weights[0])
    assert slot_weights(np.array([np.nan])).tolist() == [1.0]


def cohorts_of(shapes: np.ndarray, opens: float, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return drawn opens and expected ones of cohorts with known shapes, both (n, 48)."""
    expected = np.full((len(shapes), CELLS), opens / CELLS)
    return np.random.default_rng(seed).poisson(shapes * expected).astype(float), expected


def test_timezones_that_do_not_differ_keep_the_common_curve() -> None:
    opens, expected = cohorts_of(np.ones((8, CELLS)), 150.0)
    assert likeliest_strength(np.ones((1, CELLS)), expected, opens) >= 1280.0


def test_timezones_with_hours_of_their_own_follow_their_opens() -> None:
    opens, expected = cohorts_of(np.stack([bump(9.0), bump(20.0)]), 1500.0)
    assert likeliest_strength(np.ones((1, CELLS)), expected, opens) == 20.0


def test_the_level_of_opens_does_not_move_their_strength() -> None:
    opens, expected = cohorts_of(np.ones((8, CELLS)), 150.0)
    flat = np.ones((1, CELLS))
    assert likeliest_strength(flat, 3.0 * expected, opens) == likeliest_strength(flat, expected, opens)


def test_without_opens_the_weakest_effect_is_taken() -> None:
    none = np.zeros((3, CELLS))
    assert likeliest_strength(np.ones((1, CELLS)), none, none) == 5120.0


def test_a_small_timezone_keeps_the_common_curve() -> None:
    small, large = Simulated(12, 9.0, zone="Asia/Tokyo"), Simulated(600, 9.0)
    tables = cohort_tables(small.sums() | large.sums(), MIDDLE)
    # Its handful of opens agrees with everybody's hours as well as chance lets it.
    assert np.allclose(tables.curves[tables.rows(["Asia/Tokyo"])[0]], tables.curves[-1], rtol=0.05)
