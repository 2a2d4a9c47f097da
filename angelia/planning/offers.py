"""What each campaign offers each person, and the draw of one material with the hour.

Grain: user x campaign x material, then user x campaign. Reads and writes nothing. The draw's worth of a
    material is its score at the person's good open hours, so a category that is opened in the evening gains
    where the evening is open. Propensities are exact given the scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts.ids import uniform
from angelia.matching import assign_arms, draw, inverse_gap
from angelia.planning.eligibility import (
    F64,
    NightHours,
    Pairs,
    ShardPeople,
    campaign_hours,
    cells,
)
from angelia.planning.postponing import NIGHTS_AHEAD, Prospect
from angelia.planning.problem import I64, Bools
from angelia.planning.terms import CampaignTerms, Terms
from angelia.timing.category_hours import CategoryHours
from angelia.timing.local_time import within_days

LIFT_BITS = 24  # binary places of lift, which is some ten times smaller than a chance to open


@dataclass(frozen=True)
class MaterialFacts:
    """What a plan must know of materials: categories, and languages where limited."""

    locales: Mapping[str, frozenset[str]]
    category: Mapping[str, str]
    days: Mapping[str, tuple[date, date]] = field(default_factory=dict)  # of those that have a first or last


class MaterialDocument(Protocol):
    """What a plan reads of a material's document."""

    @property
    def locales(self) -> tuple[str, ...] | None:
        """The languages it is for; None = all."""

    @property
    def category(self) -> str | None:
        """Its category, if it has one."""

    @property
    def valid_from(self) -> date | None:
        """The first local day on which it may be shown, if it has one."""

    @property
    def valid_until(self) -> date | None:
        """The last local day on which it may be shown, if it has one."""


def material_facts(documents: Mapping[str, MaterialDocument]) -> MaterialFacts:
    """Return what a plan must know of the catalog's materials."""
    return MaterialFacts(
        {name: frozenset(each.locales) for name, each in documents.items() if each.locales is not None},
        {name: each.category for name, each in documents.items() if each.category is not None},
        {
            name: (each.valid_from or date.min, each.valid_until or date.max)
            for name, each in documents.items()
            if each.valid_from or each.valid_until
        },
    )


@dataclass(frozen=True)
class CampaignOffer:
    """A campaign's candidates: user rows (m,), p(open) by material (m, k); NaN = may not.

    `doubt` is how much of each material is still unknown, (k,) in (0, 1]; None = everything. `lift` is what
    a message at a mean hour changes for each user, in micro-units, (m,); None = the campaign does not ask.
    `ahead` is what later nights promise; None = its messages do not wait.
    """

    number: int
    user: I64
    p_open: F64
    doubt: F64 | None = None
    lift: F64 | None = None
    ahead: Prospect | None = None


def may_show(
    terms: Terms,
    people: ShardPeople,
    campaign: CampaignTerms,
    user: I64,
    facts: MaterialFacts,
    night: tuple[NightHours, I64],
) -> Bools:
    """Return which of a campaign's materials are for people's arm, language and days, (m, k).

    `night` is what `clock_hours` returns. Where all hours are closed days do not matter: nothing is sent.
    """
    may = np.ones((len(user), len(campaign.materials)), bool)
    if campaign.arms:
        arm = assign_arms(people.keys[user], campaign.salt, [a.share_pct for a in campaign.arms])
        of_arm = np.array([[a.may_show(name) for name in campaign.materials] for a in campaign.arms], bool)
        may &= of_arm[arm]
    (local, quiet, _), clock = night
    for column, name in enumerate(campaign.materials):
        if name in facts.locales:
            may[:, column] &= [people.locale[row] in facts.locales[name] for row in user.tolist()]
        if name in facts.days:
            hours = campaign_hours(terms, campaign, local)
            hours = hours if campaign.is_exempt else hours & ~quiet
            span = np.array(facts.days[name], "datetime64[D]")
            fits = np.any(hours & within_days(local.date, span), axis=1) | ~np.any(hours, axis=1)
            may[:, column] &= fits[clock[user]]
    return may


# Squarings of the power mean over open hours: its power is 4. Squares and their roots are exact to the last
# bit on every processor, other powers are not.
SQUARINGS = 2

Drawn = tuple[I64, F64]  # material number of each candidate (-1 = none), and its propensity (NaN = none)


def draw_material(
    terms: Terms,
    people: ShardPeople,
    night: NightHours,
    offer: CampaignOffer,
    facts: MaterialFacts,
    hours: CategoryHours,
    clock: I64 | None = None,
) -> Drawn:
    """Draw each candidate's material by what it earns at the good hours that are open to it.

    `night` is by person, or by clock where `clock` names each person's, (n,).
    """
    campaign = terms.campaigns[offer.number]
    worth = offer.p_open * hour_gains(terms, people, night, campaign, offer.user, facts, hours, clock)
    probability = inverse_gap(worth, terms.epsilon, offer.doubt)
    lot = uniform(people.keys[offer.user], terms.salt, campaign.id, campaign.occurrence, "material")
    picked = draw(probability, lot)
    at = np.maximum(picked, 0)[:, None]
    return picked, np.where(picked >= 0, np.take_along_axis(probability, at, 1)[:, 0], np.nan)


def hour_gains(
    terms: Terms,
    people: ShardPeople,
    night: NightHours,
    campaign: CampaignTerms,
    user: I64,
    facts: MaterialFacts,
    hours: CategoryHours,
    clock: I64 | None = None,
) -> F64:
    """Return each material's response at its good open hours over a mean hour's, (m, k).

    `night` and `clock` are as in `draw_material`.
    """
    local, quiet, off = night
    may = campaign_hours(terms, campaign, local)
    if not campaign.is_exempt:
        may = may & ~quiet
    cell, weekday = cells(local, off), local.weekday.astype(np.int64)
    own = user if clock is None else clock[user]
    curve = np.where(may[own], people.curves[user[:, None], cell[own]], 0.0)
    rows = hours.rows(facts.category, campaign.materials)
    best = {row: good_hours(curve * hours.at(row, cell, weekday)[own], curve > 0) for row in set(rows)}
    # Nobody whose hours are all closed is sent anything; their draw keeps to the scores.
    return np.stack([np.where(best[row] > 0, best[row], 1.0) for row in rows], axis=1)


def good_hours(response: F64, is_open: Bools) -> F64:
    """Return the response at each person's good hours: a power mean over the open ones, (m,).

    Not the best hour alone: that one may go to the person's better message, and another material then wants a
    good hour beside it. Both arguments are (m, h), `response` 0 where an hour is closed.
    """
    for _ in range(SQUARINGS):
        response = response * response
    mean = response.sum(axis=1) / np.maximum(is_open.sum(axis=1), 1)
    for _ in range(SQUARINGS):
        mean = np.sqrt(mean)
    return np.asarray(mean)


def gather(
    terms: Terms,
    offers: Sequence[CampaignOffer],
    drawn: Sequence[Drawn],
    facts: MaterialFacts,
    hours: CategoryHours,
) -> tuple[Pairs, list[str | None], F64, pa.BinaryArray]:
    """Return the pairs in user order, and what was drawn for each.

    That is the material (None = none), its propensity, and what it was drawn from (`choice_sets`).
    """
    empty = np.zeros(0, np.int64)
    user = np.concatenate([*(offer.user for offer in offers), empty])
    number = np.concatenate([*(np.full(len(offer.user), offer.number) for offer in offers), empty])
    picked = np.concatenate([*(which for which, _ in drawn), empty])
    propensity = np.concatenate([*(chance for _, chance in drawn), np.zeros(0)])
    p_open, names, category = [np.zeros(0)], [np.zeros(0, object)], [empty]
    always, days = (date.min, date.max), [np.zeros((0, 2), "datetime64[D]")]
    later = [np.zeros((0, NIGHTS_AHEAD))]
    for offer, (which, _) in zip(offers, drawn, strict=True):
        materials = terms.campaigns[offer.number].materials
        score = np.take_along_axis(offer.p_open, np.maximum(which, 0)[:, None], 1)[:, 0]
        p_open.append(np.where(which >= 0, np.nan_to_num(score), 0.0))
        names.append(np.array([*materials, None], object)[which])
        category.append(np.array([*hours.rows(facts.category, materials), len(hours.factor) - 1])[which])
        spans = [*(facts.days.get(name, always) for name in materials), always]
        days.append(np.array(spans, "datetime64[D]")[which])
        later.append(
            np.zeros((len(which), NIGHTS_AHEAD)) if offer.ahead is None else offer.ahead.drawn(which)
        )
    sets = [choice_sets(offer.p_open) for offer in offers]
    lift = None
    # Nights without a lift model carry no column of zeros, which would read as a lift of nothing.
    if any(offer.lift is not None for offer in offers):
        each = [np.zeros(len(offer.user)) if offer.lift is None else offer.lift for offer in offers]
        lift = np.concatenate(each)
    order = np.lexsort((number, user))
    pairs = Pairs(
        user[order],
        number[order],
        np.concatenate(p_open)[order],
        (picked >= 0)[order],
        np.concatenate(category)[order],
        hours,
        lift=None if lift is None else lift[order],
        days=np.concatenate(days)[order] if facts.days else None,
        later=np.concatenate(later)[order] if any(offer.ahead for offer in offers) else None,
    )
    eligible = pa.concat_arrays([*sets, pa.array([], pa.binary())]).take(pa.array(order))
    return pairs, np.concatenate(names)[order].tolist(), propensity[order], eligible


def lift_worth(scores: pa.Table, campaign: CampaignTerms, ordinals: npt.NDArray[np.uint32]) -> F64 | None:
    """Return what a message at a mean hour changes for each person, in micro-units, (m,).

    None where the campaign does not ask for it. Nobody without a score is moved: unknown lift is worth
    nothing. Ordinals are ascending.
    """
    if not campaign.lift_micros:
        return None
    worth = np.zeros(len(ordinals))
    if "lift" not in scores.column_names:  # a night that was scored before lift was kept
        return worth
    mine = scores.filter(pc.and_(pc.equal(scores["campaign_id"], campaign.id), pc.is_valid(scores["lift"])))
    owner, lift = mine["ordinal"].to_numpy(), mine["lift"].to_numpy()
    rows = np.searchsorted(ordinals, owner)
    inside = rows < len(ordinals)
    inside[inside] = ordinals[rows[inside]] == owner[inside]
    # Rounded as scores are: the plan's bytes must not depend on the last bit of a sum.
    worth[rows[inside]] = np.rint(lift[inside] * 2.0**LIFT_BITS) / 2.0**LIFT_BITS * campaign.lift_micros
    return worth


def choice_sets(p_open: F64) -> pa.BinaryArray:
    """Return which materials each draw could choose: bit k is the campaign's k-th material.

    `p_open` is as in `CampaignOffer`, (m, k). The first material is the highest bit of the first byte, as
    DuckDB counts the bits of a BIT; null where there was none to choose.
    """
    may = ~np.isnan(p_open)
    packed = np.ascontiguousarray(np.packbits(may, axis=1))
    m, width = packed.shape
    if not width:
        return pa.nulls(m, pa.binary())
    # Arrow takes the packed bytes as they are: no text or object is made of millions of pairs.
    fixed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), m, [None, pa.py_buffer(packed)])
    none = pa.array(~may.any(axis=1))
    return pc.if_else(none, pa.scalar(None, pa.binary()), fixed.cast(pa.binary()))
