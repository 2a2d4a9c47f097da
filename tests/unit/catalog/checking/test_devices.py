"""What a campaign's word on devices costs, or does not do."""

from __future__ import annotations

from typing import Any

import pytest

from angelia.catalog.checking.devices import of_campaign, of_channel
from angelia.catalog.documents import Campaign, Channel, canonical, parse_document
from angelia.errors import InvalidInput
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


def test_a_limit_of_nothing_is_said() -> None:
    limits = {"max_per_device_day": {"marketing": 2, "service": 0}}
    for raw, paths in (({}, ["service"]), ({"enabled": False}, [])):
        channel = parse_document(CHANNEL | limits | raw)
        assert isinstance(channel, Channel)
        assert [doubt.path[1] for doubt in of_channel(channel)] == paths


def test_a_class_is_the_operators_word() -> None:
    for changes, kind in (
        ({}, "marketing"),
        ({"message_class": "service"}, "service"),
        ({"guarantee": "at_least_once"}, "transactional"),
    ):
        campaign = parse_document(SALE | changes)
        assert isinstance(campaign, Campaign)
        assert campaign.wire_class == kind
        assert ("message_class" in canonical(campaign)) is ("message_class" in changes)
    with pytest.raises(InvalidInput, match="is of that class; leave it out"):
        parse_document(SALE | {"guarantee": "at_least_once", "message_class": "service"})
    with pytest.raises(InvalidInput, match="max_per_device_day"):
        parse_document(CHANNEL | {"max_per_device_day": {"promo": 1}})
    assert "max_per_device_day" not in canonical(parse_document(CHANNEL))
