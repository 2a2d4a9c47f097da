"""Which events become messages: still wanted, not moot, of a person in the audience.

Grain: event. Reads the newest night's `user_features`, `bitmap_index` and catalog; writes nothing. The
audience language is asked of the night's index: the campaign's audience, and the trigger's `where`. Surprise:
consent, holdouts, quiet hours and caps are not asked here but as the message leaves.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from angelia.audience.query import AudienceQuery
from angelia.catalog.document_parts import Trigger
from angelia.catalog.documents import Campaign
from angelia.catalog.snapshot import Catalog
from angelia.contracts.sending import Micros
from angelia.intake.dispatching.deciding import HOUR_US, NOT_RUNNING, UNKNOWN_CAMPAIGN, UNKNOWN_PERSON
from angelia.intake.dispatching.people import Person
from angelia.intake.triggers.waiting import TriggerEvent

MOOT, TOO_OLD, NOT_FOR_THEM = "moot", "too_old", "not_in_audience"


def is_moot(trigger: Trigger, event: TriggerEvent, moots: Mapping[tuple[str, str], Sequence[Micros]]) -> bool:
    """Say whether what must not follow an event followed it in time."""
    if trigger.without is None or trigger.within_minutes is None:
        return False
    until = event.event_us + trigger.within_minutes * 60_000_000
    return any(event.event_us <= at <= until for at in moots.get((event.user_id, trigger.without), ()))


def refusal(
    catalog: Catalog,
    stopped: Collection[str],
    person: Person | None,
    event: TriggerEvent,
    moots: Mapping[tuple[str, str], Sequence[Micros]],
    now: Micros,
) -> str | None:
    """Return why an event sets nothing off, None if its person is still to be asked for."""
    campaign = catalog.campaigns.get(event.campaign_id)
    if campaign is None or campaign.trigger is None:
        return UNKNOWN_CAMPAIGN
    if campaign.id in stopped:
        return NOT_RUNNING
    if is_moot(campaign.trigger, event, moots):
        return MOOT
    if event.due_us + campaign.ttl_hours * HOUR_US <= now:
        return TOO_OLD
    if person is None:
        return UNKNOWN_PERSON
    return None if occurrence_of(campaign, person, event) is not None else NOT_RUNNING


def occurrence_of(campaign: Campaign, person: Person, event: TriggerEvent) -> str | None:
    """Return the occurrence an event belongs to, by the person's own day; None if it has none."""
    moment = datetime.fromtimestamp(event.event_us / 1e6, UTC)
    try:
        zone = zoneinfo.ZoneInfo(person["timezone"])
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        zone = zoneinfo.ZoneInfo("UTC")
    return campaign.occurrence_on(moment.astimezone(zone).date())


class Belonging:
    """Who is in a campaign's audience and meets its trigger's condition, by the night's index."""

    def __init__(self, audience: AudienceQuery, catalog: Catalog) -> None:
        self._audience, self._catalog = audience, catalog

    def of(self, campaign: Campaign, ordinals: Iterable[int]) -> set[int]:
        """Return those of these ordinals.

        Raises:
            InvalidInput: the audience or the condition cannot be asked of this index.
        """
        assert campaign.trigger is not None
        text = f"in_audience('{campaign.audience}')"
        if campaign.trigger.where is not None:
            text = f"{text} AND ({campaign.trigger.where})"
        bits, members = self._audience.index.shard_bits, set[int]()
        by_shard: dict[int, list[int]] = {}
        for ordinal in ordinals:
            by_shard.setdefault(ordinal >> bits, []).append(ordinal)
        for shard, wanted in sorted(by_shard.items()):
            inside = self._audience.members(text, shard)
            members |= {ordinal for ordinal in wanted if ordinal in inside}
        return members
