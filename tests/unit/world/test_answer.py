"""Answers to pushes are drawn from the public truth."""

from __future__ import annotations

import numpy as np

from angelia.world.clock import day_number
from angelia.world.parameters import parameters
from angelia.world.simulate import simulate
from angelia.world.truth import (
    World,
    felt_pushes,
    materials,
    open_probability,
)

DAY = day_number("2026-11-15")


WORLD = World(seed=5, users=2_000, anchor_day=DAY - 1)


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
