"""The truth: derivable for any people, of documented shapes, tired by pushes, inseparable."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from angelia.contracts.rows import valid_rows
from angelia.errors import InvalidInput, NotFound
from angelia.lake import Lake
from angelia.world import draws
from angelia.world.clock import day_number
from angelia.world.parameters import parameters
from angelia.world.simulate import simulate
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


def test_a_person_is_the_same_alone_and_among_others() -> None:
    crowd, few = WORLD.people(np.arange(200)), WORLD.people(np.array([7, 150, 3]))
    for field in fields(crowd):
        assert np.array_equal(getattr(crowd, field.name)[[7, 150, 3]], getattr(few, field.name)), field.name


def test_hour_curves_and_days_off() -> None:
    crowd = WORLD.people(np.arange(500))
    assert np.allclose(crowd.hours.sum(axis=2), 1, atol=1e-5)
    assert np.allclose(crowd.habit.sum(axis=1), 1, atol=1e-5)
    assert (crowd.days_off.sum(axis=1) == 2).all()
    assert 0 < (~crowd.days_off[:, 5]).mean() < 0.1
    assert not np.allclose(crowd.hours[:, 0], crowd.hours[:, 1])


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


def test_simulated_opens_follow_the_probability() -> None:
    chance, opened = [], []
    for lived in simulate(WORLD, WORLD.people(np.arange(2_000)), DAY - 14, DAY - 1):
        chance.append(lived.answers.probability)
        opened.append(lived.answers.opened_at >= 0)
    p, y = np.concatenate(chance), np.concatenate(opened)
    assert abs(y.mean() - p.mean()) < 4 * np.sqrt((p * (1 - p)).mean() / len(p))
    best = np.argsort(p)[-len(p) // 5 :]
    assert y[best].mean() > 1.4 * y.mean()


def test_public_probability_is_what_the_history_is_drawn_from() -> None:
    days = list(simulate(WORLD, WORLD.people(np.arange(1_000)), DAY - 6, DAY - 1))
    names = [name for group in parameters().materials().values() for name in group]
    row, material, at, channel = (
        np.concatenate([getattr(day.pushes, name) for day in days])
        for name in ("row", "material", "at", "channel")
    )
    felt, own = felt_pushes(
        WORLD.people(np.arange(1_000)), row, at / 3_600, materials(names).category[material]
    )
    assert (felt > 0).mean() > 0.4
    factor = np.array([parameters().response.channel[name] for name in ("fcm", "apns", "sms", "email")])[
        channel
    ]
    public = open_probability(WORLD, row, names, at // 3_600, material=material, felt=felt, felt_category=own)
    assert np.allclose(public * factor, np.concatenate([day.answers.probability for day in days]))


def test_population_grows_after_the_anchor() -> None:
    assert WORLD.size(DAY - 1) == 2_000
    assert WORLD.size(DAY + 9) == 2_010
    newcomer = WORLD.people(np.array([2_000, 2_009]))
    assert newcomer.signup_day.tolist() == [DAY, DAY + 9]


def test_draws_have_their_distributions() -> None:
    keys = draws.user_keys(np.arange(40_000), 1)
    normal = draws.normal(keys, "test")
    assert abs(normal.mean()) < 0.03
    assert abs(normal.std() - 1) < 0.02
    counts = draws.poisson(draws.uniform(keys, "p"), np.full(40_000, 2.5))
    assert abs(counts.mean() - 2.5) < 0.05
    assert abs(counts.var() - 2.5) < 0.1
    assert abs(draws.geometric(draws.uniform(keys, "g"), 1.5, 50).mean() - 1.5) < 0.05
    picked = (
        np.bincount(draws.pick(draws.uniform(keys, "c"), np.array([1.0, 0.0, 3.0])), minlength=3) / 40_000
    )
    assert np.allclose(picked, [0.25, 0, 0.75], atol=0.01)


def test_other_peoples_data_has_no_truth(lake: Lake) -> None:
    with pytest.raises(NotFound):
        World.load(lake, "2026-11-14")
    with lake.attempt("user_profiles", ds="2026-11-14") as attempt:
        attempt.write(valid_rows("user_profiles", 5), "part-0000.parquet")
        attempt.publish()
    with pytest.raises(InvalidInput, match="not written by a simulated world"):
        World.load(lake, "2026-11-14")
    assert WORLD.people_of(["u0000007"]).index.tolist() == [7]
    with pytest.raises(InvalidInput, match="none of the simulated world's"):
        WORLD.people_of(["u0000001", "customer-7"])


def test_a_world_of_other_parameters_is_refused(lake: Lake) -> None:
    meta = WORLD.meta()
    meta["world"]["parameters_sha256"] = "0" * 64
    with lake.attempt("user_profiles", ds="2026-11-14") as attempt:
        attempt.write(valid_rows("user_profiles", 5), "part-0000.parquet")
        attempt.publish(meta=meta)
    with pytest.raises(InvalidInput, match="other world parameters"):
        World.load(lake, "2026-11-14")
