"""Why one person got what they got on a night, by the very rows that decided.

Grain: person x campaign of the catalog. Reads the plan, what it cites, and what was delivered since; writes
nothing. Surprise: the outcome is the stored one; all that explains it is computed again for one person by the
planner's own code, so what cannot be computed any more (a model that was removed, an index that expired) is
named in `notes` instead of being guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from angelia.asking.fate import fate_of
from angelia.asking.night import PlannedNight, ResidentNight, open_night
from angelia.asking.person import PersonNight, standing_of
from angelia.asking.records import (
    NOT_IN_AUDIENCE,
    NOT_RUNNING,
    Binding,
    CampaignWhy,
    HourOffer,
    MaterialChance,
    PersonStanding,
    Score,
    Versions,
    Why,
)
from angelia.asking.score import PUSH_COLUMNS, PersonScores, try_scores
from angelia.audience.one_person import Clause, PersonBlock, explain
from angelia.audience.query import AudienceQuery
from angelia.catalog.documents import Campaign as CampaignDocument
from angelia.contracts.outcomes import BETTER_NIGHT, DECIDED, SENT
from angelia.errors import AngeliaError, NotFound
from angelia.lake import Lake
from angelia.planning.routes import says_of
from angelia.users.index import require_index
from angelia.users.one_person import PersonLake, find_ordinal
from models.registry import Registry


def why(
    lake: Lake,
    user: str,
    ds: str | None = None,
    *,
    campaign: str | None = None,
    registry: Registry | None = None,
    person: PersonLake | None = None,
    resident: ResidentNight | None = None,
) -> Why:
    """Return why a person got what they got on a night.

    Args:
        lake: the branch whose plan is asked about.
        user: the person's id.
        ds: the night; None = the newest with a plan.
        campaign: only this one; None = all of the night's catalog.
        registry: where the model is that scored the night; None = scores are not taken apart.
        person: them, where the caller has found them in the newest index; then `user` is not looked up.
        resident: the night, where the caller keeps it open; then `ds` is not looked up.

    Raises:
        NotFound: the night has no plan, the person is not known, or there was no such campaign.
    """
    resident = resident or ResidentNight(open_night(lake, ds))
    night = resident.night
    if campaign is not None and campaign not in night.catalog.campaigns:
        raise NotFound(
            f"the catalog of {night.ds} had no campaign {campaign!r}",
            fix=f"it had {', '.join(night.catalog.campaigns)}",
        )
    # A caller may have found the person in a newer index, which also knows people who joined after the night.
    if person is None:
        bits = int(night.inputs.index.meta["shard_bits"])
        person = PersonLake(lake, _ordinal(night, user), bits)
    elif person.ordinal >= night.inputs.index.rows:
        raise _joined_later(night)
    return _Answer(resident, person, registry).of(campaign)


def _ordinal(night: PlannedNight, user: str) -> int:
    try:
        return find_ordinal(night.lake, night.inputs.index, user)
    except NotFound:
        now = require_index(night.lake)
        if now.number != night.inputs.index.number:
            find_ordinal(night.lake, now, user)
            raise _joined_later(night) from None
        raise


def _joined_later(night: PlannedNight) -> NotFound:
    return NotFound(
        f"this person joined after the night of {night.ds} was planned",
        fix="ask about a later night with --ds",
    )


class _Answer:
    """One answer under way: what all campaigns share, read once."""

    def __init__(self, resident: ResidentNight, lake: PersonLake, registry: Registry | None) -> None:
        self.resident, self.night, self.lake = resident, resident.night, lake
        self.notes: list[str] = []
        night, inputs = self.night, self.night.inputs
        self.mine: PersonNight | None = None
        self.row = self.curve = None
        try:
            own = [inputs.features, inputs.send_times, inputs.scores, night.plan, *inputs.pushes]
            lake.prefetch(own, {"user_pushes": PUSH_COLUMNS})
            self.row = next(iter(lake.read(inputs.features).to_pylist()), None)
            self.curve = next(iter(lake.read(inputs.send_times).to_pylist()), None)
            self.mine = PersonNight.of(night, lake)
            if self.mine is None:
                self.notes.append(f"{inputs.features.ref} has no row of this person: not considered")
        except AngeliaError as error:
            self.notes.append(f"hours and materials are not explained: {error.message}")
        rows = lake.read(night.plan, ["choices"])["choices"].to_pylist()
        self.choices: dict[str, dict[str, Any]] = {
            choice["campaign_id"]: choice for choices in rows for choice in choices
        }
        self.scores = try_scores(resident, lake, registry, self.notes)
        self.audience, self.block = self._audience()

    def of(self, campaign: str | None) -> Why:
        """Return the answer, for one campaign or for all."""
        night = self.night
        names = [campaign] if campaign else sorted(night.catalog.campaigns)
        campaigns = [self._campaign(name) for name in names]
        order = {SENT: 0, NOT_IN_AUDIENCE: 2, NOT_RUNNING: 3}
        campaigns.sort(key=lambda answer: (order.get(answer.outcome, 1), answer.campaign))
        person = PersonStanding(**standing_of(self.row, self.curve)) if self.row else None
        hours = tuple(self.mine.curve()) if self.mine else ()
        start = night.terms.start.isoformat()
        return Why(night.ds, start, person, hours, tuple(campaigns), self._versions(), tuple(self.notes))

    def _audience(self) -> tuple[AudienceQuery | None, PersonBlock | None]:
        """Return the index that the audiences were selected from, and the person's block of it."""
        try:
            return self.resident.audience, self.resident.block_of(self.lake.ordinal)
        except AngeliaError as error:
            self.notes.append(f"audience conditions are not explained: {error.one_line()}")
            return None, None

    def _clauses(self, audience: str) -> tuple[Clause, ...]:
        if self.audience is None or self.block is None or audience not in self.audience.audiences:
            return ()
        try:
            return tuple(explain(self.resident.plan_of(audience), self.block, self.row or {}))
        except AngeliaError as error:
            self.notes.append(f"audience {audience} is not explained: {error.one_line()}")
            return ()

    def _campaign(self, name: str) -> CampaignWhy:
        document, choice = self.night.catalog.campaigns[name], self.choices.get(name)
        clauses = self._clauses(document.audience)
        is_running = any(one.id == name for one in self.night.terms.campaigns)
        if choice is None:
            is_member = clauses[0].truth == "held" if clauses else None
            if not is_running:
                says = self._not_running(document)
                return CampaignWhy(name, NOT_RUNNING, says, document.audience, is_member, clauses)
            says = f"its audience, {document.audience}, did not hold this person that night"
            return CampaignWhy(name, NOT_IN_AUDIENCE, says, document.audience, False, clauses)
        if clauses and clauses[0].truth != "held":
            self.notes.append(
                f"audience {document.audience} held this person when it was selected, and its condition "
                "does not today: a list that it names was made again since"
            )
        return self._considered(document, choice, clauses)

    def _considered(
        self, document: CampaignDocument, choice: dict[str, Any], clauses: tuple[Clause, ...]
    ) -> CampaignWhy:
        name, outcome = document.id, choice["outcome"]
        is_sent = outcome == SENT
        clock, materials, offers, closed, later, by_channel = None, [], [], {}, None, None
        says = DECIDED.get(outcome, outcome)
        campaign = next((one for one in self.night.terms.campaigns if one.id == name), None)
        # Who was not in the night's shards, or whose campaign has been removed since, has no numbers to show.
        if self.mine is not None and campaign is not None:
            chosen = None
            if is_sent:
                slot = int((choice["slot"] - self.night.terms.start) / timedelta(hours=1))
                chosen, clock = (slot, choice["channel"]), self.mine.clock()[slot]
            materials = self.mine.materials(campaign, choice["arm"])
            closed = self.mine.closed(campaign)
            row = self.mine.row(name)
            if row is not None:
                offers = self.mine.best_offers(row, self.night.limits, chosen)
                by_channel = says_of(self.night.terms, campaign, self.mine.problem.channels[row])
                later = self.mine.later(row, chosen[0] if chosen else None)
                waits = self.mine.waits(row) if outcome == BETTER_NIGHT else None
                says = f"{says}; {waits}" if waits else says
        fate = None
        if is_sent:
            message, slot = choice["message_id"], choice["slot"]
            openings = self.resident.openings
            fate = fate_of(self.night.lake, self.lake, self.night.ds, name, message, slot, openings)
        return CampaignWhy(
            name,
            outcome,
            says,
            document.audience,
            True,
            clauses,
            tuple(materials),
            self._score(name, choice, materials),
            choice["arm"],
            bool(choice["is_explore"]),
            f"{choice['slot']:%Y-%m-%dT%H}" if is_sent else None,
            clock,
            choice["channel"],
            choice["slot_propensity"],
            choice["material_propensity"],
            choice["value_micros"],
            choice["price_micros"] if is_sent else None,
            tuple(offers),
            tuple(closed.items()),
            self._binding(name, offers),
            fate,
            later,
            by_channel,
        )

    def _score(
        self, campaign: str, choice: dict[str, Any], materials: Sequence[MaterialChance]
    ) -> Score | None:
        drawn = choice["material_id"]
        if drawn is None:
            return None
        others = [one for one in materials if one.material != drawn and one.p_open is not None]
        runner_up = others[0] if others else None
        name = runner_up.material if runner_up else None
        other = runner_up.p_open if runner_up else None
        plain = Score(drawn, choice["p_open"], name, other, ())
        return _apart(self.scores, campaign, plain, self.notes)

    def _binding(self, campaign: str, offers: Sequence[HourOffer]) -> tuple[Binding, ...]:
        """Return the limits that were full or had a price where this campaign looked for an hour."""
        wanted = {(offer.channel, offer.slot) for offer in offers}
        return tuple(
            Binding(limit.label, limit.used, limit.capacity, limit.price_micros)
            for limit in self.night.limits
            if ((limit.channel, limit.slot) in wanted if limit.is_hourly else limit.campaign_id == campaign)
            and limit.is_scarce
        )

    def _not_running(self, document: CampaignDocument) -> str:
        night = self.night
        if document.id in night.catalog.stopped:
            return "stopped when the night was planned"
        if document.trigger is not None:
            return f"set off by {document.trigger.event}, and in no night's plan"
        first = night.terms.start.date()
        if first + timedelta(days=1) < document.start_date:
            return f"begins on {document.start_date}"
        if document.end_date < first - timedelta(days=1):
            return f"ended on {document.end_date}"
        return f"does not run on {first:%A}s: it serves {', '.join(document.occurrence.weekdays or ())}"

    def _versions(self) -> Versions:
        night, inputs = self.night, self.night.inputs
        catalog = night.catalog.commit
        return Versions(
            night.plan.ref,
            night.plan.code_version,
            str(inputs.scores.params.get("model", "unknown")),
            inputs.send_times.ref,
            inputs.scores.ref,
            inputs.features.ref,
            inputs.audiences.ref,
            catalog.ref if catalog else "",
            inputs.index.ref,
            self.audience.index.commit.ref if self.audience else None,
        )


def _apart(scores: PersonScores | None, campaign: str, plain: Score, notes: list[str]) -> Score:
    if scores is None:
        return plain
    try:
        return scores.apart(campaign, plain.material, plain.p_open, plain.runner_up, plain.runner_up_p_open)
    except AngeliaError as error:
        notes.append(f"{campaign}: {error.one_line()}")
        return plain
