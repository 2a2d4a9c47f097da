"""The random logging policy behind push_history, with exact propensities. Grain: push.

Each user-day has at most one push. (1) A coin falls with the person's and week's rate; (2) a campaign is
drawn by weight among those whose rule holds and whose topic and channel the person allows; (3) a UTC hour is
drawn uniformly over the day's hours that lie wholly in the allowed local hours: slot_propensity = 1 / their
number; (4) a material is drawn: epsilon uniform, else softmax over whether its category is among the person's
tags; material_propensity is that mixture. Conditional on a push, hour and material are independent of each
other and of everything the person does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from angelia.world import draws
from angelia.world.activity import CART, PURCHASE, Events
from angelia.world.clock import whole_hour
from angelia.world.draws import Bools, Floats, Ints
from angelia.world.parameters import parameters
from angelia.world.population import CHANNELS, Contact, People, topics


@dataclass
class Memory:
    """What the campaigns' rules look at, updated day by day; all (n,), days since 1970.

    Attributes:
        active_day: last day with an event; far past = never. bought_day: with a purchase. cart_day: with a
            cart and no purchase.
    """

    active_day: Ints
    bought_day: Ints
    cart_day: Ints

    @classmethod
    def empty(cls, size: int) -> Memory:
        """Return the memory of people whom the policy has not met yet."""
        return cls(*(np.full(size, -10_000, dtype=np.int64) for _ in range(3)))

    def see(self, events: Events, day: int) -> None:
        """Take in the events of a day."""
        self.active_day[events.row] = day
        self.cart_day[events.row[events.kind == CART]] = day
        bought = events.row[events.kind == PURCHASE]
        self.bought_day[bought] = day
        self.cart_day[bought] = -10_000


@dataclass(frozen=True)
class Pushes:
    """Pushes of one day, at most one per user, sorted by user; all (m,).

    Attributes:
        row: position among the people. campaign, material: codes of `names()`. channel: code in
            population.CHANNELS. at: seconds since 1970. slot_propensity, material_propensity: exact.
    """

    row: Ints
    campaign: Ints
    material: Ints
    channel: Ints
    at: Ints
    slot_propensity: Floats
    material_propensity: Floats

    def __len__(self) -> int:
        return len(self.row)


@cache
def names() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return campaign names and material names in code order."""
    materials = parameters().materials()
    return tuple(materials), tuple(name for group in materials.values() for name in group)


@cache
def material_campaign() -> Ints:
    """Return the campaign code of each material, (materials,)."""
    return np.repeat(np.arange(len(names()[0])), [len(group) for group in parameters().materials().values()])


def _eligible(person: People, contact: Contact, memory: Memory, day: int) -> tuple[Bools, Ints]:
    """Return who may get which campaign, and through which channel, both (n, campaigns).

    A channel is a code in CHANNELS, -1 = none.
    """
    given = parameters()
    reachable = contact.reachable(day)
    china = [country.code for country in given.countries].index("CN")
    guangdong = list(given.countries[china].provinces).index("guangdong")
    rules = {
        "everyone": np.ones(len(person), dtype=bool),
        "lapsed": memory.active_day < day - given.policy.lapsed_days,
        "cart_left": memory.cart_day >= day - 2,
        "newcomer": person.signup_day > day - given.policy.newcomer_days,
        "guangdong": (person.country == china) & (person.province == guangdong),
        "ordered": memory.bought_day >= day - 1,
    }
    may, through = [], []
    for campaign in given.campaigns.values():
        channel = np.full(len(person), -1, dtype=np.int64)
        for name in reversed(campaign.channels):
            channel[reachable[:, CHANNELS.index(name)]] = CHANNELS.index(name)
        allowed = rules[campaign.who] & (channel >= 0) & (person.signup_day <= day)
        if campaign.topic in topics():
            allowed &= contact.topic_out_day[:, topics().index(campaign.topic)] > day
        may.append(allowed)
        through.append(channel)
    return np.stack(may, axis=1), np.stack(through, axis=1)


def push_day(person: People, contact: Contact, memory: Memory, day: int) -> Pushes:
    """Draw the pushes of a UTC day; `memory` holds what happened up to the day before."""
    given = parameters()
    policy, salt = given.policy, str(day)
    level = policy.push_rate_sigma * draws.normal(person.keys, "push rate")
    level += policy.weekly_burst_sigma * draws.normal(person.keys, "push burst", str((day + 3) // 7))
    spread = policy.push_rate_sigma**2 + policy.weekly_burst_sigma**2
    rate = np.minimum(policy.push_rate * np.exp(level - spread / 2), 0.95)
    may, through = _eligible(person, contact, memory, day)
    row = np.flatnonzero((draws.uniform(person.keys, "push", salt) < rate) & may.any(axis=1))
    keys = person.keys[row]
    weights = np.array([campaign.weight for campaign in given.campaigns.values()])
    campaign = draws.pick(draws.uniform(keys, "campaign", salt), may[row] * weights)

    slots = whole_hour(day, *policy.allowed_hours)[person.timezone[row]]
    hour = draws.pick(draws.uniform(keys, "slot", salt), slots.astype(np.float64))
    slot_propensity = 1.0 / slots.sum(axis=1)
    at = day * 86_400 + hour * 3_600 + (3_600 * draws.uniform(keys, "second", salt)).astype(np.int64)

    candidates = material_campaign()[None, :] == campaign[:, None]
    category = np.array(
        [given.categories.index(c) for group in given.campaigns.values() for c in group.categories]
    )
    score = np.where(candidates, np.exp(policy.material_tag_score * person.tags[row][:, category]), 0.0)
    chance = (1.0 - policy.material_epsilon) * score / score.sum(axis=1, keepdims=True)
    chance += policy.material_epsilon * candidates / candidates.sum(axis=1, keepdims=True)
    material = draws.pick(draws.uniform(keys, "material", salt), chance)
    propensity = np.take_along_axis(chance, material[:, None], axis=1)[:, 0]
    return Pushes(row, campaign, material, through[row, campaign], at, slot_propensity, propensity)
