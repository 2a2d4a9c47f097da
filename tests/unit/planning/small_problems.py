"""Random planning problems small enough for brute force, and limits that bind."""

from __future__ import annotations

import numpy as np

from angelia.planning import Limits, Problem


def random_problem(
    seed: int, n_users: int = 6, n_campaigns: int = 3, n_slots: int = 6, n_channels: int = 2
) -> Problem:
    rng = np.random.default_rng(seed)
    member = rng.random((n_users, n_campaigns)) < 0.8
    user, campaign = np.nonzero(member)
    m = len(user)
    return Problem(
        n_users=n_users,
        pair_user=user.astype(np.int64),
        pair_campaign=campaign.astype(np.int64),
        value=rng.integers(0, 1000, (m, n_slots)),
        allowed=rng.random((m, n_slots)) < 0.7,
        channels=rng.random((m, n_channels)) < 0.8,
        is_exempt=np.zeros(m, bool),
        is_explore=np.zeros(m, bool),
        room=rng.integers(0, 3, (n_users, n_slots)).astype(np.int16),
        tie=rng.integers(0, 2**64, m, dtype=np.uint64),
    )


def make_limits(
    rng: np.random.Generator,
    capacity: int,
    budget: int,
    n_slots: int = 6,
    n_channels: int = 2,
    n_campaigns: int = 3,
) -> Limits:
    return Limits(
        capacity=np.full((n_channels, n_slots), capacity, np.int64),
        budget=np.full(n_campaigns, budget, np.int64),
        cost=rng.integers(0, 50, n_channels),
        gap_slots=int(rng.integers(1, 4)),
        max_messages=2,
    )
