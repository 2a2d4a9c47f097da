"""A user's history by hour: pushes, opens and activity in cells of local time.

Grain: user x cell; a cell is a local hour on a workday (0..23) or on a day off (24..47). Pure functions on
    arrays of one shard; reads and writes nothing. Old evidence is halved every `half_life_days`. All weights
    are multiples of 2**-20, so that sums over users are exact in float64 and do not depend on the cut into
    shards. Surprise: a push younger than a day is left out, because it may still be opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from angelia.timing.local_time import is_day_off, local_grid, unique_clocks

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CELLS = 48
WORKDAY_SHARE = 5 / 7
MAX_INVERSE = 200.0  # inverse propensities are clipped here: one lucky draw must not be a user's whole curve
MATURITY_H = 24  # an open counts within so many hours of the push; younger pushes say nothing yet
_GRID = 2.0**20


def exact(values: npt.ArrayLike) -> Floats:
    """Round to multiples of 2**-20, whose sums are exact (up to 2**33) in any order."""
    return np.asarray(np.round(np.asarray(values, dtype=np.float64) * _GRID) / _GRID)


@dataclass(frozen=True)
class LocalClock:
    """Local time of a window of UTC days for a shard's users.

    Attributes:
        first_hour: First UTC hour of the window, hours since 1970.
        group: (n,) row of `cells` for each user.
        cells: (groups, hours) int8, the cell of each UTC hour.
        weekdays: (groups, hours) int8, its local weekday, Monday = 0.
        decay: (days,) half-life weight of each UTC day of the window, 1 for the last.
        day_balance: (groups, 2) factor that makes workdays and days off count 5 : 2 whatever the window
            holds.
    """

    first_hour: int
    group: Ints
    cells: npt.NDArray[np.int8]
    weekdays: npt.NDArray[np.int8]
    decay: Floats
    day_balance: Floats

    @property
    def n_users(self) -> int:
        """Users of the shard."""
        return len(self.group)


def read_clock(
    timezones: Sequence[str],
    countries: Sequence[str | None],
    last_day: np.datetime64,
    days: int,
    half_life_days: float,
) -> LocalClock:
    """Return the clock of `days` UTC days up to and with `last_day`.

    Users are given by timezone and country, both (n,).
    """
    clocks, group = unique_clocks(timezones, countries)
    first = last_day.astype("datetime64[D]") - np.timedelta64(days - 1, "D")
    hours = first.astype("datetime64[h]") + np.arange(24 * days)
    decay = exact(0.5 ** (np.arange(days)[::-1] / half_life_days))
    local = local_grid([zone for zone, _ in clocks], hours)
    off = is_day_off(local.date, [country for _, country in clocks])
    cells = (local.hour + 24 * off).astype(np.int8)
    weight = np.repeat(decay, 24)
    lengths = np.stack([(~off * weight).sum(axis=1), (off * weight).sum(axis=1)], axis=1).reshape(-1, 2)
    wanted = lengths.sum(axis=1, keepdims=True) * [WORKDAY_SHARE, 1 - WORKDAY_SHARE]
    balance = exact(wanted / np.maximum(lengths, 1.0))
    return LocalClock(
        int(hours[0].astype(np.int64)), group, cells, local.weekday.astype(np.int8), decay, balance
    )


def active_hours(clock: LocalClock, user: Ints, day: Ints, mask: Ints) -> tuple[Ints, Ints, Ints]:
    """Return user, day and cell of every distinct active hour, each (m,).

    Args:
        clock: the shard's clock.
        user: row of the user, any order, several rows a user-day allowed.
        day: day of the window, 0 = first.
        mask: bit h set = active in UTC hour h.
    """
    days = len(clock.decay)
    key = user * days + day
    order = np.argsort(key, kind="stable")
    key, mask = key[order], mask[order]
    starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]]) if len(key) else np.zeros(0, dtype=np.int64)
    merged = np.bitwise_or.reduceat(mask, starts) if len(starts) else mask
    user, day = np.divmod(key[starts], days)
    # As bytes, of which 24 of 32 bits are hours: an eighth of the memory of shifted numbers.
    bits = np.unpackbits(merged.astype("<u4").view(np.uint8).reshape(-1, 4), axis=1, bitorder="little")
    row, hour = np.nonzero(bits[:, :24].view(np.bool_))
    user, day = user[row], day[row]
    return user, day, clock.cells[clock.group[user], day * 24 + hour].astype(np.int64)


@dataclass(frozen=True)
class Cohorts:
    """Whom people count under, where sums are asked for.

    `member` is each user's cohort of `n`, (users,).
    """

    member: Ints
    n: int


def count_activity(
    clock: LocalClock, user: Ints, day: Ints, mask: Ints, cohorts: Cohorts | None = None
) -> Floats:
    """Count active local hours as `active_hours` takes them, (n, 48), decayed and balanced.

    A row is a user, or a cohort of them where `cohorts` are given.
    """
    user, day, cell = active_hours(clock, user, day, mask)
    weight = exact(clock.decay[day] * clock.day_balance[clock.group[user], cell // 24])
    return _table(user, cell, weight, clock, cohorts)


def count_hours(clock: LocalClock, user: Ints, day: Ints, cell: Ints, half_life_days: float) -> Floats:
    """Count active hours, (n, 48), each halved every `half_life_days` up to the window's end."""
    age = len(clock.decay) - 1 - np.arange(len(clock.decay))
    return _table(user, cell, exact(0.5 ** (age / half_life_days))[day], clock)


def inverse_propensity(slot_propensity: Floats) -> Floats:
    """Return 1 / propensity, clipped to [1, 200]; 0 where it is unknown or no probability."""
    known = np.nan_to_num(slot_propensity, nan=0.0) > 0
    return np.where(known, np.clip(1.0 / np.where(known, slot_propensity, 1.0), 1.0, MAX_INVERSE), 0.0)


def slot_weights(slot_propensity: Floats) -> Floats:
    """Weigh pushes (m,) as if their hour had been drawn evenly.

    Known propensities weigh inversely, with mean 1; unknown ones 1.
    """
    inverse = inverse_propensity(slot_propensity)
    known = inverse > 0
    return np.where(known, inverse / inverse[known].mean(), 1.0) if known.any() else np.ones(len(inverse))


@dataclass(frozen=True)
class PushCounts:
    """Pushes (or opens) per user and cell, decayed.

    Attributes:
        unknown: (n, 48) those whose slot propensity is unknown.
        known: (n, 48) those with a known one, times its inverse.
        known_plain: (n, 48) the same without the inverse, from which the mean weight is made 1.
    """

    unknown: Floats
    known: Floats
    known_plain: Floats

    def weighted(self, scale: float) -> Floats:
        """Return (n, 48) counts in units of pushes.

        `scale` is the mean decay over the mean weight of known ones, over everybody.
        """
        return self.unknown + scale * self.known


def count_pushes(
    clock: LocalClock,
    user: Ints,
    sent_hour: Ints,
    slot_propensity: Floats,
    *,
    first: int = 0,
    last: int | None = None,
    cohorts: Cohorts | None = None,
) -> PushCounts:
    """Count pushes by the cell they were sent in, and by user, or by cohort where given.

    Args:
        clock: The shard's clock.
        user: (m,) row of the user.
        sent_hour: (m,) UTC hour of sending, hours since 1970; those outside the window, or younger than a day
            at its end, are left out.
        slot_propensity: (m,) nan = unknown.
        first: first day of the window to count.
        last: day of the window to stop before.
        cohorts: what to sum users by.
    """
    at = sent_hour - clock.first_hour
    stop = 24 * len(clock.decay) - MATURITY_H
    here = (at >= 24 * first) & (at < (stop if last is None else min(stop, 24 * last)))
    user, at, inverse = user[here], at[here], inverse_propensity(slot_propensity[here])
    cell = clock.cells[clock.group[user], at].astype(np.int64)
    decay = clock.decay[at // 24]
    known = inverse > 0
    return PushCounts(
        unknown=_table(user, cell, np.where(known, 0.0, decay), clock, cohorts),
        known=_table(user, cell, exact(decay * inverse), clock, cohorts),
        known_plain=_table(user, cell, np.where(known, decay, 0.0), clock, cohorts),
    )


def _table(
    user: Ints, cell: Ints, weight: Floats, clock: LocalClock, cohorts: Cohorts | None = None
) -> Floats:
    row, n = (user, clock.n_users) if cohorts is None else (cohorts.member[user], cohorts.n)
    sums = np.bincount(row * CELLS + cell, weights=weight, minlength=n * CELLS)
    return np.asarray(sums, dtype=np.float64).reshape(n, CELLS)
