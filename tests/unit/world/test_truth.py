"""The truth: derivable for any people, of documented shapes, tired by pushes, inseparable."""

from __future__ import annotations

import numpy as np
import pytest

from angelia.contracts.rows import valid_rows
from angelia.errors import InvalidInput, NotFound
from angelia.lake import Lake
from angelia.world.clock import day_number
from angelia.world.parameters import parameters
from angelia.world.truth import (
    World,
    delivery_probability,
    felt_pushes,
    materials,
    open_probability,
    taste_on,
)

DAY = day_number("2026-11-15")
WORLD = World(seed=5, users=2_000, anchor_day=DAY - 1)
NOON = DAY * 24 + 12


def test_shapes_broadcast_and_a_grid_is_its_entries() -> None:
    names = ["price_drop_camera", "weekly_digest_books"]
    users, hours = np.array([4, 9, 1]), NOON + np.arange(5)
    grid = open_probability(WORLD, users[:, None, None], names, hours[None, :, None])
    assert grid.shape == (3, 5, 2)
    assert grid.dtype == np.float64
    for u in range(3):
        for h in range(5):
            alone = open_probability(WORLD, users[u], [names[1]], hours[h])
            assert np.allclose(alone, grid[u, h, 1], rtol=0, atol=1e-15)
    chosen = open_probability(WORLD, users, names, NOON, material=np.array([1, 0, 1]))
    assert chosen.shape == (3,)
    assert np.allclose(chosen, [grid[0, 0, 1], grid[1, 0, 0], grid[2, 0, 1]])


def test_probabilities_lie_in_bounds_and_depend_on_the_channel() -> None:
    users = np.arange(400)
    push = open_probability(WORLD, users, ["order_update_games"], NOON)
    mail = open_probability(WORLD, users, ["order_update_games"], NOON, channel="email")
    assert (push > 0).all()
    assert (push <= parameters().response.max_probability * delivery_probability()).all()
    assert np.allclose(
        mail / push, parameters().response.channel["email"] / parameters().response.channel["fcm"]
    )
    with pytest.raises(InvalidInput, match="carrier pigeon"):
        open_probability(WORLD, users, ["order_update_games"], NOON, channel="carrier pigeon")


def test_pushes_tire_and_people_recover() -> None:
    users = np.arange(300)
    rested = open_probability(WORLD, users, ["price_drop_camera"], NOON)
    tired = open_probability(WORLD, users, ["price_drop_camera"], NOON, felt=2.0)
    same_again = open_probability(WORLD, users, ["price_drop_camera"], NOON, felt=2.0, felt_category=2.0)
    assert (same_again < tired).all()
    assert (tired < rested).all()
    person, row = WORLD.people(users), np.repeat(users, 2)
    hours = np.tile(np.array([NOON - 24.0 * 10, NOON]), 300)
    felt, own = felt_pushes(person, row, hours, np.zeros(600, dtype=np.int64))
    assert (felt[::2] == 0).all()
    assert np.allclose(felt[1::2], np.exp(-10 / person.fatigue_days))
    assert np.array_equal(felt, own)


def test_felt_pushes_are_the_naive_sum_in_any_order() -> None:
    rng = np.random.default_rng(1)
    person = WORLD.people(np.arange(5))
    row, hours, category = rng.integers(0, 5, 60), NOON - rng.random(60) * 200, rng.integers(0, 3, 60)
    felt, own = felt_pushes(person, row, hours, category)
    for k in range(60):
        before = (row == row[k]) & (hours < hours[k])
        still = np.exp(-(hours[k] - hours[before]) / (24 * person.fatigue_days[row[k]]))
        assert np.isclose(felt[k], still.sum())
        assert np.isclose(own[k], still[category[before] == category[k]].sum())


def test_pushes_of_no_category_stay_with_their_person() -> None:
    person = WORLD.people(np.arange(2))
    row, hours = np.array([0, 1, 1]), np.array([NOON - 5.0, NOON - 3.0, NOON])
    felt, own = felt_pushes(person, row, hours, np.array([2, -1, -1]))
    still = np.exp(-3.0 / (24.0 * person.fatigue_days[1]))
    assert np.allclose(felt, [0.0, 0.0, still])
    assert np.allclose(own, felt)


def test_truth_is_not_material_times_hour() -> None:
    names = list(parameters().materials()["price_drop"])
    grid = open_probability(WORLD, np.arange(300)[:, None, None], names, NOON + np.arange(12)[None, :, None])
    separable = (
        grid.mean(axis=1, keepdims=True)
        * grid.mean(axis=2, keepdims=True)
        / grid.mean(axis=(1, 2), keepdims=True)
    )
    assert np.sqrt(((grid - separable) ** 2).mean()) / grid.mean() > 0.1


def test_tastes_drift() -> None:
    person = WORLD.people(np.arange(300))
    now, later = taste_on(person, DAY), taste_on(person, DAY + 28)
    assert 0.03 < np.abs(later - now).mean() < 0.5


def test_an_operators_own_material_has_an_answer() -> None:
    facts = materials(["summer_books", "whatever_it_is"])
    assert facts.category.tolist() == [parameters().categories.index("books"), -1]
    chance = open_probability(WORLD, np.arange(50), ["whatever_it_is"], NOON)
    assert ((chance > 0) & (chance < 1)).all()


def test_other_peoples_data_has_no_truth(lake: Lake) -> None:
    with pytest.raises(NotFound):
        World.load(lake, "2026-11-14")
    with lake.attempt("user_profiles", ds="2026-11-14") as attempt:
        attempt.write(valid_rows("user_profiles", 5), "part-0000.parquet")
        attempt.publish()
    with pytest.raises(InvalidInput, match="not written by a simulated world"):
        World.load(lake, "2026-11-14")
    assert WORLD.people_of(["u0000007"]).index.tolist() == [7]
    with pytest.raises(InvalidInput, match="does not belong to the simulated world"):
        WORLD.people_of(["u0000001", "customer-7"])


def test_a_world_of_other_parameters_is_refused(lake: Lake) -> None:
    meta = WORLD.meta()
    meta["world"]["parameters_sha256"] = "0" * 64
    with lake.attempt("user_profiles", ds="2026-11-14") as attempt:
        attempt.write(valid_rows("user_profiles", 5), "part-0000.parquet")
        attempt.publish(meta=meta)
    with pytest.raises(InvalidInput, match="other world parameters"):
        World.load(lake, "2026-11-14")
