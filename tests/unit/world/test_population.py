"""Who lives in the world: the same alone and among others, growing after the anchor."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from angelia.world.clock import day_number
from angelia.world.truth import (
    World,
)

DAY = day_number("2026-11-15")


WORLD = World(seed=5, users=2_000, anchor_day=DAY - 1)


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


def test_population_grows_after_the_anchor() -> None:
    assert WORLD.size(DAY - 1) == 2_000
    assert WORLD.size(DAY + 9) == 2_010
    newcomer = WORLD.people(np.array([2_000, 2_009]))
    assert newcomer.signup_day.tolist() == [DAY, DAY + 9]
