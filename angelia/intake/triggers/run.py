"""One run: read what arrived, hand over what is due, withdraw what became moot.

Grain: event of a person and campaign. Reads `user_events`, the newest night and `stops`; writes the intake
database. Each step can be repeated: what was read is noted with what it brought, an occurrence's message has
one idempotency key, and of two runs at once each event is one's. Surprise: a message is the client
`angelia.triggers`' own, a name that no API key can have.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.engine import Engine

from angelia.audience.query import AudienceQuery
from angelia.catalog.document_parts import Trigger
from angelia.catalog.documents import Campaign
from angelia.catalog.snapshot import Catalog, read_snapshot, stopped_campaigns
from angelia.contracts.sending import Micros
from angelia.errors import AngeliaError, InvalidInput
from angelia.intake.dispatching.people import BatchSources, NightPeople, Person
from angelia.intake.message import Draft, now, parse_message
from angelia.intake.store import Accepted, IntakeStore
from angelia.intake.triggers.arrivals import LATE_DAYS, arrivals
from angelia.intake.triggers.judging import MOOT, NOT_FOR_THEM, Belonging, occurrence_of, refusal
from angelia.intake.triggers.waiting import HANDED, HANDED_OVER, REPEATED, TriggerEvent, Waiting
from angelia.lake import Lake
from angelia.lake.failpoint import failpoint
from angelia.output import progress

CLIENT = "angelia.triggers"
ITEM = "event_item"  # the template variable that takes what the event happened to
_AT_ONCE = 5_000
_DAY_US = 86_400_000_000


@dataclass
class TriggerReport:
    """What a run did."""

    events: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def trouble(self, error: AngeliaError) -> None:
        """Keep what kept some events waiting; each is named once."""
        if error.one_line() not in self.problems:
            self.problems.append(error.one_line())
            progress(f"intake triggers: {error.one_line()}")

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {
            "new_events": self.events,
            "outcomes": dict(sorted(self.outcomes.items())),
            "dropped": dict(sorted(self.dropped.items())),
            "problems": self.problems,
            "seconds": round(self.seconds, 3),
        }


class TriggerRun:
    """One run over what arrived and what is due."""

    def __init__(self, lake: Lake, engine: Engine, clock: Callable[[], Micros] = now) -> None:
        self._lake, self._clock = lake, clock
        self._store, self._waiting = IntakeStore(engine), Waiting(engine)
        self.report = TriggerReport()

    def run(self) -> TriggerReport:
        """Run once.

        Raises:
            NotFound: a campaign waits for events, and no night has people and addresses.
            Unavailable: the database does not answer.
        """
        began = time.monotonic()
        if not self._has_work():
            return self.report
        people = NightPeople(self._lake, BatchSources.newest(self._lake))
        catalog = people.catalog
        triggers = {
            name: campaign.trigger
            for name, campaign in catalog.campaigns.items()
            if campaign.trigger is not None
        }
        self._read(catalog, triggers)
        self._withdraw(triggers)
        self._hand_over(people, stopped_campaigns(self._lake))
        self._waiting.forget_old(self._clock())
        self.report.seconds = time.monotonic() - began
        return self.report

    def _has_work(self) -> bool:
        """Say whether a campaign waits for events, or events for a campaign that is gone."""
        days = [leaf["ds"] for leaf in self._lake.partitions("catalog_snapshot")]
        # Before the first night nothing can be set off, and nobody asked for anything that fails.
        if not days:
            return False
        catalog = read_snapshot(self._lake, self._lake.require("catalog_snapshot", ds=max(days)))
        is_waiting = self._waiting.due(self._clock(), 1) or self._waiting.handed_over(CLIENT)
        return bool(is_waiting) or any(each.trigger for each in catalog.campaigns.values())

    def _read(self, catalog: Catalog, triggers: Mapping[str, Trigger]) -> None:
        types = {trigger.event for trigger in triggers.values()}
        types |= {trigger.without for trigger in triggers.values() if trigger.without is not None}
        if not types:
            return
        longest = max(
            trigger.waits_us / _DAY_US + catalog.campaigns[name].ttl_hours / 24
            for name, trigger in triggers.items()
        )
        back = LATE_DAYS + int(longest) + 1
        read = self._waiting.read_so_far()
        for arrived in arrivals(self._lake, types, read, self._clock(), back):
            self.report.events += self._waiting.keep(arrived, triggers)
            self.report.dropped.update(arrived.dropped)

    def _withdraw(self, triggers: Mapping[str, Trigger]) -> None:
        """Cancel the messages that became moot before they left."""
        handed = self._waiting.handed_over(CLIENT)
        moots = self._waiting.moots_of(each.event.user_id for each in handed)
        concluded: list[tuple[TriggerEvent, str, str]] = []
        for each in handed:
            event, trigger = each.event, triggers.get(each.event.campaign_id)
            if each.status not in ("accepted", "claimed"):
                concluded.append((event, each.outcome, each.message))
                continue
            # Until it leaves, not only in its minutes: who bought meanwhile is not reminded in the morning.
            ends = moots.get((event.user_id, trigger.without or ""), ()) if trigger is not None else ()
            is_over = any(at >= event.event_us for at in ends)
            if is_over and self._store.cancel(CLIENT, each.message, self._clock()):
                concluded.append((event, MOOT, each.message))
                self.report.outcomes["withdrawn"] += 1
        self._waiting.conclude(concluded)

    def _hand_over(self, people: NightPeople, stopped: Collection[str]) -> None:
        belonging: Belonging | None = None
        tried: set[tuple[str, str, Micros]] = set()
        while True:
            # What a problem keeps waiting stays due, and is asked for once a run.
            due = self._waiting.due(self._clock(), _AT_ONCE + len(tried))
            due = [event for event in due if event.key not in tried]
            if not due:
                return
            tried |= {event.key for event in due}
            if belonging is None:
                predicates = {name: each.predicate for name, each in people.catalog.audiences.items()}
                audience = AudienceQuery(self._lake, people.sources.night, predicates, resident=True)
                belonging = Belonging(audience, people.catalog)
            self._judge(people, stopped, belonging, due)

    def _judge(
        self, people: NightPeople, stopped: Collection[str], belonging: Belonging, due: Sequence[TriggerEvent]
    ) -> None:
        users = sorted({event.user_id for event in due})
        persons, moots = people.of(users), self._waiting.moots_of(users)
        concluded: list[tuple[TriggerEvent, str, str]] = []
        asked: dict[str, list[TriggerEvent]] = {}
        for event in due:
            why = refusal(people.catalog, stopped, persons.get(event.user_id), event, moots, self._clock())
            if why is None:
                asked.setdefault(event.campaign_id, []).append(event)
            else:
                concluded.append((event, why, ""))
        wanted: list[TriggerEvent] = []
        for name, events in sorted(asked.items()):
            ordinals = {event.user_id: int(persons[event.user_id]["ordinal"]) for event in events}
            try:
                members = belonging.of(people.catalog.campaigns[name], ordinals.values())
            except InvalidInput as error:
                self.report.trouble(InvalidInput(f"campaign {name}: {error.message}", fix=error.fix))
                continue
            wanted += [event for event in events if ordinals[event.user_id] in members]
            outside = [event for event in events if ordinals[event.user_id] not in members]
            concluded += [(event, NOT_FOR_THEM, "") for event in outside]
        self._conclude(concluded)
        self._accept(people.catalog, persons, wanted)

    def _accept(
        self, catalog: Catalog, persons: Mapping[str, Person], wanted: Sequence[TriggerEvent]
    ) -> None:
        drafts = [
            draft_of(catalog.campaigns[event.campaign_id], persons[event.user_id], event, self._clock())
            for event in wanted
        ]
        verdicts = self._store.accept(drafts)
        failpoint("trigger.accepted")
        handed: list[tuple[TriggerEvent, str, str]] = []
        repeated: list[tuple[TriggerEvent, str, str]] = []
        for event, verdict in zip(wanted, verdicts, strict=True):
            assert isinstance(verdict, Accepted), verdict
            (repeated if verdict.repeated else handed).append(
                (event, REPEATED if verdict.repeated else HANDED_OVER, verdict.id)
            )
        self._conclude(handed, HANDED)
        self._conclude(repeated, HANDED)
        failpoint("trigger.concluded")

    def _conclude(self, concluded: Sequence[tuple[TriggerEvent, str, str]], stage: int = 0) -> None:
        self._waiting.conclude(concluded, stage)
        self.report.outcomes.update(outcome for _, outcome, _ in concluded)


def draft_of(campaign: Campaign, person: Person, event: TriggerEvent, at: Micros) -> Draft:
    """Return the message of an event.

    All events of one occurrence make the same one, by its idempotency key.
    """
    document = {
        "user_id": event.user_id,
        "campaign_id": campaign.id,
        "class": "marketing",
        "priority": campaign.priority,
        "variables": {ITEM: event.item} if event.item else {},
    }
    draft = parse_message(json.dumps(document).encode(), CLIENT, at)
    assert isinstance(draft, Draft), draft
    occurrence = occurrence_of(campaign, person, event)
    key = hashlib.sha256(f"trigger\n{campaign.id}\n{event.user_id}\n{occurrence}".encode()).hexdigest()
    # Its time to live runs from the moment it was due, not from the run that came to it.
    return Draft(draft.row | {"send_us": event.due_us, "key_hash": key, "body_hash": key}, None)
