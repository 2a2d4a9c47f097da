"""What a campaign's message would be opened with on each night of a week.

Grain: candidate of one campaign. Reads nothing, writes nothing. Nights differ in their weekday, in who has a
day off, and in the hours that are open; scores, curves and what categories do by hour and weekday are
tonight's. Surprise: nights are compared by the *best* of the campaign's materials, not by the one that was
drawn, so that whether a message waits says nothing of the draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from angelia.planning.problem import I64, Bools
from angelia.timing.category_hours import CategoryHours

F64 = npt.NDArray[np.float64]
NIGHTS_AHEAD = 6  # nights after tonight that are looked at: with tonight, every weekday once


@dataclass(frozen=True)
class CampaignNight:
    """A campaign's hours of one night by clock.

    Attributes:
        may: hours it may use, (g, h).
        cell: of the curves, (g, h).
        weekday: of the hour, Monday = 0, (g, h).
        fits: which of its materials may be shown in one of them, (g, k).
    """

    may: Bools
    cell: I64
    weekday: I64
    fits: Bools


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


def prospect(
    nights: Sequence[CampaignNight],
    curves: F64,
    clock: I64,
    closed: Bools | None,
    p_open: F64,
    rows: Sequence[int],
    hours: CategoryHours,
) -> Prospect:
    """Return what a campaign's message would be opened with tonight and on later nights.

    Args:
        nights: tonight and the later ones on which it may still go; None in between where it may not.
        curves: of its candidates by cell, (m, 48).
        clock: of its candidates, (m,).
        closed: hours that candidates keep quiet themselves, (m, h), or None.
        p_open: score by material, NaN = may not, (m, k).
        rows: of each material's category in `hours`, k of them.
        hours: what categories do by hour and weekday.
    """
    score = np.nan_to_num(p_open, nan=0.0)
    tonight = _chances(nights[0], curves, clock, closed, score, rows, hours)
    later = np.zeros((len(clock), NIGHTS_AHEAD))
    for number, night in enumerate(nights[1:]):
        if night.may.any():
            each = _chances(night, curves, clock, closed, score, rows, hours)
            later[:, number] = each.max(axis=1, initial=0.0)
    return Prospect(tonight, later)


def _chances(
    night: CampaignNight,
    curves: F64,
    clock: I64,
    closed: Bools | None,
    score: F64,
    rows: Sequence[int],
    hours: CategoryHours,
) -> F64:
    """Return the chance of an open at the best hour of a night by material, (m, k)."""
    may = night.may[clock] if closed is None else night.may[clock] & ~closed
    curve = np.where(may, np.take_along_axis(curves, night.cell[clock], 1), 0.0)
    best = {row: (curve * hours.at(row, night.cell, night.weekday)[clock]).max(axis=1) for row in set(rows)}
    gain = np.stack([best[row] for row in rows], axis=1)
    return np.asarray(np.where(night.fits[clock], score * gain, 0.0))
