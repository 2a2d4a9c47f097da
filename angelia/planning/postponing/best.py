"""Which night of the coming week each of a person's messages is worth most.

Grain: pair (user x campaign). Reads nothing, writes nothing. A campaign that goes to a person once a week may
go on any night of it. Days differ: a category has good weekdays, people have days off, and who still feels a
message opens the next one less. So a person's messages are laid out over the week together: one after the
other takes the night on which it is worth most to them, given those already laid out. What may not wait has
its night; what would go again tomorrow is left out, since it is felt on every night alike. Only tonight's
part is decided; tomorrow it is done anew. Each night of waiting has to win `NIGHT_LOSS`: until then people
leave audiences, campaigns end, and a campaign that goes once a week goes a day later from then on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from angelia.planning.later.fatigue import FINE, Fatigue, LaterCosts, rounded
from angelia.planning.postponing.later import F64, NIGHTS_AHEAD
from angelia.planning.problem import I64, Bools

NIGHT_LOSS = 0.06  # of a message's worth, for each night that it waits
# How much the risk of a refusal counts beside opens: who feels others refuses more, and for good.
REFUSALS = 2.75


@dataclass(frozen=True)
class Postponable:
    """What is to be known of each pair.

    Attributes:
        user: ascending, (m,).
        tonight: worth at its best open hour, 0 = it cannot go, (m,).
        later: worth on each later night, 0 = it cannot go then, or may not wait, (m, NIGHTS_AHEAD).
        is_nightly: its campaign would send to the person again tomorrow, (m,).
    """

    user: I64
    tonight: F64
    later: F64
    is_nightly: Bools

    @classmethod
    def of(cls, user: I64, best: F64, now: F64, ahead: F64, is_nightly: Bools) -> Postponable:
        """Return pairs by their worth and chance of an open at tonight's best hour, both (m,).

        A later night is worth as much more as its chance, `ahead`, (m, NIGHTS_AHEAD), is higher.
        """
        ratio = np.divide(best, now, out=np.zeros(len(now)), where=now > 0)
        return cls(user, best, ahead * ratio[:, None], is_nightly)

    def of_those_who_may(self) -> I64:
        """Return the pairs to lay out: of people one of whose messages may wait, (r,)."""
        waits = (self.tonight > 0) & (self.later > 0).any(axis=1)
        asks = np.zeros(int(self.user.max(initial=-1)) + 1, bool)
        asks[self.user[waits]] = True
        return np.flatnonzero(waits | ((self.tonight > 0) & asks[self.user] & ~self.is_nightly))


def best_nights(pairs: Postponable, costs: LaterCosts | None, fatigue: Fatigue | None, most: int) -> I64:
    """Return how many nights from now each pair is worth most, 0 = tonight, (m,).

    Args:
        pairs: the shard's.
        costs: what each pair's message costs later, which knows what people feel; None = nothing is known.
        fatigue: what was learned of it.
        most: messages one person may get in a night.
    """
    night = np.zeros(len(pairs.user), np.int64)
    left = pairs.of_those_who_may()
    if not len(left):
        return night
    kept = np.cumprod([1.0, *(1.0 - NIGHT_LOSS,) * NIGHTS_AHEAD])
    worth = np.column_stack([pairs.tonight, pairs.later])[left] * kept
    _, first, user = np.unique(pairs.user[left], return_index=True, return_inverse=True)
    own, nothing = left[first], np.zeros(len(first))
    if costs is None or fatigue is None:
        week = _Week.of(nothing, nothing, Fatigue())
    else:
        week = _Week.of(costs.felt[own], costs.rate[own], fatigue)
    while len(left):
        now = np.where(week.taken[user] < most, worth * week.tired()[user], 0.0)
        at = now.argmax(axis=1)
        top = np.take_along_axis(now, at[:, None], 1)[:, 0]
        # The first of each person's messages that is worth most; the others see it laid out.
        starts = np.flatnonzero(np.diff(user, prepend=-1))
        most_worth = np.repeat(np.maximum.reduceat(top, starts), np.diff(np.append(starts, len(user))))
        hit = np.flatnonzero((top == most_worth) & (top > 0))
        hit = hit[np.diff(user[hit], prepend=-1) > 0]
        night[left[hit]] = at[hit]
        week.take(user[hit], at[hit], np.asarray(worth[hit, 1:].any(axis=1)))
        # Whoever has no room left on any night keeps the rest for tonight's plan to decide.
        again = np.isin(user, user[hit])
        again[hit] = False
        left, worth, user = left[again], worth[again], user[again]
    return night


@dataclass
class _Week:
    """A week of people's messages as they are laid out, all (n, 1 + NIGHTS_AHEAD) but `base`.

    `felt`: messages they will still feel. `taken`: messages laid out. `base`: what tonight's scores know that
    they feel, as its logarithm, (n, 1). `tires`: by which power of (1 + felt) a message's worth falls.
    """

    felt: F64
    taken: I64
    base: F64
    tires: float
    fades: F64

    @classmethod
    def of(cls, felt: F64, rate: F64, fatigue: Fatigue) -> _Week:
        fades = rounded(np.exp(-np.arange(NIGHTS_AHEAD + 1) / fatigue.tired_days), FINE)
        tires = fatigue.tires + REFUSALS * fatigue.refuses_more
        # What is felt now fades, and on average as much comes as it did before.
        ahead = felt[:, None] * fades + (rate * fatigue.tired_days)[:, None] * (1.0 - fades)
        return cls(ahead, np.zeros(ahead.shape, np.int64), np.log1p(felt)[:, None], tires, fades)

    def tired(self) -> F64:
        """Return how much of a message's worth is left on each night to who feels so many."""
        return rounded(np.exp(-self.tires * (np.log1p(self.felt) - self.base)), FINE)

    def take(self, user: I64, night: I64, may_wait: Bools) -> None:
        """Lay a message out for each of these people, at most one each.

        What may not wait takes no room: whether it goes is the plan's to decide.
        """
        self.taken[user, night] += may_wait
        self.felt[user] += self.fades[np.abs(np.arange(NIGHTS_AHEAD + 1) - night[:, None])]
