"""Categories have hours of their own: how much better a category is opened at a local hour than its mean
says.

Grain: category x cell (48 as in `evidence`). The factor multiplies a person's curve. It is opens over the
    opens to expect of the same pushes at the people's own rates and curves, smoothed around the clock and
    shrunk to 1; how strongly is chosen by predicting the last quarter of the window from the rest, and `no
    effect` is one of the choices. Pure functions on sums over shards; reads and writes nothing. Source:
    Clayton & Kaldor (1987), eq. 2, as for the curves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from angelia.timing.curves import smooth
from angelia.timing.evidence import CELLS, Floats, Ints, exact

STRENGTHS = (
    np.inf,
    3000.0,
    1000.0,
    300.0,
    100.0,
    30.0,
    10.0,
)  # expected opens behind a factor of 1; inf = no effect
FACTOR_RANGE = (0.3, 3.0)


class Pushes(NamedTuple):
    """Pushes of known category: row of the user, cell it was sent in, category number, decay; all (m,)."""

    user: Ints
    cell: Ints
    category: Ints
    weight: Floats


def category_sums(sent: Pushes, opened: Pushes, curve: Floats, rate: Floats, n: int) -> Floats:
    """Return opens and expected opens by category and cell, (n, 2, 48), exactly summable over shards.

    `curve` is (users, 48), `rate` (users,) the user's opens per push.
    """
    sums = np.zeros((n, 2, CELLS))
    expected = rate[sent.user] * curve[sent.user, sent.cell] * sent.weight
    np.add.at(sums[:, 0], (opened.category, opened.cell), exact(opened.weight))
    np.add.at(sums[:, 1], (sent.category, sent.cell), exact(expected))
    return sums


def factors(sums: Floats, strength: float) -> Floats:
    """Return the factor of each category and cell, (n, 48), mean 1 over the hours its pushes were sent in."""
    if not np.isfinite(strength):
        return np.ones((len(sums), CELLS))
    opens, expected = sums[:, 0], sums[:, 1]
    total = expected.sum(axis=1, keepdims=True)
    level = np.divide(opens.sum(axis=1, keepdims=True), total, out=np.ones_like(total), where=total > 0)
    usual = expected * level  # the category's own appeal belongs to the score, not to its hours
    factor = (smooth(opens) + strength) / (smooth(usual) + strength)
    mean = np.divide((factor * usual).sum(axis=1, keepdims=True), usual.sum(axis=1, keepdims=True),
                     out=np.ones_like(total), where=total * level > 0)  # fmt: skip
    return np.asarray(np.clip(factor / np.where(mean > 0, mean, 1.0), *FACTOR_RANGE))


def choose_strength(earlier: Floats, later: Floats) -> float:
    """Return the strength whose factors of the earlier sums predict the later opens best (Poisson).

    The weakest effect wins ties, so that where categories have no hours of their own none is invented.
    """
    total = later[:, 1].sum(axis=1, keepdims=True)
    level = np.divide(later[:, 0].sum(axis=1, keepdims=True), total, out=np.ones_like(total), where=total > 0)
    best, best_score = STRENGTHS[0], -np.inf
    for strength in STRENGTHS:
        factor = factors(earlier, strength)
        # Rescaled to the later pushes' own hours: only the shape is judged, not the level.
        usual = later[:, 1] * level
        scale = np.divide((factor * usual).sum(axis=1, keepdims=True), usual.sum(axis=1, keepdims=True),
                          out=np.ones_like(total), where=total * level > 0)  # fmt: skip
        score = float((later[:, 0] * np.log(factor / np.where(scale > 0, scale, 1.0))).sum())
        if score > best_score + 1e-9:
            best, best_score = strength, score
    return best


def merge(parts: Sequence[Mapping[str, Sequence[Sequence[float]]]]) -> dict[str, Floats]:
    """Add the sums of all shards, by category name."""
    merged: dict[str, Floats] = {}
    for part in parts:
        for name, values in part.items():
            merged[name] = merged.get(name, 0.0) + np.asarray(values, dtype=np.float64)
    return {name: merged[name] for name in sorted(merged)}


@dataclass(frozen=True)
class CategoryHours:
    """How categories are opened by cell, (categories + 1, 48), the last row 1; `row` names the others."""

    row: Mapping[str, int]
    factor: Floats

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> CategoryHours:
        """Return what a commit of `send_times` says in its meta; an older one says nothing, and all are 1."""
        known: Mapping[str, list[float]] = meta.get("categories") or {}
        factor = np.vstack([*(np.asarray(known[name]) for name in known), np.ones(CELLS)])
        return cls({name: row for row, name in enumerate(known)}, factor)

    def rows(self, category_of: Mapping[str, str], materials: Sequence[str]) -> list[int]:
        """Return the row of each material's category; the last one for those without."""
        last = len(self.factor) - 1
        return [self.row.get(category_of.get(name, ""), last) for name in materials]
