"""Categories' own hours and weekdays: how much better they are opened then than on average.

Grain: category x cell (48 as in `evidence`), and category x weekday. The factors multiply a person's curve.
They are opens over the opens to expect of the same pushes at the people's own rates and curves, hours
smoothed around the clock, and shrunk to 1; how smoothly and how strongly is chosen by predicting the last
quarter of the window from all before it, and `no effect` is one of the choices. Pure functions on sums over
shards; reads and writes nothing. Source: Clayton & Kaldor (1987), eq. 2, as for the curves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from angelia.timing.curves import DAY_TYPE_COUPLING, KERNEL, smooth
from angelia.timing.evidence import CELLS, Floats, Ints, exact

# Expected opens behind a factor of 1; inf = no effect.
STRENGTHS = (np.inf, 3000.0, 1000.0, 300.0, 100.0, 30.0, 10.0)
WEEKDAYS = 7
FACTOR_RANGE = (0.3, 3.0)
HALF_LIFE = 180.0  # days; a category's hours change slowly, and half a year is what likings have, too
Shape = tuple[tuple[float, ...], float]  # weight of hours 0, 1 and 2 away; what the other kind of day lends
SHAPES: tuple[Shape, ...] = ((KERNEL, DAY_TYPE_COUPLING), (KERNEL, 1.0), ((1.0, 0.3), 1.0))


class CategoryPushes(NamedTuple):
    """Pushes of known category, all (m,).

    These are row of the user, cell and weekday (Monday = 0) it was sent in, category number, and decay.
    """

    user: Ints
    cell: Ints
    weekday: Ints
    category: Ints
    weight: Floats


def category_sums(
    sent: CategoryPushes, opened: CategoryPushes, curve: Floats, rate: Floats, n: int
) -> Floats:
    """Return opens and expected opens by category and time, (n, 2, 48 + 7).

    Times are cells, then weekdays; sums over shards are exact. `curve` is (users, 48), `rate` (users,) the
    user's opens per push.
    """
    sums = np.zeros((n, 2, CELLS + WEEKDAYS))
    expected = exact(rate[sent.user] * curve[sent.user, sent.cell] * sent.weight)
    for layer, pushes, weight in ((0, opened, exact(opened.weight)), (1, sent, expected)):
        np.add.at(sums[:, layer], (pushes.category, pushes.cell), weight)
        np.add.at(sums[:, layer], (pushes.category, CELLS + pushes.weekday), weight)
    return sums


def by_cell(sums: Floats, shape: Shape = SHAPES[0]) -> Floats:
    """Return the sums by cell, smoothed around the clock, (n, 2, 48)."""
    return np.stack([smooth(sums[:, layer, :CELLS], *shape) for layer in (0, 1)], axis=1)


def by_weekday(sums: Floats) -> Floats:
    """Return the sums by weekday, (n, 2, 7)."""
    return sums[:, :, CELLS:]


def factors(sums: Floats, strength: float) -> Floats:
    """Return the factor of each category and time from (n, 2, times).

    Its mean is 1 over the times the category's pushes were sent at.
    """
    opens, expected = sums[:, 0], sums[:, 1]
    if not np.isfinite(strength):
        return np.ones(opens.shape)
    usual = expected * _level(sums)  # the category's own appeal belongs to the score, not to its hours
    factor = (opens + strength) / (usual + strength)
    return np.asarray(np.clip(factor / _mean(factor, usual), *FACTOR_RANGE))


def _level(sums: Floats) -> Floats:
    """Return opens over expected opens of each category, (n, 1); 1 where nothing is expected."""
    opens, total = (sums[:, layer].sum(axis=1, keepdims=True) for layer in (0, 1))
    return np.asarray(np.divide(opens, total, out=np.ones_like(total), where=total > 0))


def _mean(factor: Floats, usual: Floats) -> Floats:
    total = usual.sum(axis=1, keepdims=True)
    mean = np.divide(
        (factor * usual).sum(axis=1, keepdims=True), total, out=np.ones_like(total), where=total > 0
    )
    return np.where(mean > 0, mean, 1.0)


def choose_hours(earlier: Floats, later: Floats) -> tuple[Shape, float]:
    """Return the shape and strength by which earlier sums predict later opens best."""
    best, strength, gain = SHAPES[0], STRENGTHS[0], 0.0
    # All are judged by the same unsmoothed opens, so that a smoother shape is not also judged more smoothly.
    for shape in SHAPES:
        its_strength, its_gain = choose_strength(by_cell(earlier, shape), later[:, :, :CELLS])
        if its_gain > gain + 1e-9:
            best, strength, gain = shape, its_strength, its_gain
    return best, strength


def choose_strength(earlier: Floats, later: Floats) -> tuple[float, float]:
    """Return the strength by which earlier sums predict later opens best, and its gain.

    Opens are Poisson. The weakest effect wins ties, so that where categories have no hours of their own none
    is invented.
    """
    usual = later[:, 1] * _level(later)
    best, gain = STRENGTHS[0], 0.0
    for strength in STRENGTHS[1:]:
        factor = factors(earlier, strength)
        # Rescaled to the later pushes' own hours: only the shape is judged, not the level.
        its_gain = float((later[:, 0] * np.log(factor / _mean(factor, usual))).sum())
        if its_gain > gain + 1e-9:
            best, gain = strength, its_gain
    return best, gain


def merge(parts: Sequence[Mapping[str, Sequence[Sequence[float]]]]) -> dict[str, Floats]:
    """Add the sums of all shards, by category name."""
    merged: dict[str, Floats] = {}
    for part in parts:
        for name, values in part.items():
            merged[name] = merged.get(name, 0.0) + np.asarray(values, dtype=np.float64)
    return {name: merged[name] for name in sorted(merged)}


@dataclass(frozen=True)
class CategoryHours:
    """How categories are opened by cell, (categories + 1, 48), and by weekday, (.., 7).

    `row` names the rows; the last one is 1 throughout.
    """

    row: Mapping[str, int]
    factor: Floats
    weekday: Floats

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> CategoryHours:
        """Return what the meta of `send_times` says; an old one says nothing, so all are 1."""
        known: Mapping[str, list[float]] = meta.get("categories") or {}
        days: Mapping[str, list[float]] = meta.get("category_days") or {}
        factor = np.vstack([*(np.asarray(known[name]) for name in known), np.ones(CELLS)])
        plain = [1.0] * WEEKDAYS
        weekday = np.vstack([*(np.asarray(days.get(name, plain)) for name in known), plain])
        return cls({name: row for row, name in enumerate(known)}, factor, weekday)

    def at(self, row: Ints | int, cell: Ints, weekday: Ints) -> Floats:
        """Return the factor of a row, or of rows, at cells and weekdays of one shape."""
        return np.asarray(self.factor[row, cell] * self.weekday[row, weekday])

    def of_clocks(self, row: Ints, clock: Ints, cell: Ints, weekday: Ints) -> Floats:
        """Return the factor of category rows, (m,), by hour of each one's clock, (m, h).

        Args:
            row: of the category, (m,).
            clock: row of `cell` and `weekday`, (m,).
            cell: of the curves, by clock and hour, (g, h).
            weekday: by clock and hour, (g, h).
        """
        factor = np.empty((len(row), cell.shape[1]))
        for each in np.unique(row).tolist():
            here = np.flatnonzero(row == each)
            factor[here] = self.at(each, cell, weekday)[clock[here]]
        return factor

    def rows(self, category_of: Mapping[str, str], materials: Sequence[str]) -> list[int]:
        """Return the row of each material's category; the last one for those without."""
        last = len(self.factor) - 1
        return [self.row.get(category_of.get(name, ""), last) for name in materials]
