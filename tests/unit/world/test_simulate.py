"""Days lived through: opens follow the probability, and some events arrive late."""

from __future__ import annotations

import numpy as np

from angelia.lake import Lake
from angelia.world.clock import day_number
from angelia.world.simulate import simulate
from angelia.world.truth import (
    World,
)

DS = "2026-11-14"


def test_some_events_are_late_and_none_more_than_three_days(world_lake: Lake) -> None:
    events = world_lake.read(world_lake.require("user_events", ds=DS))
    happened = events["event_ts"].cast("int64").to_numpy() // 86_400_000_000
    late = day_number(DS) - happened
    assert set(late[late > 0]) == {1, 2, 3}
    assert 0 < (late > 0).mean() < 0.02


DAY = day_number("2026-11-15")


WORLD = World(seed=5, users=2_000, anchor_day=DAY - 1)


def test_simulated_opens_follow_the_probability() -> None:
    chance, opened = [], []
    for lived in simulate(WORLD, WORLD.people(np.arange(2_000)), DAY - 14, DAY - 1):
        chance.append(lived.answers.probability)
        opened.append(lived.answers.opened_at >= 0)
    p, y = np.concatenate(chance), np.concatenate(opened)
    assert abs(y.mean() - p.mean()) < 4 * np.sqrt((p * (1 - p)).mean() / len(p))
    best = np.argsort(p)[-len(p) // 5 :]
    assert y[best].mean() > 1.4 * y.mean()
