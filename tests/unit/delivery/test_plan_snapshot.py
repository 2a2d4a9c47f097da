"""What a plan's snapshot tells the worker: the next channels, and how one is configured."""

from __future__ import annotations

from typing import Any

import pytest

from angelia.delivery.manifest import sample_plan
from angelia.delivery.sending.holds import SpeedLimits
from angelia.delivery.worker.plan_snapshot import PlanSnapshot, channel_config
from angelia.errors import InvalidInput
from angelia.intake.dispatching import sample_night
from angelia.lake import Lake
from tests.unit.delivery.given import DS

ON = {"provider": "fcm_v1", "quota_per_minute": 60}


def snapshot(**changes: Any) -> PlanSnapshot:
    given: dict[str, Any] = {
        "channels": {"fcm": ON, "sms": ON, "email": ON, "webhook": ON},
        "routes": {"sale": ["fcm", "sms", "email", "webhook"]},
        "template_channels": {("plain", 1): ["fcm", "sms", "email"]},
        "render": None,
        "paces": {},
        "cancel_on": {},
        "canaries": {},
        "channel_versions": {},
    }
    return PlanSnapshot(**given | changes)


@pytest.mark.parametrize(
    ("channel", "following"),
    [("fcm", ["sms", "email"]), ("sms", ["email"]), ("email", []), ("elsewhere", [])],
)
def test_a_message_falls_over_down_its_list_only(channel: str, following: list[str]) -> None:
    assert snapshot().next_channels("sale", channel, "plain", 1) == following
    assert snapshot().next_channels("unknown", channel, "plain", 1) == []
    assert snapshot().next_channels("sale", channel, "plain", 2) == []


@pytest.mark.parametrize("document", [ON | {"enabled": False}, ON | {"quota_per_minute": 0}, None])
def test_a_channel_that_cannot_send_is_passed_by(document: dict[str, Any] | None) -> None:
    channels = {"fcm": ON, "email": ON, "sms": document}
    assert snapshot(channels=channels).next_channels("sale", "fcm", "plain", 1) == ["email"]


@pytest.mark.parametrize(
    ("changes", "says"), [({"enabled": False}, "switched off"), ({"quota_per_minute": 0}, "no quota")]
)
def test_a_channel_that_cannot_send_is_not_configured(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as caught:
        channel_config("sms", ON | changes, None)
    assert caught.value.fix


def test_an_option_goes_before_the_environments_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANGELIA_SMS_URL", "https://from.environment")
    assert channel_config("sms", ON, None).base_url == "https://from.environment"
    assert channel_config("sms", ON, "https://typed").base_url == "https://typed"
    assert channel_config("fcm", ON, None).base_url is None


def test_the_snapshot_that_a_manifest_cites_is_read(lake: Lake) -> None:
    manifest = sample_plan.make(lake, DS, 1)
    sample_plan.make(lake, DS, 1, quota_per_minute=7)  # a newer snapshot of the same day
    assert (
        PlanSnapshot.read(lake, manifest, SpeedLimits(1, lambda: 0)).channels["fcm"]["quota_per_minute"]
        == 600_000
    )


def test_a_direct_template_falls_over_down_its_channels(lake: Lake) -> None:
    channels = [{**sample_night.CHANNEL, "id": name} for name in ("fcm", "sms")]
    template = {**sample_night.TEMPLATE, "channels": ["fcm", "sms"], "direct": {"topic": "promo"}}
    sample_night.make(lake, 1, DS, documents=[*channels, template, *sample_night.DOCUMENTS[:1]])
    night = lake.require("catalog_snapshot", ds=DS)
    known = PlanSnapshot.read(lake, night, SpeedLimits(1, lambda: 0))
    assert known.next_channels("marketing__plain", "fcm", "plain", 1) == ["sms"]
    assert known.next_channels("sale", "fcm", "plain", 1) == []
