"""Pushes of a simulated shop, as they were sent and opened.

In memory only. A log is shared by the copies of a shop, so adding to it makes another one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from angelia.world.draws import Floats, Ints
from angelia.world.truth import materials


@dataclass
class Sent:
    """Messages of a night, all (m,).

    `slot` is in UTC hours since 1970; propensities are nan where unknown.
    """

    row: Ints
    campaign: list[str]
    material: list[str]
    slot: Ints
    message_id: list[str]
    slot_propensity: Floats
    material_propensity: Floats
    predicted: Floats = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class PushPart:
    """Pushes that were added together, all (m,).

    Sent in seconds since 1970, opened likewise (-1 = never); category as its code. `days` are the UTC days on
    which something was sent or opened.
    """

    sent: Sent
    at: Ints
    opened_at: Ints
    category: Ints
    days: frozenset[int]


class PushLog:
    """Every push so far, part by part; joined into arrays (m,) where they are asked for."""

    def __init__(self, parts: tuple[PushPart, ...] = ()) -> None:
        self.parts = parts

    def and_(self, sent: Sent, at: Ints, opened_at: Ints) -> PushLog:
        """Return the log with more pushes."""
        distinct = sorted(set(sent.material))
        code = dict(zip(distinct, materials(distinct).category.tolist(), strict=True))
        category = np.array([code[name] for name in sent.material], np.int64)
        days = frozenset(np.unique(np.r_[at, opened_at[opened_at >= 0]] // 86_400).tolist())
        return PushLog((*self.parts, PushPart(sent, at, opened_at, category, days)))

    def of_day(self, day: int) -> PushLog:
        """Return the parts of which something was sent or opened on a UTC day."""
        return PushLog(tuple(part for part in self.parts if day in part.days))

    @cached_property
    def sent(self) -> Sent:
        """Return what was sent."""
        each = [part.sent for part in self.parts]
        return Sent(
            _joined([sent.row for sent in each]),
            [name for sent in each for name in sent.campaign],
            [name for sent in each for name in sent.material],
            _joined([sent.slot for sent in each]),
            [name for sent in each for name in sent.message_id],
            np.concatenate([np.zeros(0), *(sent.slot_propensity for sent in each)]),
            np.concatenate([np.zeros(0), *(sent.material_propensity for sent in each)]),
        )

    @cached_property
    def at(self) -> Ints:
        """Return when each push was sent, in seconds since 1970."""
        return _joined([part.at for part in self.parts])

    @cached_property
    def opened_at(self) -> Ints:
        """Return when each push was opened, in seconds since 1970; -1 = never."""
        return _joined([part.opened_at for part in self.parts])

    @cached_property
    def row(self) -> Ints:
        """Return who got each push."""
        return _joined([part.sent.row for part in self.parts])

    @cached_property
    def category(self) -> Ints:
        """Return the category code of each push."""
        return _joined([part.category for part in self.parts])


def _joined(parts: list[Ints]) -> Ints:
    return np.concatenate([np.zeros(0, np.int64), *parts])
