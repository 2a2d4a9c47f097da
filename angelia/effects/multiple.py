"""Which of many differences stand out: Holm's correction, from 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

_Z = 1.959963984540054  # half the width of a 95 % interval, in standard errors


def holm(rows: Sequence[tuple[float, float, float]], level: float = 0.05) -> list[bool]:
    """Return which of (difference, low, high) differ from zero at a family-wise `level`.

    The standard error is that of the interval's side towards zero, so a single interval stands out exactly
    where it excludes zero.
    """
    return holm_p([_p_value(*row) for row in rows], level)


def holm_p(p_values: Sequence[float], level: float = 0.05) -> list[bool]:
    """Return which of many p-values stand out at a family-wise `level` (Holm 1979, step down)."""
    ranked = sorted((p, i) for i, p in enumerate(p_values))
    stands_out = [False] * len(p_values)
    for rank, (p, i) in enumerate(ranked):
        if p > level / (len(p_values) - rank):
            break
        stands_out[i] = True
    return stands_out


def _p_value(difference: float, low: float, high: float) -> float:
    side = difference - low if difference > 0 else high - difference
    if difference == 0 or not math.isfinite(difference) or not math.isfinite(side):
        return 1.0
    return math.erfc(_Z * abs(difference) / side / math.sqrt(2)) if side > 0 else 0.0
