"""Draws answers to pushes from the truth: opened when, delivered, bounced, refused. Grain: push.

One push is told from another by user and UTC hour, so an answer is the same whenever and however often it is asked for.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from angelia.contracts import ids
from angelia.world import draws
from angelia.world.draws import Floats, Ints, Keys
from angelia.world.parameters import parameters
from angelia.world.population import People
from angelia.world.truth import attention, click_probability

NOT_OPENED = -1


class Answers(NamedTuple):
    """Answers to m pushes: probability of an open, and when it was opened in seconds since 1970 (NOT_OPENED = -1)."""

    probability: Floats
    opened_at: Ints
    keys: Keys
    seen: Floats


def answer(
    person: People, row: Ints, category: Ints, appeal: Floats, channel_factor: Floats, sent_at: Ints, felt: Floats, felt_category: Floats
) -> Answers:
    """Answer pushes; all arguments (m,), `sent_at` in seconds since 1970."""
    given = parameters().response
    hours = sent_at // 3_600
    levels = attention(person, row, hours)
    seen = -np.expm1(-levels.sum(axis=1))
    click = click_probability(person, row, category, appeal, hours, felt, felt_category)
    probability = np.minimum(channel_factor * seen * click, given.max_probability)
    keys = draws.counted(ids.mix(person.keys[row], "answer"), hours)
    opened = draws.uniform(keys, "open") < probability
    # Seen in hour k after the send with the probability the truth gives that hour; within the first hour soon, later anywhere.
    ahead = draws.pick(draws.uniform(keys, "delay"), levels)
    within = draws.uniform(keys, "within")
    delay = np.where(ahead == 0, 20.0 + 3_500.0 * within**2.5, 3_600.0 * (ahead - 0.5 + within))
    opened_at = np.where(opened, sent_at + delay.astype(np.int64), NOT_OPENED)
    return Answers(probability, opened_at, keys, seen)
