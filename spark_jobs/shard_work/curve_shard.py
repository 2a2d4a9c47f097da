"""One shard's evidence for curves, counted into cells.

Part of build_send_times. Reads user_features (timezone, country), user_days, user_pushes and user_hours.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts.arrow import by_ordinal, where
from angelia.lake import Commit, Lake
from angelia.lake.commit import in_shard
from angelia.timing.category_hours import HALF_LIFE, CategoryPushes
from angelia.timing.choosing import HALF_LIVES, QUARTERS
from angelia.timing.evidence import (
    CELLS,
    MATURITY_H,
    Cohorts,
    Floats,
    Ints,
    LocalClock,
    PushCounts,
    active_hours,
    count_activity,
    count_hours,
    count_pushes,
    exact,
    read_clock,
)
from spark_jobs.running.reading import Window, ints, read_window

HOUR_US = 3_600_000_000


def hours_column(half_life_days: float) -> str:
    """Return the column of user_hours that fades so fast."""
    return f"hours_{half_life_days:.0f}d"


@dataclass(frozen=True)
class CurveInputs:
    """What every pass reads; travels to the workers."""

    lake: Lake
    features: Commit
    days: Window
    pushes: Window
    ds: str
    n_days: int
    half_life_days: float
    shard_bits: int
    category_of: Mapping[str, str]  # material -> category, from the catalog
    past: Commit | None = None  # user_hours of the days before the window ...
    gap: Window = field(default_factory=list)  # ... and the days between the two, day 0 = the first of them
    gap_days: int = 0

    @property
    def categories(self) -> list[str]:
        """Return the categories that materials have, sorted."""
        return sorted(set(self.category_of.values()))


@dataclass(frozen=True)
class Users:
    """A shard's users, in order of their ordinals."""

    ordinal: npt.NDArray[np.int64]
    timezones: list[str]
    countries: list[str | None]

    @classmethod
    def read(cls, lake: Lake, features: Commit, shard: int, shard_bits: int) -> Users:
        """Read the users of a shard."""
        lo, hi = shard << shard_bits, (shard + 1) << shard_bits
        users = lake.read(features, ["ordinal", "timezone", "country"], where=in_shard(shard))
        here = pc.and_(pc.greater_equal(users["ordinal"], lo), pc.less(users["ordinal"], hi))
        users = by_ordinal(where(users, here))
        return cls(ints(users["ordinal"]), users["timezone"].to_pylist(), users["country"].to_pylist())

    def only(self, keep: npt.NDArray[np.bool_]) -> Users:
        """Return some of them, (n,)."""
        rows = np.flatnonzero(keep).tolist()
        zones, countries = ([names[row] for row in rows] for names in (self.timezones, self.countries))
        return Users(self.ordinal[keep], zones, countries)

    def clock(self, last_day: np.datetime64, days: int, half_life_days: float = np.inf) -> LocalClock:
        """Return their local time over a window of UTC days."""
        return read_clock(self.timezones, self.countries, last_day, days, half_life_days)


def read_hours(lake: Lake, window: Window, n: int, shard: int, shard_bits: int) -> tuple[Ints, Ints, Ints]:
    """Return row of the user, day of the window and UTC hours (a mask) of user_days, each (m,).

    Of a shard's n people: the index may have grown since the features were built.
    """
    days = read_window(lake, "user_days", window, ["hours"], shard, shard_bits)
    days = where(days, pc.less(days["row"], n))
    return ints(days["row"]), ints(days["day"]), ints(days["hours"])


def read_past(lake: Lake, past: Commit, half_life_days: float, ordinal: Ints, shard: int) -> Floats:
    """Return what user_hours keeps of a shard's active hours, (n, 48).

    Rows are those of these ordinals, which ascend.
    """
    column = hours_column(half_life_days)
    table = lake.read(past, ["ordinal", column], where=in_shard(shard))
    owner = ints(table["ordinal"])
    row = np.minimum(np.searchsorted(ordinal, owner), max(len(ordinal) - 1, 0))
    here = ordinal[row] == owner if len(ordinal) else np.zeros(len(owner), bool)
    kept = table[column].filter(pa.array(here)).combine_chunks().flatten()
    hours = np.zeros((len(ordinal), CELLS))
    hours[row[here]] = kept.to_numpy().reshape(-1, CELLS)
    return hours


def category_numbers(inputs: CurveInputs, material: pa.ChunkedArray) -> Ints:
    """Return the number of each material's category among `inputs.categories`; -1 = none."""
    names = material.combine_chunks().dictionary_encode()
    number = {name: place for place, name in enumerate(inputs.categories)}
    codes = [number.get(inputs.category_of.get(name, ""), -1) for name in names.dictionary.to_pylist()]
    return np.array([*codes, -1], np.int64)[names.indices.fill_null(len(codes)).to_numpy()]


def channel_counts(inputs: CurveInputs, shard: int) -> dict[str, dict[str, tuple[int, int]]]:
    """Return a shard's messages by campaign and channel: sent, opened within a day.

    Messages of the last day are left out: their opens have not all come.
    """
    columns = ["kind", "campaign_id", "channel", "at_ts", "sent_ts"]
    rows = read_window(inputs.lake, "user_pushes", inputs.pushes, columns, shard, inputs.shard_bits)
    sent_us = rows["sent_ts"].cast(pa.int64())
    age_us = pc.subtract(rows["at_ts"].cast(pa.int64()), sent_us)
    last_us = int(np.datetime64(inputs.ds, "us").astype(np.int64))
    is_grown = pc.and_(pc.less(sent_us, last_us), pc.less_equal(age_us, MATURITY_H * HOUR_US))
    keys = ["campaign_id", "channel", "kind"]
    groups = rows.filter(is_grown).group_by(keys, use_threads=False).aggregate([([], "count_all")])
    counts: dict[str, dict[str, tuple[int, int]]] = {}
    for row in groups.to_pylist():
        by_channel = counts.setdefault(row["campaign_id"], {})
        sent, opened = by_channel.get(row["channel"], (0, 0))
        n = row["count_all"]
        by_channel[row["channel"]] = (sent + n, opened) if row["kind"] == "sent" else (sent, opened + n)
    return counts


class CurveShard:
    """One shard's rows, counted into cells."""

    def __init__(self, inputs: CurveInputs, shard: int) -> None:
        self.inputs, self.shard = inputs, shard
        self.users = Users.read(inputs.lake, inputs.features, shard, inputs.shard_bits)
        self.ordinal, self.timezones = self.users.ordinal, self.users.timezones
        n = self._n = len(self.ordinal)
        self.clock = self.users.clock(np.datetime64(inputs.ds, "D"), inputs.n_days, inputs.half_life_days)
        self._hours = read_hours(inputs.lake, inputs.days, n, shard, inputs.shard_bits)
        rows = read_window(
            inputs.lake,
            "user_pushes",
            inputs.pushes,
            ["kind", "material_id", "at_ts", "sent_ts", "slot_propensity", "material_propensity"],
            shard,
            inputs.shard_bits,
        )
        rows = where(rows, pc.less(rows["row"], n))
        sent_us, at_us = ints(rows["sent_ts"].cast(pa.int64())), ints(rows["at_ts"].cast(pa.int64()))
        is_sent = np.asarray(pc.equal(rows["kind"], "sent").to_numpy()).astype(bool)
        is_open = ~is_sent & (at_us - sent_us <= MATURITY_H * HOUR_US)
        propensity = rows["slot_propensity"].cast(pa.float64()).fill_null(np.nan).to_numpy()
        self._sent, self._opened = (
            (ints(rows["row"])[kind], sent_us[kind] // HOUR_US, propensity[kind])
            for kind in (is_sent, is_open)
        )
        # A plan draws a material with a known chance even where it chooses the hour.
        chosen = np.isnan(propensity) & np.asarray(pc.is_valid(rows["material_propensity"]).to_numpy())
        self._chosen = chosen[is_sent], chosen[is_open]
        category = category_numbers(inputs, rows["material_id"])
        self._categories = category[is_sent], category[is_open]

    def only(self, keep: npt.NDArray[np.bool_]) -> CurveShard:
        """Return the same of some people, (n,): of a few nothing is counted for a whole shard."""
        part, place = copy(self), np.cumsum(keep) - 1
        part.users = self.users.only(keep)
        part.ordinal, part.timezones = part.users.ordinal, part.users.timezones
        part.clock = replace(self.clock, group=self.clock.group[keep])

        def own(rows: Sequence[Ints], user: Ints) -> tuple[Ints, ...]:
            here = keep[user]
            return tuple(column[here] for column in rows)

        user, *others = own(self._hours, self._hours[0])
        part._hours = place[user], *others
        part._sent, part._opened = (
            (place[user], *others)
            for user, *others in (own(rows, rows[0]) for rows in (self._sent, self._opened))
        )
        of = self._sent[0], self._opened[0]
        part._chosen, part._categories = (
            tuple(own([each], user)[0] for each, user in zip(columns, of, strict=True))
            for columns in (self._chosen, self._categories)
        )
        return part

    def cohorts(self) -> tuple[list[str], Cohorts]:
        """Return the shard's timezones, and whom they count."""
        names, member = np.unique(np.array(self.timezones, dtype=object).astype(str), return_inverse=True)
        return names.tolist(), Cohorts(member, len(names))

    def activity(self, cohorts: Cohorts | None = None) -> Floats:
        """Return the window's active hours by cell, (n, 48), kinds of day balanced."""
        return count_activity(self.clock, *self._hours, cohorts)

    def past(self, half_life_days: float) -> Floats:
        """Return active hours before the window, (n, 48), decayed as of the window's end."""
        inputs, ordinal = self.inputs, self.ordinal
        if inputs.past is None:
            return np.zeros((len(ordinal), CELLS))
        hours = read_past(inputs.lake, inputs.past, half_life_days, ordinal, self.shard)
        if inputs.gap_days:
            last = np.datetime64(inputs.ds, "D") - np.timedelta64(inputs.n_days, "D")
            clock = self.users.clock(last, inputs.gap_days)
            rows = active_hours(clock, *self._gap(clock))
            hours = hours * 0.5 ** (inputs.gap_days / half_life_days) + count_hours(
                clock, *rows, half_life_days
            )
        return exact(hours * 0.5 ** (inputs.n_days / half_life_days))

    def _gap(self, clock: LocalClock) -> tuple[Ints, Ints, Ints]:
        """Return what `read_hours` does of the days between the record and the window."""
        inputs, first = self.inputs, self.shard << self.inputs.shard_bits
        user, day, mask = read_hours(inputs.lake, inputs.gap, self._n, self.shard, inputs.shard_bits)
        place = np.full(1 << inputs.shard_bits, -1)
        place[self.ordinal - first] = np.arange(clock.n_users)
        here = place[user] >= 0
        return place[user[here]], day[here], mask[here]

    def hours(self, half_life_days: float) -> Floats:
        """Return all active hours that are kept, (n, 48), decayed as of the window's end."""
        rows = active_hours(self.clock, *self._hours)
        return self.past(half_life_days) + count_hours(self.clock, *rows, half_life_days)

    def sample(self) -> tuple[Floats, Floats, Floats]:
        """Return these people's evidence by quarter of the window, for `choosing.Sample`.

        It is their active hours, (half-lives, 1 + quarters, n, 48), and pushes and opens: those of unknown
        slot propensity, then those of a known one, times its inverse, (2, quarters, n, 48) each.
        """
        user, day, cell = active_hours(self.clock, *self._hours)
        days, n = self.inputs.n_days, len(self.ordinal)
        cuts = [days * quarter // QUARTERS for quarter in range(QUARTERS + 1)]
        activity = np.zeros((len(HALF_LIVES), 1 + QUARTERS, n, CELLS))
        pushes, opens = np.zeros((2, 2, QUARTERS, n, CELLS))
        for row, half in enumerate(HALF_LIVES):
            activity[row, 0] = self.past(half)
        for quarter, (first, last) in enumerate(itertools.pairwise(cuts)):
            here = (day >= first) & (day < last)
            for row, half in enumerate(HALF_LIVES):
                activity[row, 1 + quarter] = count_hours(self.clock, user[here], day[here], cell[here], half)
            for into, counts in zip((pushes, opens), self.counts(first, last), strict=True):
                into[:, quarter] = counts.unknown, counts.known
        return activity, pushes, opens

    def by_category(self, first: int, last: int) -> tuple[CategoryPushes, CategoryPushes]:
        """Return pushes and opens of known category, sent on the window's days [first, last)."""
        both = []
        stop = min(24 * last, 24 * self.inputs.n_days - MATURITY_H)
        for (user, sent_hour, _), category in zip((self._sent, self._opened), self._categories, strict=True):
            at = sent_hour - self.clock.first_hour
            here = (at >= 24 * first) & (at < stop) & (category >= 0)
            age = self.inputs.n_days - 1 - at // 24
            both.append(category_pushes(self.clock, user[here], at[here], category[here], age[here]))
        return both[0], both[1]

    def counts(
        self, first: int = 0, last: int | None = None, cohorts: Cohorts | None = None
    ) -> tuple[PushCounts, PushCounts]:
        """Return pushes and opens by cell of sending, but those whose hour a plan of ours chose.

        Everybody gets those at hours that are good for them, and rather where their curve is too high than
        too low: taken for news of the hours they make curves flat and parameters loose (ADR 70).
        """
        sent, opened = (
            count_pushes(
                self.clock, *(column[~chosen] for column in rows), first=first, last=last, cohorts=cohorts
            )
            for rows, chosen in zip((self._sent, self._opened), self._chosen, strict=True)
        )
        return sent, opened

    def all_counts(self) -> tuple[PushCounts, PushCounts]:
        """Return pushes and opens by cell of sending, whoever chose the hour."""
        sent, opened = (count_pushes(self.clock, *rows) for rows in (self._sent, self._opened))
        return sent, opened


def category_pushes(clock: LocalClock, user: Ints, at: Ints, category: Ints, age: Ints) -> CategoryPushes:
    """Return pushes as categories count them, from hours of a clock and ages in days, (m,)."""
    where = (clock.group[user], at)
    cell, weekday = (table[where].astype(np.int64) for table in (clock.cells, clock.weekdays))
    return CategoryPushes(user, cell, weekday, category, exact(0.5 ** (age / HALF_LIFE)))


def days_between(first: str, last: str) -> int:
    """Return how many days lie strictly between two ISO dates."""
    return (date.fromisoformat(last) - date.fromisoformat(first)).days - 1
