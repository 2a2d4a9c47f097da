"""People in the console: found by a form, audited by number, closed, opened, erased."""

from __future__ import annotations

import json
import logging
import re
import shutil
from html import unescape

import pyarrow as pa
import pytest

from angelia.console.pages.people import REASON_CHARS
from angelia.contracts.rows import user_name, valid_rows
from angelia.contracts.sources import CHANNELS
from angelia.lake import Lake
from angelia.users.addresses import masked
from angelia.users.suppressions import refusals_of
from tests.planned_night import put
from tests.unit.spark_jobs.test_plan_dispatch import DS

HOSTILE = "\"'><script>window.hit=1</script>"


@pytest.fixture(scope="module")
def planned(tight_home, tmp_path_factory):
    """Return a folder with a planned night of 600 people, and their addresses."""
    folder = shutil.copytree(tight_home / "lake", tmp_path_factory.mktemp("planned") / "lake")
    lake = Lake.open(str(folder))
    put(lake, "user_endpoints", valid_rows("user_endpoints", 40))
    put(lake, "user_preferences", valid_rows("user_preferences", 40))
    return folder


@pytest.fixture
def known(console, catalog, planned, settings_home):
    """Put that lake into the test's home; return the catalog."""
    shutil.copytree(planned, settings_home / "lake", dirs_exist_ok=True)
    return catalog


@pytest.fixture
def someone(lake, known):
    """Return (number, id, choice) of somebody who is sent a message."""
    for row in lake.read(lake.require("decisions", ds=DS)).to_pylist():
        for choice in row["choices"]:
            if choice["outcome"] == "sent" and row["ordinal"] < 40:
                return row["ordinal"], user_name(row["ordinal"]), choice
    raise AssertionError("nobody of the first forty is sent anything")


def trail(catalog):
    return [(entry.action, entry.id, entry.detail) for entry in catalog.audit("person")]


def test_a_person_is_found_by_a_form_alone(console, someone, known):
    number, user, choice = someone
    client = console("VIEWER")
    assert client.get("/people").status_code == 200
    page = client.post("/people", data={"user": f"  {user} "})
    assert page.status_code == 200
    assert f"Person {number}" in page.text
    row = page.text.partition(f'<a href="/campaigns/{choice["campaign_id"]}">')[2].partition("</tr>")[0]
    assert "<b>sent</b>" in row
    assert f"by {choice['channel']}" in row
    assert f"{choice['slot']:%Y-%m-%d %H:%M} UTC" in row
    assert not re.findall(rf'(?:href|action|src)="[^"]*{user}', page.text)
    assert page.headers["cache-control"] == "no-store"
    assert client.get(f"/people/{user}").status_code in (404, 405)


def test_each_look_up_is_audited_by_number_alone(console, someone, known):
    number, user, _ = someone
    console("VIEWER").post("/people", data={"user": user})
    console("VIEWER").post("/people", data={"user": "nobody-of-this-id"})
    assert trail(known) == [("look up", str(number), None), ("look up", "nobody", None)]
    page = console("VIEWER").get("/audit").text
    assert user not in page
    assert "/catalog/person/" not in page


def test_a_stranger_is_not_repeated_where_it_is_kept(console, known, caplog):
    caplog.set_level(logging.DEBUG)
    page = console("VIEWER").post("/people", data={"user": HOSTILE})
    assert page.status_code == 404
    assert HOSTILE not in page.text
    assert "Nobody of this id is among the 600 people" in page.text
    assert HOSTILE not in caplog.text
    for wrong in ("", " ", "x" * 4_097):
        assert console("VIEWER").post("/people", data={"user": wrong}).status_code == 400


def test_addresses_are_masked(console, someone, known, lake):
    _, user, _ = someone
    rows = lake.read(lake.require("user_endpoints", ds=DS)).to_pylist()
    page = console("VIEWER").post("/people", data={"user": user}).text
    mine = [row for row in rows if row["user_id"] == user]
    assert mine
    for row in rows:
        assert row["address"] not in page
    shown = [unescape(text) for text in re.findall(r'data-label="address"><code>(.*?)</code>', page)]
    assert shown == [masked(row["channel"], row["address"]) for row in mine]


def test_a_device_is_shown_beside_its_address(console, someone, known, lake, monkeypatch):
    _, user, _ = someone
    word = {"user_id": user, "channel": "fcm", "address": "token", "registered_ts": None, "is_active": True}
    devices = ({"app_version": "5.2.0", "permission": "denied"}, {"app_version": None, "permission": None})
    rows = pa.Table.from_pylist([word | device for device in devices])
    monkeypatch.setattr("angelia.console.people.person.addresses_of", lambda lake, user: rows)
    page = console("VIEWER").post("/people", data={"user": user}).text
    assert '<td data-label="app">5.2.0</td><td data-label="state">active, notifications denied</td>' in page
    assert '<td data-label="app">unknown</td><td data-label="state">active</td>' in page


def test_why_is_that_of_the_command(console, someone, known, lake):
    from angelia.asking.why import why

    _, user, choice = someone
    page = console("VIEWER").post("/people", data={"user": user, "ds": DS}).text
    answer = why(lake, user, DS)
    reasons = re.findall(r"<summary><b>(\w+)</b>: (.*?)</summary>", page)
    assert [(name, unescape(text)) for name, text in reasons] == [
        (one.campaign, one.says) for one in answer.campaigns
    ]
    sent = next(one for one in answer.campaigns if one.campaign == choice["campaign_id"])
    for clause in sent.clauses:
        assert clause.text in ("AND", "OR") or clause.text in unescape(page)
    assert console("VIEWER").post("/people", data={"user": user, "ds": "2020-01-01"}).status_code == 400


def test_a_campaigns_messages_are_shown_for_one_person(console, someone, known, lake):
    number, user, _ = someone
    client = console("VIEWER")
    every = re.findall(r'class="bubble" lang="([^"]*)"', client.get("/campaigns/price_drop").text)
    page = client.post("/campaigns/price_drop/for-person", data={"user": user}).text
    theirs = re.findall(r'class="bubble" lang="([^"]*)"', page)
    materials = known.get("campaign", "price_drop").document.materials
    assert "As this person would get it" in page
    assert (len(set(theirs)), len(theirs)) == (1, len(materials))
    assert len(every) > len(theirs)
    assert trail(known)[-1] == ("preview", str(number), "price_drop")
    assert user not in page
    refused = client.post("/campaigns/price_drop/for-person", data={"user": "nobody"})
    assert refused.status_code == 404
    assert client.post("/campaigns/price_drop/for-person", data={"user": " "}).status_code == 400


def test_closing_reaches_the_log_and_can_be_undone(console, someone, known, lake):
    number, user, _ = someone
    client, reason = console("USER"), f"{user} asked, write to ada@example.com"

    def post(path, **form):
        return client.post(f"/people/{path}", data={"user": user, "reason": reason, **form})

    def closed():
        return refusals_of(lake.read_log("suppressions")).closed(user, "fcm")

    assert "Suppressed: all channels" in post("close", how="until").text
    assert closed()
    again = post("close", how="until").text
    assert "suppressed already" in again
    # What can be opened is offered, and nothing else.
    form = again[again.index('id="open"') : again.index('id="erase"')]
    assert re.findall(r'option value="([^"]*)"', form) == ["", *sorted(CHANNELS)]
    assert "Open again" in post("open").text
    assert not closed()
    assert "Suppressed: fcm" in post("close", how="good", channel="fcm").text
    assert closed()
    refused = post("open", channel="fcm")
    assert refused.status_code == 400
    assert "closed for good" in refused.text
    assert post("close", how="until", channel="pigeon").status_code == 400
    actions = [entry for entry in trail(known) if entry[0] != "look up"]
    assert actions == [
        ("suppress", str(number), "all channels: … asked, write to …"),
        ("open", str(number), "all channels: … asked, write to …"),
        ("suppress", str(number), "fcm, for good: … asked, write to …"),
    ]


@pytest.mark.parametrize("path", ["close", "open", "erase"])
def test_a_wish_needs_a_role_and_a_reason(console, someone, known, lake, path):
    _, user, _ = someone
    form = {"user": user, "how": "until", "again": user}
    assert console("VIEWER").post(f"/people/{path}", data={**form, "reason": "x"}).status_code == 403
    for reason in ("", "  ", "x" * (REASON_CHARS + 1)):
        assert console("USER").post(f"/people/{path}", data={**form, "reason": reason}).status_code == 400
    unknown = console("USER").post(f"/people/{path}", data={**form, "user": "nobody", "reason": "x"})
    assert unknown.status_code == 404
    assert lake.read_log("suppressions").num_rows == 0
    assert trail(known) == []


def test_erasing_asks_for_the_id_again_and_forgets_them(console, someone, known, lake):
    from angelia.console.people.erasing import Erasures

    number, user, _ = someone
    client, form = console("USER"), {"user": user, "reason": "asked"}
    assert client.post("/people/erase", data={**form, "again": "another"}).status_code == 400
    assert lake.read_log("suppressions").num_rows == 0
    done = client.post("/people/erase", data={**form, "again": user})
    assert (done.status_code, done.headers["location"]) == (303, "/people")
    console.app.state.engine.kept(("erasures", lake.store.url), Erasures).join(120)
    page = client.get("/people").text
    assert "commits rewritten" in page
    assert user not in page
    assert client.post("/people", data={"user": user}).status_code == 404
    steps = [detail for action, name, detail in trail(known) if (action, name) == ("erase", str(number))]
    assert steps[0] == "begun: asked"
    assert steps[1].startswith("done: ")


def test_a_failed_erasure_says_so_in_one_line():
    from angelia.console.people.erasing import FAILED, _result

    assert _result(2, "", "warning\nerror: another erasure is under way; wait for it\n") == (
        FAILED, "another erasure is under way; wait for it",
    )  # fmt: skip
    assert _result(-9, "", json.dumps("u1")) == (FAILED, "the process ended with -9")


def test_a_lake_without_people_says_what_to_run(console, catalog):
    answer = console("VIEWER").post("/people", data={"user": "u1"})
    assert answer.status_code == 404
    assert "Nobody is known yet." in answer.text
    assert "nightly_personalization" in answer.text
