"""Simulate a window of days for one block of people. Grain: user x day.

Each day has pushes, answers, fatigue, visits and events. Days follow each other because fatigue and the
policy's rules look back; blocks of people do not touch, so they may run in any process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from angelia.world import draws
from angelia.world.activity import Events, join, organic_day, visits
from angelia.world.answer import Answers, answer
from angelia.world.draws import Floats, Ints
from angelia.world.parameters import parameters
from angelia.world.policy import Memory, Pushes, names, push_day
from angelia.world.population import CHANNELS, Contact, People, contact
from angelia.world.truth import World, materials


@dataclass
class _Fatigue:
    """Pushes still felt, (n,) and by category (n, categories), as of hour `at` (n,)."""

    felt: Floats
    by_category: Floats
    at: Floats

    def before(self, person: People, row: Ints, hours: Floats, category: Ints) -> tuple[Floats, Floats]:
        """Return what people[row] feel just before pushes at `hours`, and count those pushes in."""
        still = np.exp(-(hours - self.at[row]) / (24.0 * person.fatigue_days[row]))
        felt, all_categories = self.felt[row] * still, self.by_category[row] * still[:, None]
        own = np.take_along_axis(all_categories, category[:, None], axis=1)[:, 0]
        np.put_along_axis(all_categories, category[:, None], own[:, None] + 1.0, axis=1)
        self.felt[row], self.by_category[row], self.at[row] = felt + 1.0, all_categories, hours
        return felt, own


@dataclass(frozen=True)
class SimulatedDay:
    """One simulated day of a block: pushes, their answers, and the events that happened on it."""

    day: int
    pushes: Pushes
    answers: Answers
    events: Events


def simulate(world: World, person: People, first_day: int, last_day: int) -> Iterator[SimulatedDay]:
    """Yield the days [first_day, last_day] of a block of people."""
    given = parameters()
    reach: Contact = contact(person, world.anchor_day)
    memory = Memory.empty(len(person))
    # A person whom the policy has never seen is not lapsed but unknown: counting starts at the window's first
    # day.
    memory.active_day[:] = first_day - 1
    fatigue = _Fatigue(
        np.zeros(len(person)),
        np.zeros((len(person), len(given.categories))),
        np.full(len(person), first_day * 24.0),
    )
    facts = materials(names()[1])
    factor = np.array([given.response.channel[name] for name in CHANNELS])
    carried: tuple[Ints, Ints, Ints] = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))
    for day in range(first_day, last_day + 1):
        pushes = push_day(person, reach, memory, day)
        category = facts.category[pushes.material]
        felt, own = fatigue.before(person, pushes.row, pushes.at / 3_600.0, category)
        answers = answer(
            person,
            pushes.row,
            category,
            facts.appeal[pushes.material],
            factor[pushes.channel],
            pushes.at,
            felt,
            own,
        )
        # An open may fall on the next day: it is carried there and starts its visit then.
        opened = np.flatnonzero(answers.opened_at >= 0)
        row, what, when = (
            np.concatenate([old, new])
            for old, new in zip(
                carried, (pushes.row[opened], category[opened], answers.opened_at[opened]), strict=True
            )
        )
        today = when < (day + 1) * 86_400
        carried = (row[~today], what[~today], when[~today])
        events = join(
            [organic_day(person, day), visits(person, *numbered(row[today], what[today], when[today]), day)]
        )
        memory.see(events, day)
        yield SimulatedDay(day, pushes, answers, events)


def numbered(row: Ints, category: Ints, opened_at: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Return (row, number, category, opened_at) of opens, sorted by user and time.

    The number counts within the user's day.
    """
    order = np.lexsort((opened_at, row))
    row, category, opened_at = row[order], category[order], opened_at[order]
    starts = np.r_[0, np.flatnonzero(np.diff(row)) + 1] if len(row) else np.zeros(0, dtype=np.int64)
    number = np.arange(len(row)) - np.repeat(starts, np.diff(np.r_[starts, len(row)]))
    return row, number, category, opened_at


def late_by(person: People, events: Events, day: int) -> Ints:
    """Return by how many days each event arrives late, 0..3, (m,).

    Only organic events are late, so that a later day can derive them again.
    """
    keys = draws.counted(person.keys[events.row], events.number)
    late = (draws.uniform(keys, "late", str(day)) * 100.0 < parameters().dirt.late_events) & (
        events.number < 1_000
    )
    return np.where(late, 1 + (3 * draws.uniform(keys, "late by", str(day))).astype(np.int64), 0)
