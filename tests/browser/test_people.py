"""Audiences and People in a browser: counted while typed, and nobody named."""

from __future__ import annotations

import json
import subprocess

from tests.browser.browsing import PERSON, PHONE, PROJECT, WIDE
from tests.browser.test_looks import STICKS_OUT

HOSTILE = "<script>window.hit=1</script><img src=x onerror=window.hit=1>\"'&"
USER = "u0000002"


def looks_right(page, shots, name):
    """Check a page that only a form leads to: nothing cut off, nothing serious for axe."""
    from axe_playwright_python.sync_playwright import Axe

    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for viewport in (WIDE, PHONE):
            page.set_viewport_size(viewport)
            page.screenshot(path=shots / f"{name}-{scheme}-{viewport['width']}.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
            assert page.evaluate(STICKS_OUT) == []
        page.set_viewport_size(WIDE)
        violations = Axe().run(page).response["violations"]
        serious = [
            (one["id"], [node["html"][:120] for node in one["nodes"][:3]])
            for one in violations
            if one["impact"] in ("serious", "critical")
        ]
        assert not serious, scheme


def look_up(page, user=USER):
    page.get_by_label("Id, as the sources write it").fill(user)
    page.get_by_role("button", name="Look up").click()


def test_a_condition_is_counted_and_completed_while_typed(watched, home, seen):
    """By keyboard alone; the count is that of the command line."""
    page = watched.open("/angelia/audiences", user="vera")
    box = page.get_by_label("Condition", exact=True)
    with page.expect_response("**/audiences/words"):
        box.focus()
    page.keyboard.type("gendr = 'f'")
    page.get_by_text("did you mean gender?").wait_for()
    box.fill("")
    page.get_by_text("For example gender").wait_for()
    page.keyboard.type("gend")
    page.get_by_role("option", name="gender").wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert box.input_value() == "gender"
    page.keyboard.type(" = 'm")
    box.press("End")
    page.keyboard.type("' AND rea")
    page.get_by_role("option", name="reachable").wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.type("fcm')")
    assert box.input_value() == "gender = 'm' AND reachable('fcm')"
    words = ["audience", "count", box.input_value(), "--json"]
    done = subprocess.run(
        [home["python"], "-m", "angelia.cli", *words],
        env=home["env"], cwd=PROJECT, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    answer = json.loads(done.stdout)
    counted = f"{answer['count']:,} match, {answer['allowed']:,} may be reached (index of {home['people']})"
    page.get_by_text(counted).wait_for()
    assert answer["count"] > answer["allowed"] > 0
    assert not [url for url in seen if "gender" in url]


def test_a_condition_is_taken_apart_and_saved(watched, shots):
    page = watched.open("/plugin/angelia/angelia/audiences", user="olaf")
    frame = page.frame_locator("iframe")
    frame.get_by_label("Condition", exact=True).fill("gender = 'f' OR NOT reachable('fcm')")
    frame.get_by_role("button", name="Look closer").click()
    frame.get_by_label("Split by").select_option("gender")
    frame.get_by_label("Compare with").fill("reachable('sms')")
    frame.get_by_role("button", name="Look closer").click()
    frame.get_by_role("heading", name="By gender").wait_for()
    frame.get_by_role("heading", name="Compared with reachable('sms')").wait_for()
    frame.get_by_label("Name", exact=True).fill("browser_made")
    frame.get_by_role("button", name="Save as an audience").click()
    frame.get_by_role("heading", name="browser_made", level=1).wait_for()
    page = watched.open("/angelia/audiences", user="olaf")
    page.get_by_label("Condition", exact=True).fill("browser_made")
    page.get_by_role("button", name="Look closer").click()
    page.get_by_role("heading", name="Part by part").wait_for()
    looks_right(page, shots, "audience-asked")
    page.get_by_label("Name of the list").fill("like_browser_made")
    page.get_by_role("button", name="Make the list of people like these").click()
    page.get_by_text("Begun as manual__").wait_for()
    page.get_by_text("audience_lookalike is switched off").wait_for()
    runs = page.request.get("/api/v2/dags/audience_lookalike/dagRuns").json()["dag_runs"]
    conf = {"name": "like_browser_made", "seed": "in_audience('browser_made')", "size": 10_000}
    assert [run["conf"] for run in runs] == [conf]


def test_a_list_is_made_from_an_uploaded_file(watched):
    page = watched.open("/angelia/audiences", user="olaf")
    page.locator("summary", has_text="Make a list from a file").click()
    page.get_by_label("Name", exact=True).fill("browser_list")
    text = b"user_id\nu0000001\nu0000002\nstranger\n"
    file = {"name": "ids.csv", "mimeType": "text/csv", "buffer": text}
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("button", name="Make the list").click()
    page.get_by_text("2 people. Use it as in_list('browser_list').").wait_for()
    page.get_by_text("the index does not know the id").wait_for()


def test_a_hostile_condition_runs_nowhere(watched):
    watched.expected = ("400",)
    page = watched.open("/angelia/audiences", user="olaf")
    page.get_by_label("Condition", exact=True).fill(f"province = '{HOSTILE}")
    page.get_by_role("button", name="Look closer").click()
    page.get_by_role("heading", name="This cannot be answered").wait_for()
    page.wait_for_timeout(500)
    assert page.evaluate("window.hit") is None
    assert page.locator("main img").count() == 0


def test_a_person_is_looked_up_and_the_reason_read(watched, home, seen, shots):
    page = watched.open("/plugin/angelia/angelia/people", user="vera")
    frame = page.frame_locator("iframe")
    look_up(frame)
    frame.get_by_role("heading", name="Person 2", level=1).wait_for()
    frame.get_by_role("button", name=f"Why, {home['people']}").click()
    frame.get_by_role("heading", name=f"Why, night {home['people']}").wait_for()
    frame.get_by_text("chosen: it is sent").first.wait_for()
    assert frame.get_by_role("button", name="Suppress this person").count() == 0
    page = watched.open("/angelia/people", user="olaf")
    look_up(page)
    page.get_by_role("button", name=f"Why, {home['people']}").click()
    page.get_by_role("heading", name="Hours it could have had").first.wait_for()
    looks_right(page, shots, "person")
    assert not [url for url in seen if USER in url]


def test_a_person_is_suppressed_and_opened_by_keyboard(watched):
    page = watched.open("/angelia/people", user="olaf")
    page.get_by_label("Id, as the sources write it").focus()
    page.keyboard.type(USER)
    page.keyboard.press("Enter")
    page.get_by_text("may be contacted", exact=True).wait_for()
    for summary, label, says in (
        ("Suppress: send them nothing", "Why they are suppressed", "Suppressed: all channels."),
        ("Open again what was suppressed", "Why they may be contacted again", "Open again: all channels."),
    ):
        page.locator("summary", has_text=summary).focus()
        page.keyboard.press("Enter")
        page.get_by_label(label).focus()
        page.keyboard.type("asked by letter")
        page.keyboard.press("Enter")
        page.get_by_text(says).wait_for()
    page.goto("/angelia/audit")
    row = page.get_by_role("row").filter(has_text="suppress").first
    assert "olaf" in row.inner_text()
    assert "person 2" in row.inner_text()


def test_nobody_of_an_unknown_id_is_shown(watched):
    watched.expected = ("404",)
    page = watched.open("/angelia/people", user="vera")
    look_up(page, HOSTILE)
    page.get_by_role("heading", name="Nobody was found").wait_for()
    assert page.evaluate("window.hit") is None


def test_no_look_up_left_an_id_in_an_address_or_a_log(watched, home, seen):
    """Last of this file: people were looked up, closed and listed by then."""
    assert not [url for url in seen if PERSON.search(url)]
    for log in (home["folder"] / "logs").glob("*.log"):
        assert not PERSON.search(log.read_text("utf-8", errors="replace")), log.name
