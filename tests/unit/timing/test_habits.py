"""Habits: clusters are recovered, own hours move a person away from them, shards do not."""

import numpy as np
import pytest

from angelia.timing.evidence import CELLS, exact
from angelia.timing.habits import Clusters, Habit, fit_clusters, habits, likeliest, smoothed

EARLY, LATE = 7, 21


def people(hour: int, n: int, hours: int, seed: int) -> np.ndarray:
    """Return active hours of people around an hour of workdays, and two later on days off."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((n, CELLS))
    for row in range(n):
        for _ in range(hours):
            off = rng.random() < 2 / 7
            at = round(rng.normal(hour + 2 * off, 1.0)) % 24 + 24 * off
            counts[row, at] += 1
    return counts


@pytest.fixture(scope="module")
def crowd() -> tuple[np.ndarray, list[str], Clusters]:
    """Return 300 early people in Tokyo, 300 late ones in Berlin, and the clusters of all."""
    activity = np.vstack([people(EARLY, 300, 20, 1), people(LATE, 300, 20, 2)])
    zones = ["Asia/Tokyo"] * 300 + ["Europe/Berlin"] * 300
    return activity, zones, fit_clusters(activity, zones, clusters=4)


def test_each_half_of_a_habit_sums_to_one(crowd) -> None:
    activity, zones, clusters = crowd
    habit = habits(activity, clusters.rows(zones), clusters, Habit())
    np.testing.assert_allclose(habit.reshape(-1, 2, 24).sum(axis=2), 1.0)
    assert habit.min() > 0
    np.testing.assert_allclose(clusters.hours.reshape(-1, 2, 24).sum(axis=2), 1.0)
    np.testing.assert_allclose(clusters.share.sum(axis=1), 1.0)


def test_a_few_hours_tell_the_cluster_and_its_day_off(crowd) -> None:
    _, _, clusters = crowd
    few = people(LATE, 1, 3, 9)
    few[:, 24:] = 0.0
    habit = habits(few, clusters.rows(["nowhere"]), clusters, Habit())[0]
    # Days off were never seen, but late people are later then.
    assert habit[24:].argmax() in (22, 23, 0)
    assert habit[24 + EARLY : 24 + EARLY + 4].sum() < 0.1
    plain = habits(few, clusters.rows(["nowhere"]), clusters, Habit(sharpness=0.0, coupling=0.0))[0]
    assert plain[24 + EARLY : 24 + EARLY + 4].sum() > 0.3


def test_a_person_without_hours_has_their_timezones_mixture(crowd) -> None:
    _, _, clusters = crowd
    zones = ["Asia/Tokyo", "Europe/Berlin", "nowhere"]
    habit = habits(np.zeros((3, CELLS)), clusters.rows(zones), clusters, Habit())
    np.testing.assert_allclose(habit, clusters.usual(), rtol=1e-12)
    assert habit[0, EARLY] > 3 * habit[1, EARLY]
    assert habit[0, EARLY] > habit[2, EARLY] > habit[1, EARLY]


def test_own_hours_outweigh_the_clusters_in_the_end(crowd) -> None:
    _, _, clusters = crowd
    odd = np.zeros((1, CELLS))
    odd[0, 14] = 1.0
    shares = [
        habits(exact(odd * n), clusters.rows(["nowhere"]), clusters, Habit(width_h=0.0, workday=20.0))[0, 14]
        for n in (1, 20, 500)
    ]
    assert shares[0] < shares[1] < shares[2]
    assert shares[1] == pytest.approx(0.5, abs=0.1)
    assert shares[2] > 0.95


def test_days_off_can_shrink_harder_than_workdays(crowd) -> None:
    _, _, clusters = crowd
    odd = np.zeros((1, CELLS))
    odd[0, [14, 38]] = 10.0
    habit = habits(odd, clusters.rows(["nowhere"]), clusters, Habit(coupling=0.0, workday=5.0, day_off=80.0))
    assert habit[0, 14] > 2 * habit[0, 38]


def test_clusters_are_in_the_order_of_their_hours(crowd) -> None:
    activity, zones, clusters = crowd
    nearest = likeliest(activity, clusters.rows(zones), clusters, Habit())
    assert nearest[:300].max() < nearest[300:].min()


def test_any_cut_into_shards_gives_the_same_habits(crowd) -> None:
    activity, zones, clusters = crowd
    faded = exact(activity * 0.7071)
    whole = habits(faded, clusters.rows(zones), clusters, Habit())
    part = habits(faded[123:456], clusters.rows(zones[123:456]), clusters, Habit())
    np.testing.assert_array_equal(whole[123:456], part)


def test_a_history_without_days_off_lends_them_workdays() -> None:
    activity = people(LATE, 60, 20, 3)
    activity[:, 24:] = 0.0
    clusters = fit_clusters(activity, ["UTC"] * 60)
    assert clusters.usual()[-1, 24:].argmax() == pytest.approx(LATE, abs=1)


def test_nobody_makes_one_even_cluster() -> None:
    clusters = fit_clusters(np.zeros((5, CELLS)), ["UTC"] * 5)
    np.testing.assert_allclose(clusters.hours, 1 / 24)
    assert clusters.share.shape == (2, 1)
    none = fit_clusters(np.zeros((0, CELLS)), [])
    np.testing.assert_allclose(none.usual(), 1 / 24)


def test_clusters_survive_the_meta(crowd) -> None:
    _, _, clusters = crowd
    kept = Clusters.of(clusters.to_meta())
    assert kept.zones == clusters.zones
    np.testing.assert_allclose(kept.hours, clusters.hours, atol=1e-6)


def test_smoothing_goes_around_the_clock_and_keeps_the_sum() -> None:
    counts = np.zeros((1, CELLS))
    counts[0, 0] = 8.0
    spread = smoothed(counts, 1.0, 0.5)[0]
    assert spread[23] == spread[1] > spread[2] > 0
    assert spread[24:].sum() == pytest.approx(spread[:24].sum() / 2)
    assert spread[:24].sum() == pytest.approx(8.0, rel=0.01)
    assert smoothed(counts, 0.0, 0.0)[0].tolist() == counts[0].tolist()
