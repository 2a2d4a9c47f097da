"""One shard's planning problem as arrays: who may get which campaign, what each hour is worth, and what each
constraint allows.

Shapes: n users, m pairs (user x campaign, grouped by user), h slots (UTC hours), c channels. Money is int64
    micro-units, so that sums do not depend on order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# A value no real score reaches: an infeasible option. Half the range, so that two of them can be added.
NEVER = np.int64(-(2**61))


@dataclass(frozen=True)
class Limits:
    """The global constraints, the same for every shard.

    Attributes:
        capacity: messages a channel may send in an hour, (c, h).
        budget: messages a campaign may send in this plan, (k,); campaigns without one carry a number no plan
            reaches. cost: micro-units per message and channel, (c,). gap_slots: hours between two marketing
            messages to one person. max_messages: marketing messages one person may get in this plan: 1 or 2
            (the per-user step is exact up to 2).
    """

    capacity: I64
    budget: I64
    cost: I64
    gap_slots: int
    max_messages: int

    @property
    def n_constraints(self) -> int:
        """Channel hours first, then campaigns."""
        return int(self.capacity.size + self.budget.size)

    def flat(self) -> I64:
        """Return all limits as one vector, shape (c*h + k,)."""
        return np.concatenate([self.capacity.ravel(), self.budget])


@dataclass(frozen=True)
class Problem:
    """One shard's users and pairs.

    Attributes:
        pair_user: user row of each pair, ascending, (m,).
        pair_campaign: campaign number, (m,).
        value: weighted value of a message of the pair in each slot before costs, (m, h); only read where
            `allowed`. allowed: slot is feasible for the pair (windows, quiet hours, campaign caps, recent
            pushes), (m, h). channels: channel may carry the pair, (m, c). is_exempt: transactional: outside
            caps, gap and the choice between campaigns, (m,). is_explore: pair belongs to the slot exploration
            stratum; its slot is drawn, not chosen, (m,). room: marketing messages the caps still leave a user
            at each slot, (n, h). tie: per pair 64 hash bits that settle ties, (m,).
    """

    n_users: int
    pair_user: I64
    pair_campaign: I64
    value: I64
    allowed: Bools
    channels: Bools
    is_exempt: Bools
    is_explore: Bools
    room: npt.NDArray[np.int16]
    tie: npt.NDArray[np.uint64]

    @property
    def n_pairs(self) -> int:
        """Number of pairs."""
        return len(self.pair_user)

    @property
    def n_slots(self) -> int:
        """Number of slots."""
        return int(self.value.shape[1])

    def priced(self, choice: Choice) -> I64:
        """Return the chosen pairs that compete for capacity; the exploration stratum has capacity of its
        own."""
        return np.flatnonzero((choice.slot >= 0) & ~self.is_explore)

    def constraints(self, choice: Choice, rows: I64, limits: Limits) -> tuple[I64, I64]:
        """Return the channel-hour and the campaign constraint that each of these chosen pairs uses."""
        hours = choice.channel[rows] * self.n_slots + choice.slot[rows]
        return hours, limits.capacity.size + self.pair_campaign[rows]


@dataclass
class Choice:
    """What was chosen per pair: slot and channel (-1 = not chosen), and the bid, its net value before its own
    constraints' prices, (m,).
    """

    slot: I64
    channel: I64
    bid: I64

    @classmethod
    def none(cls, n_pairs: int) -> Choice:
        """Return the empty choice."""
        return cls(
            np.full(n_pairs, -1, np.int64), np.full(n_pairs, -1, np.int64), np.zeros(n_pairs, np.int64)
        )
