"""Campaigns in the console: what they say, and stopping them with who and why."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest

from angelia.catalog.apply import carry_out, plan
from angelia.catalog.snapshot import stopped_campaigns
from angelia.delivery.manifest import sample_plan
from tests.planned_night import EVERYONE, SALE, SHOE, TEMPLATE
from tests.unit.delivery.canary import planned

HOSTILE = "<script>alert(1)</script>\"'{{ 7*7 }}<img src=x onerror=alert(1)>"


def is_escaped(text):
    return "<script>alert" not in text and "<img src=x" not in text and "&lt;script&gt;alert" in text


def test_hostile_texts_of_a_campaign_stay_texts(console, tmp_path, catalog):
    words = {"title": HOSTILE.replace("{{ 7*7 }}", ""), "body": "{{ item }}"}
    documents = [
        {**TEMPLATE, "variables": {"item": {}}, "variants": {"en": words}, "link": "https://shop.example/"},
        {**SHOE, "fields": {"item": HOSTILE}},
        {**SALE, "name": HOSTILE[:200], "owner": HOSTILE[:200]},
        EVERYONE,
    ]
    path = tmp_path / "hostile.yaml"
    path.write_text("\n---\n".join(map(json.dumps, documents)))
    at = datetime(2026, 11, 15, tzinfo=UTC)
    carry_out(catalog, plan(catalog, [path]), actor=HOSTILE[:60], at=at)
    page = console("USER").get("/campaigns/sale").text
    assert is_escaped(page)
    assert "{{ 7*7 }}" in page
    assert is_escaped(console("USER").get("/campaigns").text)
    console("USER").post("/campaigns/sale/stop", data={"reason": HOSTILE})
    for where in ("/today", "/campaigns", "/campaigns/sale"):
        assert is_escaped(console("USER").get(where).text), where


def test_stop_and_resume_leave_who_and_why(console, catalog, lake):
    client = console("USER")
    answer = client.post("/campaigns/price_drop/stop", data={"reason": "  wrong\n price "})
    assert (answer.status_code, answer.headers["location"]) == (303, "/campaigns/price_drop")
    assert stopped_campaigns(lake) == {"price_drop"}
    page = client.get("/campaigns/price_drop").text
    assert "by ada (USER), 2026-11-15 09:30 UTC: wrong price" in page
    assert "Resume Price drop" in page
    client.post("/campaigns/price_drop/resume", data={"reason": "right again"})
    assert stopped_campaigns(lake) == set()
    trail = [(entry.actor, entry.action, entry.detail) for entry in catalog.audit() if entry.version is None]
    assert trail == [("ada (USER)", "stop", "wrong price"), ("ada (USER)", "resume", "right again")]


@pytest.mark.parametrize("reason", ["", "   ", "\n", "x" * 501])
def test_a_stop_without_a_fit_reason_stops_nothing(console, catalog, lake, reason):
    answer = console("USER").post("/campaigns/price_drop/stop", data={"reason": reason})
    assert answer.status_code == 400
    assert "1 to 500 characters" in answer.text
    assert stopped_campaigns(lake) == set()


@pytest.mark.parametrize(
    ("name", "action", "status"), [("nothing", "stop", 404), ("price_drop", "erase", 400)]
)
def test_what_is_not_there_cannot_be_stopped(console, catalog, lake, name, action, status):
    assert console("USER").post(f"/campaigns/{name}/{action}", data={"reason": "x"}).status_code == status


def test_a_viewer_sees_no_buttons_that_are_not_theirs(console, catalog):
    page = console("VIEWER").get("/campaigns/price_drop").text
    # Who may look may ask what one person would get; nothing is changed by it.
    assert re.findall(r'<form[^>]* action="([^"]*)"', page) == ["/campaigns/price_drop/for-person#messages"]
    assert page.count("<form") == 1
    assert 'data-operator="no"' in page
    assert 'data-approver="no"' in page


def test_messages_follow_a_change_of_the_catalog(console, catalog, tmp_path):
    client = console("VIEWER")
    assert "Price drop: cameras" in client.get("/campaigns/price_drop").text
    material = catalog.get("material", "price_drop_camera").document.model_dump(mode="json")
    material["fields"]["item"] = "lenses"
    path = tmp_path / "material.yaml"
    path.write_text(json.dumps(material))
    carry_out(catalog, plan(catalog, [path]), actor="test", at=datetime(2026, 11, 15, tzinfo=UTC))
    page = client.get("/campaigns/price_drop").text
    assert "Price drop: lenses" in page
    assert "Price drop: cameras" not in page


def test_a_page_says_which_devices_get_it_and_its_class(console, catalog, tmp_path):
    client = console("VIEWER")
    page = client.get("/campaigns/price_drop").text
    assert "the device that was registered last" in page
    assert "counted as marketing" in page
    campaign = catalog.get("campaign", "price_drop").document.model_dump(mode="json", exclude_none=True)
    path = tmp_path / "campaign.yaml"
    path.write_text(json.dumps(campaign | {"devices": "all", "message_class": "service"}))
    carry_out(catalog, plan(catalog, [path]), actor="test", at=datetime(2026, 11, 15, tzinfo=UTC))
    page = client.get("/campaigns/price_drop").text
    assert "together one message" in page
    assert "counted as service" in page


def test_a_channel_is_paused_and_resumed_with_who_and_why(console, catalog, lake):
    from angelia.catalog.snapshot import paused_channels

    client = console("USER")
    sent = {"reason": "sender is down", "channel": "fcm"}
    assert client.post("/campaigns/price_drop/stop", data=sent).status_code == 303
    assert paused_channels(lake) == {("price_drop", "fcm")}
    assert stopped_campaigns(lake) == set()
    page = client.get("/campaigns/price_drop").text
    assert "Paused on <b>fcm</b> since 2026-11-15 09:30 UTC by ada (USER): sender is down" in page
    assert "Stop Price drop" in page
    assert "on fcm: sender is down" in client.get("/audit").text
    client.post("/campaigns/price_drop/resume", data={"reason": "it works", "channel": "fcm"})
    assert paused_channels(lake) == set()
    assert client.post("/campaigns/price_drop/stop", data=sent | {"channel": "x"}).status_code == 400


def test_a_canary_is_shown_and_decided(console, catalog, lake, monkeypatch):
    """The page says how it stands; a word on it needs a reason, and leaves who and why."""
    assert "Canary of night" not in console("USER").get("/campaigns/price_drop").text
    assert console("USER").post("/campaigns/price_drop/canary-pass", data={"reason": "x"}).status_code == 400
    rule = planned.documents_with(planned.RULE, sample_plan.documents)
    monkeypatch.setattr(sample_plan, "documents", rule)
    planned.plan(lake)
    page = console("USER").get("/campaigns/price_drop").text
    assert "Waits: none of its 10 messages has left yet." in page
    assert console("USER").post("/campaigns/price_drop/canary-fail", data={"reason": " "}).status_code == 400
    answer = console("USER").post("/campaigns/price_drop/canary-fail", data={"reason": "typo"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/campaigns/price_drop")
    assert "Failed: failed by ada (USER): typo." in console("USER").get("/campaigns/price_drop").text
    assert (
        console("VIEWER").post("/campaigns/price_drop/canary-pass", data={"reason": "x"}).status_code == 403
    )
    assert "canary-pass" not in console("VIEWER").get("/campaigns/price_drop").text
