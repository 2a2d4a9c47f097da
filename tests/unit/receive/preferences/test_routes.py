"""A person's page shows and keeps their own choices; e-mail opens by a second word only."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pyarrow as pa
import pytest

from angelia.catalog.snapshot import nearest_catalog
from angelia.contracts import arrow, dataset
from angelia.intake.dispatching import sample_night
from angelia.lake import Lake
from angelia.receive.preferences.links import CONFIRM, LIFE_S, Links
from angelia.receive.preferences.links import PAGE as OF_PAGE
from angelia.receive.preferences.routes import title_of
from angelia.users.choices import CHOICES, choose, words_of
from angelia.users.suppressions import close_person, refusals_of
from tests.unit.receive.callers import NOW, PAGE
from tests.unit.receive.conftest import TestClient
from tests.unit.receive.inbox.given import token
from tests.unit.receive.preferences.conftest import FORM, LINKS, MAIL, USER, MailWire, visit


def ticks(text: str) -> dict[str, bool]:
    """Return the boxes of a page, and whether they are ticked."""
    boxes = re.findall(r'name="([a-z]+\.[a-z_]+)"\s*(checked)?', text)
    return {name: bool(is_ticked) for name, is_ticked in boxes}


def test_a_signed_in_person_gets_a_link_that_names_nobody(client: TestClient) -> None:
    answer = client.post("/preferences/link", content=b"", headers=token(USER))
    link = answer.json()["link"]
    assert link.startswith(f"{PAGE.url}?t=")
    assert USER not in link
    page = client.get(link.removeprefix("https://back.example"))
    assert ticks(page.text) == {"topic.promo": True, "channel.fcm": True, "channel.email": True}
    assert (page.headers["cache-control"], page.headers["referrer-policy"]) == ("no-store", "no-referrer")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert client.post("/preferences/link", content=b"").status_code == 401


def test_a_link_is_asked_for_without_a_body_or_its_length(client: TestClient) -> None:
    asked = client.build_request("POST", "/preferences/link", headers=token(USER))
    del asked.headers["content-length"]
    assert client.send(asked).status_code == 200
    asked.headers["transfer-encoding"] = "chunked"
    assert (client.send(asked).status_code, client.send(asked).json()["error"]) == (
        411,
        "a body needs its content-length",
    )
    other = client.get("/preferences/link")
    assert (other.status_code, other.json(), other.headers["allow"]) == (405, {"error": "only POST"}, "POST")


def test_a_link_that_is_forged_over_or_for_something_else(client: TestClient, lake: Lake) -> None:
    old = NOW - timedelta(seconds=LIFE_S[OF_PAGE] + 1)
    wrong = (
        "", "x", "ü", Links("other").make(OF_PAGE, [USER], NOW), LINKS.make(CONFIRM, [USER, "email"], NOW),
        LINKS.make(OF_PAGE, [USER], old),
    )  # fmt: skip
    for key in wrong:
        assert client.get("/preferences", params={"t": key}).status_code == 401
        assert client.post("/preferences", content=urlencode({"t": key}), headers=FORM).status_code == 401
    body = urlencode({"t": LINKS.make(OF_PAGE, [USER], NOW)})
    assert client.post("/preferences/confirm", content=body, headers=FORM).status_code == 401
    assert client.post("/preferences", content=b"\xff", headers=FORM).status_code == 400
    assert lake.read_log(CHOICES).num_rows == 0


def test_what_is_chosen_stands_for_the_night_and_for_workers(client: TestClient, lake: Lake) -> None:
    page = visit(client, "channel.email")
    assert ticks(page) == {"topic.promo": False, "channel.fcm": False, "channel.email": True}
    rows = lake.read_log(CHOICES).to_pylist()
    assert {(row["user_id"], row["kind"], row["name"], row["is_opted_in"]) for row in rows} == {
        (USER, "topic", "promo", False), (USER, "channel", "fcm", False),
    }  # fmt: skip
    assert refusals_of(lake.read_log("suppressions")).closed(USER, "fcm")
    assert ticks(visit(client, "channel.email", "channel.fcm", "topic.promo")) == dict.fromkeys(
        ticks(page), True
    )
    assert not refusals_of(Lake(lake.store).read_log("suppressions")).closed(USER, "fcm")
    n_rows = lake.read_log(CHOICES).num_rows
    visit(client, "channel.email", "channel.fcm", "topic.promo")  # nothing changed
    assert lake.read_log(CHOICES).num_rows == n_rows
    assert words_of(lake, "u0000002") == {}


def test_language_and_quiet_hours_are_chosen_and_taken_back(client: TestClient, lake: Lake) -> None:
    def send(**fields: str) -> str:
        boxes = {"channel.email": "on", "channel.fcm": "on", "topic.promo": "on"}
        form = urlencode({"t": LINKS.make(OF_PAGE, [USER], NOW), **boxes, **fields})
        page = client.post("/preferences", content=form, headers=FORM).text
        return re.sub(r"\s+", " ", str(page))

    page = send(language="en", **{"quiet_from": "21", "quiet_until": "9"})
    assert "<option selected>en</option>" in page
    assert [page.count(f'<option value="{hour}" selected>') for hour in (21, 9, 8)] == [1, 1, 0]
    words = words_of(lake, USER)
    assert words == {("language", "en"): True, ("quiet_hours", "21-9"): True}
    # What no template speaks, half a span and an older page's form change nothing.
    page = send(language="xx", **{"quiet_from": "3", "quiet_until": ""})
    assert "Quiet hours need two hours that differ" in page
    assert "Kept." not in page
    assert "Kept." in send(), "who changed nothing reads that their choices stand"
    assert words_of(lake, USER) == words
    page = send(language="", **{"quiet_from": "", "quiet_until": ""})
    assert "selected" not in page
    assert set(words_of(lake, USER).values()) == {False}


def test_email_opens_by_the_mailed_link_only(client: TestClient, lake: Lake, wire: MailWire) -> None:
    visit(client, "channel.fcm", "topic.promo")
    for _ in range(2):  # asked again within ten minutes: no second mail
        page = visit(client, "channel.fcm", "topic.promo", "channel.email")
        assert "please say yes in the mail" in page
        assert ticks(page)["channel.email"] is False
    (mail,) = wire.mails
    assert "ann@mail.example" in mail
    flat = mail.replace("=\r\n", "").replace("=3D", "=")
    key = unescape(re.search(r"preferences/confirm\?t=([\w=-]+)", flat)[1])  # type: ignore[index]
    asks = client.get("/preferences/confirm", params={"t": key})
    assert "by email again?" in asks.text
    assert refusals_of(Lake(lake.store).read_log("suppressions")).closed(USER, "email")  # a GET opens nothing
    assert client.post("/preferences/confirm", content=urlencode({"t": key}), headers=FORM).status_code == 200
    assert not refusals_of(Lake(lake.store).read_log("suppressions")).closed(USER, "email")
    assert words_of(lake, USER)["channel", "email"] is True


@pytest.mark.parametrize(
    ("titles", "language", "read"),
    [
        ({"en": "Offers", "de": "Angebote"}, "de", "Angebote"),
        ({"de": "Angebote", "en": "Offers"}, None, "Offers"),
        ({"de": "Angebote", "en": "Offers"}, "fr", "Offers"),
        ({"de": "Angebote", "fr": "Offres"}, None, "Angebote"),
        (None, "de", "price drop"),
    ],
)
def test_a_title_is_in_the_persons_language(
    titles: dict[str, str] | None, language: str | None, read: str, lake: Lake
) -> None:
    policy = {**sample_night.POLICY, "topics": {"price_drop": titles}} if titles else sample_night.POLICY
    channel = {**sample_night.CHANNEL, **({"titles": titles} if titles else {}), "id": "price_drop"}
    others = [one for one in sample_night.DOCUMENTS if one["kind"] != "policy"]
    sample_night.make(lake, 1, "2026-11-14", documents=(policy, channel, *others))
    catalog = nearest_catalog(lake, "2026-11-14")
    assert catalog is not None
    assert [title_of(catalog, kind, "price_drop", language) for kind in ("topic", "channel")] == [read, read]
    assert title_of(catalog, "channel", "gone_since", language) == "gone since"


TITLES = {
    "default": {"topics": {"promo": {"en": "Offers"}}},
    "fcm": {"titles": {"en": "Phone"}},
    "email": {"titles": {"en": "E-mail"}},
}
TITLED = tuple({**one, **TITLES.get(str(one["id"]), {})} for one in (*sample_night.DOCUMENTS, MAIL))


@pytest.mark.parametrize("documents", [TITLED])
def test_the_page_and_its_notes_say_titles(client: TestClient, lake: Lake) -> None:
    close_person(lake, USER, "fcm", for_good=True, at=NOW)
    page = visit(client, "topic.promo")
    assert set(re.findall(r"> ([^<>]+)</label>", page)) == {"Offers", "Phone", "E-mail"}
    page = visit(client, "topic.promo", "channel.fcm", "channel.email")
    assert "Phone was closed for good" in page
    assert "E-mail: please say yes in the mail" in page
    key = LINKS.make(CONFIRM, [USER, "email"], NOW)
    assert "by E-mail again?" in client.get("/preferences/confirm", params={"t": key}).text


def test_what_was_closed_for_good_stays_closed(client: TestClient, lake: Lake) -> None:
    close_person(lake, USER, "fcm", for_good=True, at=NOW)
    page = visit(client, "channel.fcm", "channel.email", "topic.promo")
    assert "fcm was closed for good" in page
    assert ticks(page)["channel.fcm"] is False


def test_the_later_of_choice_and_imported_word_holds(lake: Lake) -> None:
    def imported(is_yes: bool, at: datetime) -> None:
        row = {"user_id": USER, "kind": "topic", "name": "promo", "is_opted_in": is_yes, "updated_ts": at}
        table = pa.Table.from_pylist([row], schema=arrow.schema(dataset("user_preferences")))
        with lake.attempt("user_preferences", ds="2026-11-14") as attempt:
            attempt.write(table, "part-0000.parquet")
            attempt.publish()

    choose(lake, USER, {("topic", "promo"): False}, NOW)
    imported(True, NOW - timedelta(days=1))
    assert words_of(lake, USER) == {("topic", "promo"): False}
    imported(True, NOW)
    assert words_of(lake, USER) == {("topic", "promo"): False}  # at one time no holds
    imported(True, NOW + timedelta(days=1))
    assert words_of(lake, USER) == {("topic", "promo"): True}


@pytest.mark.parametrize(
    ("guarantee", "delivered"),
    [("at_most_once", {"accepted": 1, "skipped": 1}), ("at_least_once", {"accepted": 2})],
)
def test_a_worker_obeys_a_topic_refused_after_the_plan(
    guarantee: str, delivered: dict[str, int], bench: Any, lake: Lake
) -> None:
    bench.plan(2, guarantee=guarantee)
    choose(lake, "u00000000", {("topic", "promo"): False}, NOW)
    assert bench.deliver().delivered == delivered
    assert bench.deliver().delivered == {}
