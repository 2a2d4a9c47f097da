"""Documents edited in the console: checked, compared, saved whole or not at all."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape
from tempfile import gettempdir

import pytest
import yaml

from angelia.catalog.apply import as_yaml
from angelia.catalog.documents import parse_document
from angelia.console import editing
from angelia.errors import Conflict

EDIT = "/catalog/campaign/price_drop/edit"
NOW = datetime(2026, 11, 15, tzinfo=UTC)
TODAY = NOW.date()


def text_of(page):
    """Return what stands in the editor, as a browser reads it."""
    return unescape(re.search(r"<textarea[^>]*>\n(.*?)</textarea>", page, re.DOTALL)[1])


def send(client, text, made_from=1, action="check", path=EDIT):
    return client.post(path, data={"text": text, "made_from": made_from, "action": action})


@pytest.fixture
def text(console, catalog):
    return text_of(console("USER").get(EDIT).text)


def test_a_change_is_compared_saved_and_audited(console, catalog, text):
    client, changed = console("USER"), text.replace("name: Price drop", "name: Cheaper now")
    checked = send(client, changed)
    assert checked.status_code == 200
    assert "+name: Cheaper now" in checked.text
    assert "Save as version 2" in checked.text
    assert catalog.get("campaign", "price_drop").version == 1
    saved = send(client, changed.replace("\n", "\r\n"), action="save")
    assert (saved.status_code, saved.headers["location"]) == (303, "/catalog/campaign/price_drop")
    head = catalog.get("campaign", "price_drop")
    assert (head.version, head.actor, head.document.name) == (2, "ada (USER)", "Cheaper now")


def test_an_unchanged_text_saves_nothing(console, catalog, text):
    answer = send(console("USER"), text, action="save")
    assert answer.status_code == 200
    assert "Nothing: the text says what the catalog says." in answer.text
    assert catalog.get("campaign", "price_drop").version == 1


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "audience: browsers",
            "audience: browserz",
            "no audience &#39;browserz&#39;; did you mean browsers?",
        ),
        ("audience:", "audiense:", "unknown field; did you mean audience?"),
        ("value_per_open: 0.05", "value_per_open: lots", "value_per_open"),
        ("name: Price drop", "name: [", "YAML: "),
        ("id: price_drop", "id: another", "this page saves campaign/price_drop alone"),
    ],
)
@pytest.mark.parametrize("action", ["check", "save"])
def test_a_wrong_text_is_refused_and_kept_in_the_editor(console, catalog, text, old, new, says, action):
    wrong = text.replace(old, new, 1)
    answer = send(console("USER"), wrong, action=action)
    assert answer.status_code == 400
    assert says in answer.text
    assert gettempdir() not in answer.text
    assert text_of(answer.text) == wrong
    assert catalog.get("campaign", "price_drop").version == 1


def test_the_second_of_two_editors_sees_who_and_what(console, catalog, text):
    client = console("USER")
    send(client, text.replace("name: Price drop", "name: Cheaper now"), action="save")
    mine = text.replace("ttl_hours: 12", "ttl_hours: 6")
    answer = send(client, mine, action="save")
    assert answer.status_code == 409
    assert "ada (USER) made version 2 at 2026-11-15 09:30 UTC" in answer.text
    assert "+name: Cheaper now" in answer.text
    assert text_of(answer.text) == mine
    assert catalog.get("campaign", "price_drop").version == 2
    assert 'name="made_from" value="2"' in answer.text
    both = mine.replace("name: Price drop", "name: Cheaper now")
    assert send(client, both, made_from=2, action="save").status_code == 303
    assert catalog.get("campaign", "price_drop").document.ttl_hours == 6


def test_a_change_between_check_and_save_is_a_conflict(catalog, text):
    changed = text.replace("ttl_hours: 12", "ttl_hours: 6")
    checked = editing.check(catalog, changed, 1, ("campaign", "price_drop"), TODAY)
    other = editing.check(catalog, text.replace("ttl_hours: 12", "ttl_hours: 8"), 1, checked.key, TODAY)
    editing.save(catalog, other, actor="bob", at=NOW)
    with pytest.raises(Conflict):
        editing.save(catalog, checked, actor="ada", at=NOW)
    assert catalog.get("campaign", "price_drop").document.ttl_hours == 8


def test_a_new_document_is_made_like_another(console, catalog):
    client, path = console("USER"), "/catalog/new"
    copy = text_of(client.get(f"{path}?kind=campaign&like=price_drop").text)
    assert "id: price_drop_copy" in copy
    assert send(client, copy, 0, "save", path).headers["location"] == "/catalog/campaign/price_drop_copy"
    again = send(client, copy, 0, "save", path)
    assert again.status_code == 400
    assert "is there already" in again.text


@pytest.mark.parametrize("kind", ["audience", "material", "template", "channel", "policy"])
def test_every_kind_is_edited_the_same_way(console, catalog, kind):
    name = next(head.id for head in catalog.heads().values() if head.kind == kind)
    client, path = console("USER"), f"/catalog/{kind}/{name}/edit"
    text = text_of(client.get(path).text)
    assert parse_document(yaml.safe_load(text)) == catalog.get(kind, name).document
    assert "Nothing: the text says" in send(client, text, path=path).text


def test_past_versions_are_shown_compared_and_taken_up(console, catalog, text):
    client = console("USER")
    send(client, text.replace("name: Price drop", "name: Cheaper now"), action="save")
    page = client.get("/catalog/campaign/price_drop?version=1").text
    assert "-name: Price drop" in page
    assert "+name: Cheaper now" in page
    old = text_of(client.get(f"{EDIT}?version=1").text)
    assert send(client, old, made_from=2, action="save").status_code == 303
    assert catalog.get("campaign", "price_drop").version == 3
    assert client.get("/catalog/campaign/price_drop?version=9").status_code == 404


def test_the_download_is_what_apply_takes(console, catalog):
    answer = console("VIEWER").get("/catalog/campaign/price_drop/download")
    assert answer.headers["content-disposition"] == 'attachment; filename="campaign-price_drop.yaml"'
    assert answer.text == as_yaml(catalog.get("campaign", "price_drop").document)


def test_the_list_names_where_documents_are_used(console, catalog):
    page = console("VIEWER").get("/catalog?kind=audience").text
    row = page.partition('href="/catalog/audience/browsers"')[2].partition("</tr>")[0]
    assert "campaign/price_drop" in row
    assert console("VIEWER").get("/catalog?kind=person").status_code == 400
    assert console("VIEWER").get("/catalog/campaign/price_dorp").status_code == 404


def test_an_endless_text_is_refused(console, catalog):
    answer = send(console("USER"), "kind: campaign\n" + "# x" * 100_000)
    assert answer.status_code == 400
    assert "at most 200,000 bytes" in answer.text


def test_materials_and_templates_show_what_they_say(console, catalog):
    material = catalog.get("material", "price_drop_camera").document
    for path in ("material/price_drop_camera", f"template/{material.template}"):
        page = console("VIEWER").get(f"/catalog/{path}").text
        assert "Price drop: cameras" in page
        assert "of 4,096 bytes" in page
    assert "What it says" not in console("VIEWER").get("/catalog/channel/fcm").text


def test_the_editor_shows_what_a_text_would_say(console, catalog):
    path = "/catalog/material/price_drop_camera/edit"
    text = text_of(console("USER").get(path).text)
    assert "What it would say" not in console("USER").get(path).text
    value = next(str(one) for one in catalog.get("material", "price_drop_camera").document.fields.values())
    page = send(console("USER"), text.replace(value, "Kiosk goods", 1), path=path).text
    assert "What it would say" in page
    assert "Kiosk goods" in page.partition("What it would say")[2].partition("<textarea")[0]
    template = f"/catalog/template/{catalog.get('material', 'price_drop_camera').document.template}/edit"
    text = text_of(console("USER").get(template).text)
    page = send(console("USER"), text.replace("Price drop: ", "Cheaper now: ", 1), path=template).text
    assert "Cheaper now: cameras" in unescape(page)


def test_uses_are_links(console, catalog):
    page = console("VIEWER").get("/catalog/audience/promo_allowed").text
    assert 'Used by <a href="/audiences/browsers">audience/browsers</a>' in page
    page = console("VIEWER").get("/catalog/material/price_drop_camera").text
    assert 'href="/campaigns/price_drop"' in page
    page = console("VIEWER").get("/catalog?kind=audience").text
    assert 'href="/campaigns/price_drop"' in page
