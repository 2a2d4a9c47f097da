"""Policies of the closed loop: each turns a night's offers into messages.

Add your own: a policy is a function from a `PolicyView` to `Messages`. It may use the lake's datasets as of
the night (scores, curves, who may get what); `oracle` and the `true_*` ones alone ask the world.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from angelia.catalog.snapshot import load_snapshot
from angelia.contracts.ids import message_id, uniform
from angelia.output import progress
from angelia.planning import Choice, solve_here
from angelia.planning.eligibility import (
    F64,
    OPEN,
    Pairs,
    ShardPeople,
    assemble,
    build,
    cells,
    open_hours,
    slot_chance,
)
from angelia.planning.exploring import draw_slots, thin_drawn
from angelia.planning.inputs import (
    Inputs,
    ShardInputs,
    category_hours,
    days_needed,
    find_inputs,
    load_shard,
    terms_of,
)
from angelia.planning.offers import CampaignOffer, Drawn, MaterialFacts, draw_material, gather, material_facts
from angelia.planning.problem import count_of
from angelia.planning.terms import Terms
from angelia.rehearsal.push_log import Sent
from angelia.rehearsal.site import Site
from angelia.timing.busiest import busiest_of
from angelia.timing.category_hours import CategoryHours
from angelia.world.draws import Bools, Ints
from angelia.world.parameters import parameters
from angelia.world.truth import attention, click_probability, delivery_probability, materials
from models.features import Context
from models.scorer import COLUMNS
from spark_jobs.shard_work.steering import risk_sample


@dataclass
class PolicyView:
    """What a policy may look at."""

    site: Site
    ds: str
    terms: Terms
    inputs: Inputs
    facts: MaterialFacts
    hours: CategoryHours
    people: ShardPeople
    offers: list[CampaignOffer]
    shard: ShardInputs  # with our own draws
    contexts: dict[tuple[str, str], Context]

    @classmethod
    def of(cls, site: Site, ds: str, lead_hours: int = 28) -> PolicyView:
        """Read a night's inputs."""
        catalog = load_snapshot(site.lake, ds)
        terms = terms_of(catalog, ds, lead_hours, None)
        inputs = find_inputs(site.lake, ds, days_needed(terms, 28))
        facts = material_facts(catalog.materials)
        shard = load_shard(site.lake, inputs, terms, facts, 0)
        hours = category_hours(inputs)
        contexts = {
            (campaign.id, name): Context(campaign.id, name, campaign.topic, catalog.materials[name].category)
            for campaign in catalog.campaigns.values()
            for name in campaign.materials
        }
        return cls(site, ds, terms, inputs, facts, hours, shard.people, shard.offers, shard, contexts)

    @property
    def cell(self) -> Ints:
        """Return each person's cell of the curves by slot, (n, h)."""
        local, _, off = open_hours(self.terms, self.people)
        return cells(local, off)

    @property
    def slot_hours(self) -> Ints:
        """Return the slots as UTC hours since 1970."""
        return self.terms.slots().astype("datetime64[h]").astype(np.int64)

    def with_materials(self, drawn: list[Drawn]) -> ShardInputs:
        """Return the shard with other materials chosen."""
        pairs, material, chance, eligible = gather(self.terms, self.offers, drawn, self.facts, self.hours)
        pairs = replace(pairs, fatigue=self.shard.pairs.fatigue)
        return ShardInputs(self.people, pairs, self.shard.past, material, chance, eligible, self.offers)

    def drawn_again(self, offers: list[CampaignOffer]) -> ShardInputs:
        """Return the shard with materials drawn from other scores, or on other terms."""
        night = open_hours(self.terms, self.people)
        drawn = [draw_material(self.terms, self.people, night, o, self.facts, self.hours) for o in offers]
        # The plan must see the scores that the materials were drawn from.
        return replace(self, offers=offers).with_materials(drawn)


Policy = Callable[[PolicyView, int | None], Sent]


class Truth:
    """The true probability of an open, before a material's appeal.

    By person, category and slot of a night.
    """

    def __init__(self, night: PolicyView) -> None:
        site, hours = night.site, night.slot_hours
        n, h = len(night.people.user_id), len(hours)
        person, k = site.person, len(parameters().categories)
        rows = np.repeat(np.arange(n), h)
        when = np.tile(hours, n)
        self.see = (-np.expm1(-attention(person, rows, when).sum(axis=1))).reshape(n, h)
        self.logit = np.empty((n, k, h))
        felt, own = site.felt_grid(hours)
        for category in range(k):
            kind, its = np.full(len(rows), category), own[:, category].ravel()
            p = click_probability(person, rows, kind, np.zeros(len(rows)), when, felt.ravel(), its)
            self.logit[:, category] = np.log(p / (1 - p)).reshape(n, h)

    def of(self, user: Ints, names: list[str]) -> F64:
        """Return p(open) of users for their materials by slot, (m, h)."""
        facts = materials(names)
        logit = self.logit[user, facts.category] + facts.appeal[:, None]
        given = parameters().response
        click = 1.0 / (1.0 + np.exp(-logit))
        seen = given.channel["fcm"] * self.see[user] * click
        return np.asarray(delivery_probability() * np.minimum(seen, given.max_probability))


def planned(night: PolicyView, shard: ShardInputs, chance: F64 | None, *, explore: bool = True) -> Sent:
    """Return the joint plan's messages for drawn materials and a chance of opening per slot."""
    if chance is not None:
        shard = replace(shard, pairs=as_good_later(night, shard.pairs, chance))
    terms = steered(night, shard, chance)
    problem, outcome, _ = build(terms, shard.people, shard.pairs, shard.past, chance)
    limits, reserve = terms.limits(), terms.explore_limits()
    drawn, slot_propensity = draw_slots(terms, shard.people, problem, outcome, shard.pairs.p_open)
    rows = np.flatnonzero(drawn.slot >= 0)
    demand = count_of(problem.constraints(drawn, rows, limits), limits)
    thinned, _ = thin_drawn(problem, limits, drawn, demand, reserve)
    _, choice = solve_here(problem, limits, thinned)
    where = np.where(problem.is_explore, slot_propensity, np.nan)
    return messages(night, shard, choice, where, chance)


def as_good_later(night: PolicyView, pairs: Pairs, chance: F64) -> Pairs:
    """Return pairs whose later nights are as much better than tonight as ours knows them.

    A better chance tonight, (m, h), is one on later nights, too: else who is underrated would never wait.
    """
    if pairs.later is None:
        return pairs
    local, _, off = open_hours(night.terms, night.people)
    ours, better = (each.max(axis=1) for each in (slot_chance(night.people, pairs, local, off), chance))
    ratio = np.divide(better, ours, out=np.zeros(len(ours)), where=ours > 0)
    return replace(pairs, later=pairs.later * ratio[:, None])


def steered(night: PolicyView, shard: ShardInputs, chance: F64 | None) -> Terms:
    """Return the terms with the price that keeps refusals to the policy's limit, if it has one."""
    terms = night.terms
    if terms.refusals_at_most is None:
        return terms
    built = assemble(terms, shard.people, shard.pairs, shard.past, chance)
    sample = risk_sample(built, terms, shard.people, busiest_of(night.inputs.send_times.meta))
    price = sample.price(terms, terms.limits(), sample.problem.n_users, progress)
    return replace(terms, refusal_price=price)


def messages(
    night: PolicyView, shard: ShardInputs, choice: Choice, slot_propensity: F64, chance: F64 | None
) -> Sent:
    """Return the chosen pairs as messages."""
    if chance is None:
        local, _, off = open_hours(night.terms, night.people)
        chance = slot_chance(shard.people, shard.pairs, local, off)
    rows = np.flatnonzero(choice.slot >= 0)
    user, campaigns = shard.pairs.user[rows], night.terms.campaigns
    numbers = shard.pairs.campaign[rows].tolist()
    keys = [
        message_id(campaigns[k].id, shard.people.user_id[u], campaigns[k].occurrence)
        for u, k in zip(user.tolist(), numbers, strict=True)
    ]
    return Sent(
        user,
        [campaigns[k].id for k in numbers],
        [str(shard.material[i]) for i in rows.tolist()],
        night.slot_hours[choice.slot[rows]],
        keys,
        slot_propensity[rows],
        shard.material_propensity[rows],
        chance[rows, choice.slot[rows]],
    )


def ours(night: PolicyView, volume: int | None) -> Sent:
    """Plan as the product does."""
    return planned(night, night.shard, None)


def unpriced(night: PolicyView, volume: int | None) -> Sent:
    """Plan like ours as if messages cost nothing later."""
    return planned(replace(night, terms=replace(night.terms, fatigue_weight=0.0)), night.shard, None)


def greedy(night: PolicyView, offer: CampaignOffer) -> Drawn:
    """Take the material of the highest score."""
    score = np.where(np.isnan(offer.p_open), -1.0, offer.p_open)
    best = score.argmax(axis=1)
    return np.where(score.max(axis=1, initial=-1.0) >= 0, best, -1), np.ones(len(best))


def usual(night: PolicyView, volume: int | None) -> Sent:
    """Serve people first come at their most active hour with the highest predicted rate.

    The rate is predicted by campaign and material.
    """
    assert night.site.usual is not None
    features = night.site.lake.require("user_features", ds=night.ds)
    users = night.site.lake.read(features, ["ordinal", *COLUMNS]).sort_by("ordinal")
    offers = []
    for offer in night.offers:
        contexts = [night.contexts[night.terms.campaigns[offer.number].id, name]
                    for name in night.terms.campaigns[offer.number].materials]  # fmt: skip
        score = night.site.usual.scores(users, offer.user, contexts)
        offers.append(replace(offer, p_open=np.where(np.isnan(offer.p_open), np.nan, score)))
    night = replace(night, offers=offers)
    shard = night.with_materials([greedy(night, offer) for offer in night.offers])
    active = night.site.activity(night.ds)
    order = np.take_along_axis(active, night.cell, 1) + 1e-9 * night.slot_hours[None, :] % 7e-7
    value = np.broadcast_to(shard.pairs.p_open[:, None], (len(shard.pairs.user), order.shape[1]))
    return first_come(night, shard, value.mean(axis=1), order, volume)


def evenly(night: PolicyView, purpose: str) -> list[Drawn]:
    """Draw a material of each campaign for everybody, evenly among those that they may get."""
    drawn: list[Drawn] = []
    for offer in night.offers:
        lot = uniform(night.people.keys[offer.user], purpose, str(offer.number), night.ds)
        may = ~np.isnan(offer.p_open)
        n_may = may.sum(axis=1)
        drawn.append((np.where(n_may > 0, nth_true(may, lot), -1), 1.0 / np.maximum(n_may, 1)))
    return drawn


def nth_true(may: Bools, lot: F64) -> Ints:
    """Return the column of one true entry of each row, (m,), picked by a lot in [0, 1)."""
    rank = np.cumsum(may, axis=1)
    return np.asarray((rank <= np.floor(lot * rank[:, -1])[:, None]).sum(axis=1))


def random(night: PolicyView, volume: int | None) -> Sent:
    """Draw campaign, material and hour."""
    keys, drawn = night.people.keys, evenly(night, "random")
    shard = night.with_materials(drawn)
    pairs = shard.pairs
    value = uniform(keys[pairs.user] + pairs.campaign.astype(np.uint64), "campaign", night.ds)
    h = night.terms.n_slots
    order = np.stack([uniform(keys, "hour", str(s), night.ds) for s in range(h)], axis=1)
    return first_come(night, shard, value, order, volume)


def first_come(night: PolicyView, shard: ShardInputs, value: F64, order: F64, volume: int | None) -> Sent:
    """Serve people in a random order, each their best pair in their best open hour with room.

    A second message follows where caps and gap allow, once everybody had a first, up to `volume` messages.
    """
    # Other products know no price of a refusal, which would take away the room for second messages, and no
    # message of theirs waits for a better night.
    terms = replace(night.terms, refusal_opens=0.0, refusals_at_most=None)
    shard = replace(shard, pairs=replace(shard.pairs, later=None))
    problem, outcome, _ = build(terms, shard.people, shard.pairs, shard.past)
    limits = terms.limits()
    left = limits.capacity.sum(axis=0)
    budget = limits.budget.copy()
    choice = Choice.none(problem.n_pairs)
    may = problem.allowed & (outcome == OPEN)[:, None] & (problem.room[problem.pair_user] >= 1)
    starts = np.searchsorted(problem.pair_user, np.arange(problem.n_users + 1))
    turn = np.argsort(uniform(shard.people.keys, "turn", night.ds))
    sent, most = 0, np.inf if volume is None else volume
    taken: dict[int, list[int]] = {}
    for lap in range(2):
        for user in turn.tolist():
            if sent >= most:
                break
            mine = np.arange(starts[user], starts[user + 1])
            mine = mine[(choice.slot[mine] < 0) & (budget[problem.pair_campaign[mine]] > 0)]
            if not len(mine):
                continue
            free = may[mine] & (left > 0)
            # The second lap only: nobody has a second message while others wait for their first.
            if lap:
                near = [
                    abs(np.arange(terms.n_slots) - slot) < limits.gap_slots for slot in taken.get(user, [])
                ]
                for mask in near:
                    free &= ~mask
                if limits.max_messages < 2 or (problem.room[user] < 2).all():
                    continue
            ok = np.flatnonzero(free.any(axis=1))
            if not len(ok):
                continue
            row = ok[np.argmax(value[mine[ok]])]
            slot = int(np.argmax(np.where(free[row], order[user], -1.0)))
            pair = int(mine[row])
            choice.slot[pair], choice.channel[pair] = slot, 0
            left[slot] -= 1
            budget[problem.pair_campaign[pair]] -= 1
            taken.setdefault(user, []).append(slot)
            sent += 1
    return messages(night, shard, choice, np.full(problem.n_pairs, np.nan), None)


def oracle(night: PolicyView, volume: int | None) -> Sent:
    """Plan with true probabilities, and with each campaign's best material by the truth."""
    truth = Truth(night)
    drawn = [best_true(night, truth, offer) for offer in night.offers]
    shard = night.with_materials(drawn)
    pairs = shard.pairs
    chance = np.zeros((len(pairs.user), night.terms.n_slots))
    has = np.flatnonzero(pairs.has_material)
    chance[has] = truth.of(pairs.user[has], [str(shard.material[i]) for i in has.tolist()])
    return planned(night, shard, chance)


def best_true(night: PolicyView, truth: Truth, offer: CampaignOffer) -> Drawn:
    """Return the material whose best allowed slot is truly best."""
    campaign = night.terms.campaigns[offer.number]
    grid = np.full(offer.p_open.shape, -1.0)
    _, quiet, _ = open_hours(night.terms, night.people)
    for column, name in enumerate(campaign.materials):
        chance = np.where(quiet[offer.user], 0.0, truth.of(offer.user, [name] * len(offer.user)))
        grid[:, column] = np.where(np.isnan(offer.p_open[:, column]), -1.0, chance.max(axis=1))
    best = grid.argmax(axis=1)
    return np.where(grid.max(axis=1, initial=-1.0) >= 0, best, -1), np.ones(len(best))


def true_material(night: PolicyView, volume: int | None) -> Sent:
    """Ours with the true score of each material (at its mean hour) in place of the model's."""
    truth = Truth(night)
    offers = []
    for offer in night.offers:
        campaign, grid = night.terms.campaigns[offer.number], offer.p_open.copy()
        for column, name in enumerate(campaign.materials):
            mean = truth.of(offer.user, [name] * len(offer.user)).mean(axis=1)
            grid[:, column] = np.where(np.isnan(grid[:, column]), np.nan, mean)
        offers.append(replace(offer, p_open=grid))
    return planned(night, night.drawn_again(offers), None)


def unexplored(night: PolicyView, volume: int | None) -> Sent:
    """Plan like ours without anything spent on learning: the best material, and no drawn hours."""
    night = replace(night, terms=replace(night.terms, epsilon=1e-9, explore_pct=0.0))
    return planned(night, night.drawn_again(night.offers), None)


def true_hour(night: PolicyView, volume: int | None) -> Sent:
    """Plan like ours, with the true shape over hours of what was drawn.

    It replaces the curve and the category factor.
    """
    truth, shard = Truth(night), night.shard
    pairs = shard.pairs
    has = np.flatnonzero(pairs.has_material)
    shape = np.ones((len(pairs.user), night.terms.n_slots))
    p = truth.of(pairs.user[has], [str(shard.material[i]) for i in has.tolist()])
    shape[has] = p / p.mean(axis=1, keepdims=True)
    return planned(night, shard, np.clip(pairs.p_open[:, None] * shape, 0.0, 1.0))


POLICIES: dict[str, Policy] = {
    "ours": ours,
    "usual": usual,
    "random": random,
    "oracle": oracle,
    "true_material": true_material,
    "true_hour": true_hour,
    "unexplored": unexplored,
    "unpriced": unpriced,
}
