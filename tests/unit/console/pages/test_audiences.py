"""Audiences in the console: counted like the command, taken apart, saved, refused."""

from __future__ import annotations

import re
from html import unescape
from tempfile import gettempdir

import pytest

from angelia.contracts.rows import valid_rows
from tests.unit.audience.typed import asked

N = 600
HOSTILE = "<script>window.hit=1</script>"


@pytest.mark.parametrize("text", ["gender = 'f'", "NOT reachable('fcm')", "TRUE", "promo_allowed"])
def test_the_live_count_is_the_commands(console, known, capsys, text):
    counted = console("VIEWER").post("/audiences/count", data={"text": text}).json()
    command = asked(capsys, "count", text)
    assert (counted["matched"], counted["allowed"]) == (command["count"], command["allowed"])
    assert command["held_out"] is not None


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        ("gendr = 'f'", 0, "unknown field 'gendr'"),
        ("gender = 'f' AND\nprovinc = 'x'", 17, "unknown field 'provinc'"),
        ("in_list('nobody')", None, "no list 'nobody'"),
        ("nobody_here", 0, "no audience 'nobody_here'"),
        ("", None, "there is no condition yet"),
        ("gender = ", None, ""),
        ("x" * 20_001, None, "at most 20,000 characters"),
    ],
)
def test_a_mistake_is_shown_at_its_place(console, known, text, at, says):
    client = console("VIEWER")
    answer = client.post("/audiences/count", data={"text": text})
    assert answer.status_code == 200
    assert says in answer.json()["problem"]
    assert at is None or answer.json()["at"] == at
    page = client.post("/audiences/ask", data={"text": text})
    assert page.status_code == 400
    assert "Traceback" not in page.text
    assert 'role="alert"' in page.text
    if at is not None:
        marked = re.search(r"<mark>(.*?)</mark>", page.text)[1]
        assert unescape(marked) == re.match(r"\w+", text[at:])[0]


def test_a_condition_is_taken_apart(console, known, capsys):
    text = "gender = 'f' OR promo_allowed_is_no_field IS NULL".partition(" OR ")[0] + " AND age_years >= 18"
    form = {"text": text, "by": "gender", "other": "promo_allowed", "topic": "promo"}
    page = console("VIEWER").post("/audiences/ask", data=form).text
    plan = asked(capsys, "explain", text)["plan"]
    shown = re.findall(
        r'<code class="d(\d)">(.*?)</code></th><td class="n" data-label="people">([\d,]+)', page
    )
    assert [(int(d), unescape(node), int(n.replace(",", ""))) for d, node, n in shown] == [
        (row["depth"], row["node"], row["count"]) for row in plan
    ]
    both = asked(capsys, "overlap", text, "promo_allowed")["both"]
    assert f'<th scope="row">both</th><td class="n" data-label="number">{both:,}</td>' in page
    assert "By gender" in page


def test_everybody_left_out_has_a_reason(console, known):
    """The tiles add up: who matches is left out under one reason, or may be reached."""
    page = console("VIEWER").post("/audiences/ask", data={"text": "TRUE", "topic": "promo"}).text
    tiles = re.findall(r'<div class="tile"><b>([\d,]+)</b><span>([a-z ]+)', page)
    numbers = {what: int(n.replace(",", "")) for n, what in tiles}
    left_out = ("suppressed", "without a channel", "opted out", "held out")
    assert numbers["match"] == N
    assert sum(numbers[name] for name in left_out) + numbers["may be reached"] == N
    assert numbers["held out"] > 50


def test_saving_is_audited_and_never_overwrites(console, known):
    client = console("USER")
    form = {"text": "gender = 'f'\r\nAND age_years > 20", "name": "grown_women", "description": "women"}
    saved = client.post("/audiences/save", data={**form, "made_from": 0})
    assert (saved.status_code, saved.headers["location"]) == (303, "/audiences/grown_women")
    head = known.get("audience", "grown_women")
    assert (head.document.predicate, head.actor) == ("gender = 'f'\nAND age_years > 20", "ada (USER)")
    again = client.post("/audiences/save", data={**form, "made_from": 0})
    assert again.status_code == 409
    assert "version 1 by ada (USER)" in again.text
    changed = client.post("/audiences/save", data={**form, "text": "gender = 'f'", "made_from": 1})
    assert changed.status_code == 303
    assert known.get("audience", "grown_women").version == 2
    assert console("VIEWER").post("/audiences/save", data=form).status_code == 403


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"text": "gendr = 'f'", "name": "fine"}, "Did you mean gender?"),
        ({"text": "TRUE", "name": "Not A Name"}, "Not A Name"),
        ({"text": "TRUE", "name": "../../x"}, "x"),
        ({"text": "in_audience('fine')", "name": "fine"}, "fine"),
    ],
)
def test_a_wrong_audience_is_refused_in_one_line(console, known, form, says):
    answer = console("USER").post("/audiences/save", data=form)
    assert answer.status_code == 400
    assert says in answer.text
    assert gettempdir() not in answer.text
    assert "Traceback" not in answer.text


def test_a_saved_audience_says_who_uses_it(console, known):
    client = console("VIEWER")
    page = client.get("/audiences/browsers").text
    assert "/campaigns/price_drop" in page
    assert client.get("/audiences/browserz").status_code == 404
    listing = client.get("/audiences").text
    row = listing.partition('href="/audiences/browsers"')[2].partition("</tr>")[0]
    assert "campaign/price_drop" in row


def test_a_list_is_made_from_a_file_and_audited(console, known):
    client, ids = console("USER"), valid_rows("user_index", 9)["user_id"].to_pylist()
    text = "user_id\n" + "\n".join([*ids, ids[0], "stranger", ""])
    answer = client.post("/audiences/lists", data={"name": "vips"}, files={"file": ("x.csv", text)})
    assert answer.status_code == 200
    assert "9 people" in answer.text
    assert "the index does not know the id" in answer.text
    assert ids[0] not in answer.text
    (entry,) = known.audit("list", "vips")
    assert (entry.actor, entry.detail.partition(";")[0]) == ("ada (USER)", "9 people")
    assert client.post("/audiences/count", data={"text": "in_list('vips')"}).json()["matched"] == 9
    refused = client.post(
        "/audiences/lists", data={"name": "vips"}, files={"file": ("x.csv", "user_id\nzz\n")}
    )
    assert refused.status_code == 400
    assert "1 of 1 ids are unknown" in refused.text
    assert "tick the box that takes it even so" in refused.text
    assert "--force" not in refused.text
    assert client.post("/audiences/lists", data={"name": "vips"}).status_code == 400
    assert console("USER").get("/audit").text.count("/catalog/list/") == 0


def test_completions_name_fields_functions_and_values(console, known):
    words = console("VIEWER").get("/audiences/words").json()
    assert {"gender", "age_years", "tag"} <= {one["name"] for one in words["fields"]}
    assert {"count_events", "in_audience"} <= {one["name"] for one in words["functions"]}
    assert set(words["values"]["gender"]) <= {"f", "m", "x"}
    assert "promo_allowed" in words["values"]["in_audience"]
    assert words["values"]["reachable"]


def test_without_an_index_the_page_says_what_to_run(console, catalog):
    page = console("VIEWER").get("/audiences")
    assert page.status_code == 200
    assert "There is no audience index yet." in page.text
    assert console("VIEWER").post("/audiences/count", data={"text": "TRUE"}).json()["problem"]


def test_hostile_conditions_are_escaped(console, known):
    text = f"province = '{HOSTILE}'"
    page = console("USER").post("/audiences/ask", data={"text": text, "other": f"'{HOSTILE}"})
    assert HOSTILE not in page.text
    page = console("USER").post("/audiences/ask", data={"text": text + " OR TRUE", "by": HOSTILE})
    assert HOSTILE not in page.text
    assert page.status_code == 400
