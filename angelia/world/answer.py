"""Draw answers to pushes from the truth: opened when, bounced, refused. Grain: push.

User and UTC hour identify a push, so an answer is the same whenever and however often it is drawn.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from angelia.contracts import ids
from angelia.world import draws
from angelia.world.draws import Bools, Floats, Ints, Keys
from angelia.world.parameters import parameters
from angelia.world.population import People
from angelia.world.truth import attention, click_probability, delivery_probability

NOT_OPENED = -1


class Answers(NamedTuple):
    """Answers to m pushes that a provider accepted; all (m,).

    Attributes:
        probability: of an open (delivery included). opened_at: seconds since 1970, NOT_OPENED = -1.
        is_bounced: the address turned out to be dead. is_delivered: reached the phone. seen: probability that
            it was looked at. keys: one draw key per push.
    """

    probability: Floats
    opened_at: Ints
    is_bounced: Bools
    is_delivered: Bools
    seen: Floats
    keys: Keys


def answer(
    person: People,
    row: Ints,
    category: Ints,
    appeal: Floats,
    channel_factor: Floats,
    sent_at: Ints,
    felt: Floats,
    felt_category: Floats,
) -> Answers:
    """Answer pushes; all arguments (m,), `sent_at` in seconds since 1970."""
    given = parameters().response
    hours = sent_at // 3_600
    levels = attention(person, row, hours)
    seen = -np.expm1(-levels.sum(axis=1))
    click = click_probability(person, row, category, appeal, hours, felt, felt_category)
    probability = np.minimum(channel_factor * seen * click, given.max_probability)
    keys = draws.counted(ids.mix(person.keys[row], "answer"), hours)
    bounced = draws.uniform(keys, "bounce") < given.bounce_share
    delivered = ~bounced & (draws.uniform(keys, "delivery") < given.delivered_share)
    opened = delivered & (draws.uniform(keys, "open") < probability)
    # The hour after the send is drawn with the truth's own probabilities. Within the first hour people look
    # soon; in later hours any minute is as likely.
    ahead = draws.pick(draws.uniform(keys, "delay"), levels)
    within = draws.uniform(keys, "within")
    delay = np.where(ahead == 0, 20.0 + 3_500.0 * within**2.5, 3_600.0 * (ahead - 0.5 + within))
    opened_at = np.where(opened, sent_at + delay.astype(np.int64), NOT_OPENED)
    return Answers(probability * delivery_probability(), opened_at, bounced, delivered, seen, keys)


def unsubscribed(answers: Answers, felt: Floats) -> Bools:
    """Return who refuses the topic in answer to a push, (m,).

    Refusals are rare, and likelier the more earlier pushes are still felt.
    """
    chance = parameters().response.unsubscribe_share * answers.seen * (1.0 + felt)
    return np.asarray(answers.is_delivered & (draws.uniform(answers.keys, "refuse") < chance))
