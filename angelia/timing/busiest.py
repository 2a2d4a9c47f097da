"""How far people's busiest hours lie on the way from a random hour to their best one.

Grain: kind of day. Products usually send at the hour in which a person was most often active lately. Such
counts are few: on days off, of which a month has eight, the busiest hour is mostly luck. What it is worth is
told by the person's curve, which knows more than these counts. Pure functions. Surprise: recent activity is
part of what curves are made of, so they praise its busiest hour somewhat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from angelia.timing.evidence import CELLS, Floats, exact

META = "busiest"


def busiest_sums(activity: Floats, curve: Floats, awake: npt.NDArray[np.bool_]) -> Floats:
    """Return curves at a random open hour, at the busiest and at the best one, summed, (2, 3).

    Rows are workdays and days off. Who was not active counts as at a random hour.

    Args:
        activity: a person's recent active hours by cell, (n, 48).
        curve: response by cell, a mean hour's = 1, (n, 48).
        awake: which local hours are open to messages, (24,).
    """
    half, sums = CELLS // 2, np.zeros((2, 3))
    for kind in range(2):
        cells = slice(kind * half, (kind + 1) * half)
        seen, here = activity[:, cells][:, awake], curve[:, cells][:, awake]
        if not seen.size:
            continue
        mean = here.mean(axis=1)
        at_busiest = np.take_along_axis(here, seen.argmax(axis=1)[:, None], 1)[:, 0]
        parts = mean, np.where(seen.any(axis=1), at_busiest, mean), here.max(axis=1)
        sums[kind] = [exact(part).sum() for part in parts]
    return sums


def busiest_meta(shards: Sequence[Sequence[Sequence[float]]]) -> dict[str, list[float]]:
    """Return the share of the way on workdays and on days off, as a commit's meta says it."""
    random, busiest, best = np.sum(shards, axis=0).T if shards else np.zeros((3, 2))
    share = np.divide(busiest - random, best - random, out=np.zeros(2), where=best > random)
    return {META: np.round(np.clip(share, 0.0, 1.0), 4).tolist()}


def busiest_of(meta: Mapping[str, Any]) -> tuple[float, float]:
    """Return the share for workdays and for days off; 0 for curves of before it was kept."""
    workday, day_off = meta.get(META) or (0.0, 0.0)
    return float(workday), float(day_off)
