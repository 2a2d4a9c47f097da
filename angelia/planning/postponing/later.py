"""What a campaign's message would be opened with on each night of a week.

Grain: candidate of one campaign. Reads nothing, writes nothing. Nights differ in their weekday, in who has a
day off, and in the hours that are open; scores, curves and what categories do by hour and weekday are
tonight's. Nights are compared by the best of the campaign's materials, so that a material which is tried does
not wait because it is worth less than the best. Surprise: people who share a clock share their open hours,
and nights have few sets of them, so a person's best hour is looked for once for each set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from angelia.planning.problem import I64, Bools
from angelia.timing.category_hours import CategoryHours
from angelia.timing.local_time import LocalHours

F64 = npt.NDArray[np.float64]
NIGHTS_AHEAD = 6  # nights after tonight that are looked at: with tonight, every weekday once


@dataclass(frozen=True)
class Stretch:
    """A night's open hours on one local day of people with one clock.

    Attributes:
        cells: of the curves that these hours fall in.
        day: the local day.
        weekday: of it, Monday = 0.
    """

    cells: tuple[int, ...]
    day: date
    weekday: int


def stretches(local: LocalHours, off: Bools, may: Bools) -> list[Stretch]:
    """Return the open hours of a night by local day.

    Args:
        local: of one clock, each (h,).
        off: hours on a day off, (h,).
        may: hours that are open, (h,).
    """
    cells, days = [], []
    for day in np.unique(local.date[may]):
        here = may & (local.date == day)
        cells.append(tuple(np.unique(local.hour[here].astype(np.int64) + 24 * off[here]).tolist()))
        days.append((day.item(), int(local.weekday[here][0])))
    return [Stretch(each, *of) for each, of in zip(cells, days, strict=True)]


@dataclass(frozen=True)
class Prospect:
    """Chances of an open at each candidate's best hour.

    Attributes:
        tonight: by material, 0 for what they may not get, (m, k).
        later: on each later night, of the best material, 0 where it cannot go, (m, NIGHTS_AHEAD).
    """

    tonight: F64
    later: F64

    def drawn(self, picked: I64) -> F64:
        """Return what later nights promise beside the drawn material tonight, (m, NIGHTS_AHEAD).

        The drawn material's chance tonight, times how much better the best one is later than tonight.
        `picked` is its number, -1 = none, (m,).
        """
        own = np.take_along_axis(self.tonight, np.maximum(picked, 0)[:, None], 1)[:, 0]
        best = self.tonight.max(axis=1, initial=0.0)
        ratio = np.divide(own, best, out=np.zeros(len(own)), where=(best > 0) & (picked >= 0))
        return np.asarray(self.later * ratio[:, None])


@dataclass(frozen=True)
class MaterialRows:
    """A campaign's materials: row of each one's category, (k,), and days of those with any."""

    rows: Sequence[int]
    days: Mapping[int, tuple[date, date]]

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        category: Mapping[str, str],
        days: Mapping[str, tuple[date, date]],
        hours: CategoryHours,
    ) -> MaterialRows:
        """Return the materials of these names, by what is known of all materials."""
        return cls(
            hours.rows(category, names), {i: days[name] for i, name in enumerate(names) if name in days}
        )

    def is_valid(self, material: int, day: date) -> bool:
        """Return whether a material, by its number, may be shown on a local day."""
        first, last = self.days.get(material, (date.min, date.max))
        return first <= day <= last


def prospect(
    nights: Sequence[Sequence[Sequence[Stretch]]],
    group: I64,
    curves: F64,
    p_open: F64,
    materials: MaterialRows,
    hours: CategoryHours,
) -> Prospect:
    """Return what a campaign's message would be opened with tonight and on later nights.

    Args:
        nights: by night, tonight first, and group of people with the same open hours: these hours.
        group: of each candidate, (m,).
        curves: everybody's by cell, (m, 48).
        p_open: score by material, NaN = may not, (m, k).
        materials: the campaign's materials.
        hours: what categories do by hour and weekday.
    """
    score = np.nan_to_num(p_open, nan=0.0)
    tonight, later = np.zeros(score.shape), np.zeros((len(group), NIGHTS_AHEAD))
    order = np.argsort(group, kind="stable")
    ends = np.searchsorted(group[order], np.arange(1 + int(group.max(initial=-1))), side="right")
    for number, own in enumerate(np.split(order, ends[:-1]) if len(ends) else []):
        each = _SameHours(curves[own], materials, hours, {})
        tonight[own] = each.chances(nights[0][number], score[own])
        for night, open_hours in enumerate(nights[1:]):
            later[own, night] = each.chances(open_hours[number], score[own]).max(axis=1, initial=0.0)
    return Prospect(tonight, later)


@dataclass(frozen=True)
class _SameHours:
    """People with the same open hours; `best`: their response by category and set of hours."""

    curves: F64
    materials: MaterialRows
    hours: CategoryHours
    best: dict[tuple[int, tuple[int, ...]], F64]

    def chances(self, night: Sequence[Stretch], score: F64) -> F64:
        """Return the chance of an open at the best hour of a night by material, (n, k)."""
        gain = np.zeros(score.shape)
        for stretch in night:
            for material, row in enumerate(self.materials.rows):
                if self.materials.is_valid(material, stretch.day):
                    best = self._response(row, stretch.cells) * self.hours.weekday[row, stretch.weekday]
                    np.maximum(gain[:, material], best, out=gain[:, material])
        return np.minimum(score * gain, 1.0)

    def _response(self, row: int, cells: tuple[int, ...]) -> F64:
        known = self.best.get((row, cells))
        if known is None:
            at = list(cells)
            known = (self.curves[:, at] * self.hours.factor[row, at]).max(axis=1)
            self.best[row, cells] = known
        return known
