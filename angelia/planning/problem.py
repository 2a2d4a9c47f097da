"""One shard's planning problem as arrays: people, pairs, worth, and what each limit allows.

Shapes: n users, m pairs (user x campaign, grouped by user), h slots (UTC hours), c channels, k campaigns,
    s campaigns with a speed limit. Constraints stand in one vector, (c*h + k + s*h,): channel hours, then
    campaigns, then the hours of campaigns with a speed limit. Money is int64 micro-units, so that sums do not
    depend on order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Figure = TypeVar("Figure", bound=np.generic)
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# Money in micro-units that no value and no price reaches: an option that is closed costs so much.
TOO_MUCH = 2**44
# What a mean channel makes of a message, in the units of `Limits.boost`.
BOOST_BITS = 10
ONE = 1 << BOOST_BITS


def boosted(worth: I64, factor: I64 | int) -> I64:
    """Return what channels make of a worth; a loss is the same by any channel."""
    whole = np.asarray(worth, np.int64)
    return np.where(whole > 0, (whole * factor) >> BOOST_BITS, whole)


def _no_rows() -> I64:
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class Limits:
    """The global constraints, the same for every shard.

    Attributes:
        capacity: messages a channel may send in an hour, (c, h).
        budget: messages a campaign may send in this plan, (k,); campaigns without one carry a number no plan
            reaches. cost: micro-units per message and channel, (c,). gap_slots: hours between two marketing
            messages to one person. max_messages: marketing messages one person may get in this plan: 1 or 2
            (the per-user step is exact up to 2).
        least: messages a campaign is to send at the least, (k,) or empty. paced: numbers of the campaigns
            with a speed limit, ascending, (s,). pace: messages each of these may send in an hour, (s, h).
        boost: what a channel makes of a campaign's message, `ONE` = as the worth says, (k, c); empty where
            no campaign asks for its channel by value.
    """

    capacity: I64
    budget: I64
    cost: I64
    gap_slots: int
    max_messages: int
    least: I64 = field(default_factory=_no_rows)
    paced: I64 = field(default_factory=_no_rows)
    pace: I64 = field(default_factory=_no_rows)
    boost: I64 = field(default_factory=_no_rows)

    @property
    def n_constraints(self) -> int:
        """Channel hours first, then campaigns, then the hours of campaigns with a speed limit."""
        return int(self.capacity.size + self.budget.size + self.pace.size)

    @property
    def n_slots(self) -> int:
        """Number of slots."""
        return int(self.capacity.shape[1])

    def flat(self) -> I64:
        """Return all upper limits as one vector, shape (c*h + k + s*h,)."""
        return np.concatenate([self.capacity.ravel(), self.budget, self.pace.ravel()])

    def floor(self) -> I64:
        """Return what is to be used at the least of each constraint, shape (c*h + k + s*h,)."""
        floor = np.zeros(self.n_constraints, np.int64)
        if self.least.size:
            floor[self.capacity.size : self.capacity.size + self.budget.size] = self.least
        return floor

    def worth_of(self, prices: I64) -> int:
        """Return what the limits are worth at these prices: the other part of the Lagrangian dual.

        A negative price is what a campaign with a minimum adds to its messages; its minimum counts for it.
        """
        return int(np.where(prices > 0, prices * self.flat(), prices * self.floor()).sum())


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
        """Return the chosen pairs that compete for capacity: all but the exploration stratum's."""
        return np.flatnonzero((choice.slot >= 0) & ~self.is_explore)

    def constraints(self, choice: Choice, rows: I64, limits: Limits) -> I64:
        """Return the constraints that each of these chosen pairs uses, (3, r).

        Rows: channel hour, campaign, hour of the campaign's speed limit; the last is -1 without one.
        """
        slot, campaign = choice.slot[rows], self.pair_campaign[rows]
        used = np.full((3, len(rows)), -1, np.int64)
        used[0] = choice.channel[rows] * self.n_slots + slot
        used[1] = limits.capacity.size + campaign
        if limits.paced.size:
            place = np.minimum(np.searchsorted(limits.paced, campaign), limits.paced.size - 1)
            first = limits.capacity.size + limits.budget.size
            used[2] = np.where(limits.paced[place] == campaign, first + place * self.n_slots + slot, -1)
        return used


@dataclass
class Choice:
    """What was chosen per pair: slot, channel and bid, each (m,).

    Slot and channel are -1 where nothing was chosen. The bid is the message's worth after its cost, before
    its own constraints' prices.
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

    def where(self, keep: Bools) -> Choice:
        """Return the part of the choice that is kept, (m,)."""
        return Choice(
            np.where(keep, self.slot, -1), np.where(keep, self.channel, -1), np.where(keep, self.bid, 0)
        )


def of_each(constraints: I64, figures: npt.NDArray[Figure], nothing: float = 0) -> npt.NDArray[Figure]:
    """Return a figure of each used constraint, (3, r); `nothing` where there is none."""
    return np.append(figures, np.array(nothing, figures.dtype))[constraints]


def count_of(constraints: Sequence[I64] | I64, limits: Limits) -> I64:
    """Return how often each constraint is used, (c*h + k + s*h,)."""
    flat = np.ravel(np.asarray(constraints))
    return np.bincount(flat[flat >= 0], minlength=limits.n_constraints).astype(np.int64)
