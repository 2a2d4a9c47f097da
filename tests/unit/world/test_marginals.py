"""The world's marginals lie within the tolerances around the real sets (marginals.json)."""

from __future__ import annotations

import numpy as np
import pytest

from angelia.world.clock import day_number
from angelia.world.marginals import (
    DEFINITIONS,
    Clicks,
    Values,
    activity_marginals,
    click_marginals,
    committed,
    distance,
    measure_world,
    order_marginals,
)
from angelia.world.truth import World


@pytest.fixture(scope="module")
def simulated() -> Values:
    return measure_world(World(seed=7, users=10_000, anchor_day=day_number("2026-11-14")), 10_000)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_world_is_near_reality(simulated: Values, name: str) -> None:
    real = committed()[name]
    off = distance(real["value"], simulated[name], real["relative"])
    assert off <= real["tolerance"], (
        f"{name}: world {simulated[name]}, real {real['value']}, off by {off:.3f}"
    )


def test_pushes_are_opened_as_often_as_pushes_are(simulated: Values) -> None:
    assert 0.05 <= float(simulated["push_open_rate"]) <= 0.08  # type: ignore[arg-type]
    assert 0.25 <= float(simulated["pushes_per_user_day"]) <= 0.35  # type: ignore[arg-type]


def test_committed_file_holds_every_definition() -> None:
    assert list(committed()) == list(DEFINITIONS)
    for name, (source, tolerance, relative, text) in DEFINITIONS.items():
        row = committed()[name]
        assert (row["source"], row["tolerance"], row["relative"], row["definition"]) == (
            source,
            tolerance,
            relative,
            text,
        ), name


def test_activity_marginals_of_a_known_crowd() -> None:
    # User 0 comes at 9 on 14 days (twice on one, which counts once); user 1 once, at 20.
    user, day, hour = np.array([0] * 15 + [1]), np.array([0, *range(14), 0]), np.array([9] * 15 + [20])
    values = activity_marginals(user, day, hour)
    assert values["user_hours_mean"] == 7.5
    assert values["active_days_mean"] == 7.5
    assert values["active_days_once"] == 0.5
    assert values["top3_share"] == 1
    assert values["hour_entropy"] == 0
    assert values["user_hours_gini"] == pytest.approx(13 / 30)
    assert values["user_hours_top10"] == pytest.approx(14 / 15)
    assert values["same_hour_ratio"] == pytest.approx(1 / ((14 / 15) ** 2 + (1 / 15) ** 2))


def test_click_marginals_recover_a_planted_spread() -> None:
    rng = np.random.default_rng(3)
    users, each = 4_000, 24
    user, day = np.repeat(np.arange(users), each), np.tile(np.arange(each), users)
    category = rng.integers(0, 6, users * each)
    rate = (
        0.3
        * (1 + 0.3 * rng.choice([-1, 1], users))[user]
        * (1 + 0.2 * np.array([-1, 1, -1, 1, -1, 1]))[category]
    )
    rate *= (1 + 0.25 * rng.choice([-1, 1], (users, 6)))[user, category]
    values = click_marginals(Clicks(user, category, day, (rng.random(len(rate)) < rate).astype(float)))
    assert values["rate_spread_user"] == pytest.approx(0.3, abs=0.03)
    assert values["rate_spread_category"] == pytest.approx(0.2, abs=0.02)
    assert values["rate_spread_user_category"] == pytest.approx(0.25 * np.sqrt(1.09 * 1.04), abs=0.05)


def test_order_marginals_of_known_windows() -> None:
    first = (np.array([1, 1, 2]), np.array([4, 10, 5]), np.array([10.0, 10.0, 10.0]))
    second = (np.array([1]), np.array([40]), np.array([10.0]))
    values = order_marginals([first, second])
    assert values["orders_one"] == 0.75
    assert values["orders_two"] == 0.25
    assert values["order_gap_mean"] == 6
    assert values["order_value_log_sd"] == 0


def test_distance() -> None:
    assert distance([0.5, 0.5], [0.7, 0.3], relative=False) == pytest.approx(0.2)
    assert distance(2.0, 3.0, relative=True) == 0.5
    assert distance(0.2, 0.3, relative=False) == pytest.approx(0.1)
