"""Nights of any size for `benchmarks plan`, drawn from a seed, shard by shard.

A person has an hour they open most, an activity, and a taste for campaigns; a campaign has a value, an
audience and hours; evening hours are wanted by most. Capacity is a share of the people an hour and channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from angelia.contracts.ids import mix
from angelia.planning.problem import Limits, Problem
from angelia.planning.terms import NO_BUDGET

SLOTS = 24
CHANNEL_SHARE = (0.03, 0.02, 0.01, 0.005)  # messages an hour per person, by channel
CHANNEL_COST = (0, 400, 3000, 9000)  # micro-units


@dataclass(frozen=True)
class NightOf:
    """What a drawn night is made of; `capacity` multiplies every hour's capacity."""

    users: int
    campaigns: int = 20
    channels: int = 3
    capacity: float = 1.0
    seed: int = 7

    def limits(self) -> Limits:
        """Return the night's limits: every third campaign has a budget."""
        share = np.array(CHANNEL_SHARE[: self.channels])
        hourly = np.maximum(np.rint(self.users * self.capacity * share), 1).astype(np.int64)
        budget = np.full(self.campaigns, NO_BUDGET)
        budget[::3] = max(int(self.users * self.capacity * 0.05), 1)
        cost = np.array(CHANNEL_COST[: self.channels], np.int64)
        return Limits(np.repeat(hourly[:, None], SLOTS, axis=1), budget, cost, gap_slots=4, max_messages=2)

    def problem(self, first: int, n: int) -> Problem:
        """Return people `first` to `first + n`; the same people whatever the shards."""
        keys = np.arange(first, first + n, dtype=np.uint64)
        rng = np.random.default_rng(self.seed)
        value = rng.lognormal(11.0, 0.8, self.campaigns)  # micro-units per open
        audience = rng.uniform(0.1, 0.9, self.campaigns)
        opens, closes = rng.integers(0, 10, self.campaigns), rng.integers(14, 25, self.campaigns)
        pairs = keys[:, None] * np.uint64(1000) + np.arange(self.campaigns, dtype=np.uint64)
        taste, member = _uniform(pairs, "taste"), _uniform(pairs, "in")
        user, campaign = np.nonzero(member < audience)
        # Two thirds have their hour in the evening, the others anywhere.
        spread, kind = _uniform(keys, "hour"), _uniform(keys, "kind")
        peak = np.where(kind < 0.67, 19.5 + 4.0 * (spread - 0.5), 24.0 * spread)
        away = np.abs(np.arange(SLOTS)[None, :] + 0.5 - peak[:, None])
        away = np.minimum(away, SLOTS - away)
        curve = (
            0.3
            + 2.0 * np.exp(-((away / 2.5) ** 2))
            + 0.2 * _uniform(keys[:, None] * np.uint64(SLOTS) + np.arange(SLOTS, dtype=np.uint64), "noise")
        )
        p_open = 0.01 + 0.12 * _uniform(keys, "active")[user] ** 2 * (0.3 + 1.4 * taste[user, campaign])
        allowed = (np.arange(SLOTS) >= opens[campaign, None]) & (np.arange(SLOTS) < closes[campaign, None])
        reach = _uniform(keys[:, None] * np.uint64(8) + np.arange(self.channels, dtype=np.uint64), "reach")
        room = 1 + (_uniform(keys, "room") < 0.7)
        return Problem(
            n_users=n,
            pair_user=user.astype(np.int64),
            pair_campaign=campaign.astype(np.int64),
            value=np.rint(value[campaign, None] * p_open[:, None] * curve[user]).astype(np.int64),
            allowed=allowed,
            channels=(reach < np.array([0.9, 0.5, 0.7, 0.3])[: self.channels])[user],
            is_exempt=np.zeros(len(user), bool),
            is_explore=np.zeros(len(user), bool),
            room=np.repeat(room[:, None], SLOTS, axis=1).astype(np.int16),
            tie=mix(keys[user] * np.uint64(1000) + campaign.astype(np.uint64), "tie"),
        )


def _uniform(keys: np.ndarray, salt: str) -> np.ndarray:
    return (mix(keys, "benchmark", salt) >> np.uint64(11)).astype(np.float64) * 2.0**-53
