"""One person's night, rebuilt by the planner's own code.

Grain: person. Reads a `PersonLake`; writes nothing. Nothing here decides: the stored decision does, and these
arrays say what it was made of.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from angelia.asking.night import PlannedNight
from angelia.asking.records import Hour, HourOffer, Later, MaterialChance
from angelia.asking.response_curve import cohort_of
from angelia.contracts.certificate import Limit
from angelia.matching import inverse_gap
from angelia.planning.before import room_for, too_near
from angelia.planning.canary import canary_hours
from angelia.planning.eligibility import (
    NightHours,
    assemble,
    campaign_hours,
    cells,
    open_hours,
    slot_chance,
)
from angelia.planning.inputs import ShardInputs, category_hours, load_shard
from angelia.planning.later import LaterCosts
from angelia.planning.offers import CampaignOffer as Candidates
from angelia.planning.offers import hour_gains
from angelia.planning.problem import ONE, Bools, Problem, boosted
from angelia.planning.terms import CampaignTerms, Terms
from angelia.timing.category_hours import CategoryHours
from angelia.timing.local_time import within_days
from angelia.users.one_person import PersonLake

BEST = 3  # hours shown of a campaign beside the chosen one
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True)
class PersonNight:
    """The arrays of one person's night."""

    night: PlannedNight
    shard: ShardInputs
    problem: Problem
    chance: npt.NDArray[np.float64]
    hours: NightHours
    offers: dict[str, Candidates]
    categories: CategoryHours
    costs: LaterCosts | None
    nights: npt.NDArray[np.int64] | None  # how long each message waits; None = no campaign's does

    @classmethod
    def of(cls, night: PlannedNight, lake: PersonLake) -> PersonNight | None:
        """Return the person's night; None if the night's features have no row of them."""
        terms, inputs = night.terms, night.inputs
        shard = load_shard(lake, inputs, terms, night.facts, lake.shard)
        if not shard.people.user_id:
            return None
        hours = open_hours(terms, shard.people)
        chance = slot_chance(shard.people, shard.pairs, hours[0], hours[2])
        built = assemble(terms, shard.people, shard.pairs, shard.past, chance)
        return cls(
            night,
            shard,
            replace(built.problem, allowed=built.allowed),  # tonight's hours, of what waits too
            chance,
            hours,
            {terms.campaigns[offer.number].id: offer for offer in shard.offers},
            category_hours(inputs),
            built.later,
            built.nights,
        )

    def waits(self, row: int) -> str | None:
        """Return for which night a pair's message waits, and why; None if it does not."""
        nights, ahead = self.nights, self.shard.pairs.later
        if nights is None or ahead is None or not nights[row]:
            return None
        # The night's first hour names it, as an occurrence's date does.
        day = self.night.terms.start + timedelta(days=int(nights[row]))
        tonight = float(np.where(self.problem.allowed[row], self.chance[row], 0.0).max())
        return (
            f"it waits for the night of {day:%A}, {day:%Y-%m-%d}: opened at its best hour by {tonight:.2%} "
            f"tonight, by {ahead[row, nights[row] - 1]:.2%} then, but for what they feel of other messages"
        )

    def later(self, row: int, slot: int | None = None) -> Later | None:
        """Return what a message of a pair costs later, in this slot; None where it is not priced."""
        costs = self.costs
        if costs is None or self.problem.is_exempt[row]:
            return None
        refusal = 0.0
        if costs.by_hour is not None:
            hours = costs.by_hour[row]
            # Without a planned hour, the cheapest of those that are open, or of all.
            open_hours = hours[self.problem.allowed[row]]
            refusal = hours[slot] if slot is not None else min(open_hours if len(open_hours) else hours)
        return Later(
            round(float(costs.felt[row]), 3),
            round(float(costs.rate[row]), 3),
            round(float(costs.lost[row]), 4),
            round(float(costs.chance[row]), 6),
            round(float(costs.flat[row])),
            round(float(costs.share[row]), 4),
            round(float(refusal)),
        )

    def clock(self) -> list[str]:
        """Return when each planned hour begins on the person's clock, `Sun 09:00`.

        In some zones that is half past, of the local hour that the plan's arrays name.
        """
        zone, start = ZoneInfo(self.shard.people.timezone[0]), self.night.terms.start
        begins = ((start + timedelta(hours=n)).astimezone(zone) for n in range(self.night.terms.n_slots))
        return [f"{DAYS[local.weekday()]} {local:%H:%M}" for local in begins]

    def curve(self) -> list[Hour]:
        """Return the planned hours with the person's response in each."""
        (local, quiet, off), people = self.hours, self.shard.people
        curve = np.hstack([people.workday, people.day_off])[0][cells(local, off)[0]]
        return [
            Hour(str(slot), clock, round(float(curve[i]), 4), bool(off[0, i]), bool(quiet[0, i]))
            for i, (slot, clock) in enumerate(zip(self.night.terms.slots(), self.clock(), strict=True))
        ]

    def row(self, campaign: str) -> int | None:
        """Return the row of a campaign's pair; None if its audience does not name the person."""
        terms = self.night.terms
        number = next(i for i, one in enumerate(terms.campaigns) if one.id == campaign)
        rows = np.flatnonzero(self.problem.pair_campaign == number)
        return int(rows[0]) if len(rows) else None

    def closed(self, campaign: CampaignTerms) -> dict[str, int]:
        """Return how many planned hours were closed to a campaign, each under its first reason."""
        terms, past = self.night.terms, self.shard.past
        local, quiet, _ = self.hours
        h = terms.n_slots
        passed = np.arange(h) < terms.first_slot
        window = ~campaign_hours(terms, campaign, local)[0]
        exempt = [one.id for one in terms.campaigns if one.is_exempt]
        marketing, own = past.numbers(exempt) < 0, past.numbers([campaign.id]) == 0
        nobody = np.zeros(h, bool)
        capped = room_for(campaign.caps, past, 1, h, own)[0] < 1 if campaign.caps else nobody
        is_bound = not campaign.is_exempt
        reasons = {
            "passed": passed,
            "outside its days and send window": window,
            "outside its material's days": self._material_closed(campaign),
            "quiet on their clock": quiet[0] if is_bound else nobody,
            "for its canary or after it": self._canary_took(campaign),
            f"less than {terms.gap_hours} h from another message": (
                too_near(past, marketing, 1, h, terms.gap_hours)[0] if is_bound else nobody
            ),
            "capped by the campaign": capped,
            "capped by the policy": self.problem.room[0] < 1 if is_bound else nobody,
        }
        taken, counts = np.zeros(h, bool), {}
        for name, hit in reasons.items():
            # An hour counts once, under the first reason that closed it, so that the counts add up.
            fresh = hit & ~taken
            if fresh.any():
                counts[name] = int(fresh.sum())
            taken |= hit
        return counts

    def _material_closed(self, campaign: CampaignTerms) -> Bools:
        """Return the hours, (h,), on days on which the drawn material is not valid."""
        row, days = self.row(campaign.id), self.shard.pairs.days
        if row is None or days is None:
            return np.zeros(self.night.terms.n_slots, bool)
        return np.asarray(~within_days(self.hours[0].date[0], days[row]))

    def _canary_took(self, campaign: CampaignTerms) -> Bools:
        """Return the hours, (h,), closed because others go first, or because this person does."""
        terms, people = self.night.terms, self.shard.people
        local, quiet, _ = self.hours
        if campaign.canary is None:
            return np.zeros(terms.n_slots, bool)
        by_clock, clock = campaign_hours(terms, campaign, local) & ~quiet, np.zeros(1, np.int64)
        return np.asarray(~canary_hours(campaign, terms.ds, people.keys, by_clock, clock)[0])

    def materials(self, campaign: CampaignTerms, arm: str | None) -> list[MaterialChance]:
        """Return a campaign's materials with score and chance, the best one first."""
        offer = self.offers.get(campaign.id)
        if offer is None:
            return []
        terms, people = self.night.terms, self.shard.people
        best = hour_gains(terms, people, self.hours, campaign, offer.user, self.night.facts, self.categories)
        worth = offer.p_open * best
        chance = inverse_gap(worth, terms.epsilon)[0]
        order = np.argsort(np.where(np.isnan(worth[0]), np.inf, -worth[0]), kind="stable")
        return [
            self._material(campaign, i, offer.p_open[0], worth[0], float(chance[i]), arm)
            for i in order.tolist()
        ]

    def _material(
        self,
        campaign: CampaignTerms,
        i: int,
        p_open: npt.NDArray[np.float64],
        worth: npt.NDArray[np.float64],
        chance: float,
        arm: str | None,
    ) -> MaterialChance:
        name = campaign.materials[i]
        if np.isnan(p_open[i]):
            return MaterialChance(name, None, None, 0.0, self._why_not(campaign, name, arm))
        return MaterialChance(name, float(p_open[i]), round(float(worth[i]), 6), round(chance, 6), None)

    def _why_not(self, campaign: CampaignTerms, material: str, arm: str | None) -> str:
        document, people = self.night.catalog.materials[material], self.shard.people
        own = next((one for one in campaign.arms if one.name == arm), None)
        if own is not None and not own.may_show(material):
            return f"not of their arm {arm}"
        languages = self.night.facts.locales.get(material)
        if languages is not None and people.locale[0] not in languages:
            return f"for {', '.join(sorted(languages))} only"
        days = self.hours[0].date[0][_open(self.hours, self.night.terms, campaign)]
        if not any(document.is_valid_on(day) for day in days.tolist()):
            return "not valid in their open hours"
        if document.audience is not None:
            return f"for audience {document.audience} only"
        return "not scored"

    def best_offers(self, row: int, limits: list[Limit], chosen: tuple[int, str] | None) -> list[HourOffer]:
        """Return what a campaign's best hours were worth beside their prices, the chosen one first.

        `chosen` is (slot, channel) of the message that is sent.
        """
        terms, problem = self.night.terms, self.problem
        by_hour = {(limit.channel, limit.slot): limit for limit in limits if limit.is_hourly}
        campaign = terms.campaigns[int(problem.pair_campaign[row])]
        budget = next((one.price_micros for one in limits if one.campaign_id == campaign.id), 0)
        slots, clock = [str(slot) for slot in terms.slots()], self.clock()
        hours, chance = _open(self.hours, terms, campaign), self.chance[row]
        offers = []
        for c, channel in enumerate(terms.channels):
            if not problem.channels[row, c]:
                continue
            for s in np.flatnonzero(hours).tolist():
                limit = by_hour.get((channel.id, slots[s]))
                is_chosen = chosen == (s, channel.id)
                # An hour whose limit the plan did not record has no price to stand beside.
                if limit is None or not (problem.allowed[row, s] or is_chosen):
                    continue
                made = boosted(problem.value[row, s], channel.response if campaign.by_value else ONE)
                worth = int(made) - channel.cost_micros
                price = limit.price_micros + budget
                offers.append(
                    HourOffer(
                        slots[s],
                        clock[s],
                        channel.id,
                        round(float(chance[s]), 6),
                        worth,
                        price,
                        limit.used,
                        limit.capacity,
                        is_chosen,
                    )
                )
        offers.sort(key=lambda offer: (not offer.is_chosen, -offer.net_micros, offer.slot))
        return offers[: BEST + (chosen is not None)]


def _open(hours: NightHours, terms: Terms, campaign: CampaignTerms) -> npt.NDArray[np.bool_]:
    """Return the hours that clock, window and quiet hours leave a campaign, (h,)."""
    local, quiet, _ = hours
    may = campaign_hours(terms, campaign, local)[0]
    return np.asarray(may if campaign.is_exempt else may & ~quiet[0])


def standing_of(features: dict[str, Any], curves: dict[str, Any] | None) -> dict[str, Any]:
    """Return what a night knew of a person, as `Standing` takes it."""
    return {
        "timezone": features["timezone"],
        "locale": features["locale"],
        "channels": tuple(features["channels"] or ()),
        "opted_out_topics": tuple(features["opted_out_topics"] or ()),
        "is_suppressed": bool(features["is_suppressed"]),
        "cohort": cohort_of(curves) if curves else "",
        "evidence": round(float(curves["evidence"]), 3) if curves else 0.0,
    }
