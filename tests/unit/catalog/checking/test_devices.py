"""What a campaign's word on devices costs, or does not do."""

from __future__ import annotations

from typing import Any

from angelia.catalog.checking.devices import of_campaign
from angelia.catalog.documents import Campaign, canonical, parse_document
from tests.planned_night import CHANNEL, SALE

TRIGGER = {"trigger": {"event": "cart"}}


def doubts(channel: dict[str, Any] | None = None, **changes: Any) -> list[str]:
    documents = [parse_document(raw) for raw in (SALE | changes, CHANNEL | (channel or {}))]
    campaign, known = documents[0], {(each.kind, each.id): each for each in documents}
    assert isinstance(campaign, Campaign)
    return [doubt.says.split(":")[0] for doubt in of_campaign(campaign, known)]


def test_costs_and_events_are_said() -> None:
    assert doubts(devices="all", channel={"cost_per_message": 0.1}) == ["all"]
    assert doubts(devices="all") == doubts(devices="best", channel={"cost_per_message": 0.1}) == []
    assert doubts(devices="best", **TRIGGER) == ["best is for planned messages"]
    assert doubts(**TRIGGER) == doubts(devices="all", **TRIGGER) == []


def test_a_campaign_that_says_nothing_keeps_its_text() -> None:
    plain, newest = parse_document(SALE), parse_document(SALE | {"devices": "newest"})
    assert "devices" not in canonical(plain)
    assert isinstance(plain, Campaign)
    assert isinstance(newest, Campaign)
    assert plain.goes_to == newest.goes_to == "the device that was registered last"
