"""What operators do, done in a browser against Airflow's own API server."""

from __future__ import annotations

import json
import time

import pytest

from tests.browser.browsing import PHONE, frame_of, process, wait

DAGS = (
    *("nightly_personalization", "hourly_dispatch", "daily_effects", "weekly_retrain", "campaign_backfill"),
    *("plan_whatif", "effects_over"),
)
API = "/api/v2/dags"
DEEP = "/plugin/angelia/angelia/campaigns/price_drop"


def totals(page, ds):
    """Return a night's totals as the page's script would ask for them."""
    return page.request.get(f"/angelia/today/totals?ds={ds}").json()


def test_login_leads_to_the_deep_link(watched):
    watched.expected = ("401",)  # Airflow's own page asks before it leads to the login
    page = watched.open(DEEP, user=None)
    page.wait_for_url("**/auth/login?next=*")
    page.fill("input[name=username]", "ada")
    page.fill("input[name=password]", "ada-secret")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"**{DEEP}")
    frame = frame_of(page)
    frame.get_by_role("heading", name="Price drop", level=1).wait_for()
    # Airflow's address follows the frame, and Back leads back.
    frame.get_by_role("link", name="Campaigns").first.click()
    page.wait_for_url("**/plugin/angelia/angelia/campaigns")
    frame.get_by_role("link", name="Win back").click()
    page.wait_for_url("**/plugin/angelia/angelia/campaigns/win_back")


def test_a_page_outside_the_frame_leads_to_the_login_and_back(watched):
    page = watched.open("/angelia/campaigns", user=None)
    page.wait_for_url("**/auth/login?next=*")
    page.fill("input[name=username]", "vera")
    page.fill("input[name=password]", "vera-secret")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Campaigns", level=1).wait_for()
    assert page.url.endswith("/angelia/campaigns")


def test_a_lost_session_says_reload_inside_the_frame(watched):
    page = watched.open("/plugin/angelia")
    frame = frame_of(page)
    frame.get_by_role("heading", name="Today").wait_for()
    watched.expected = ("401",)
    page.context.clear_cookies()
    frame.get_by_role("link", name="Campaigns").first.click()
    frame.get_by_role("heading", name="Your session has ended").wait_for()
    frame.get_by_role("button", name="Reload").click()
    page.wait_for_url("**/auth/login?next=*")


def test_a_stop_reaches_a_running_worker_within_ten_seconds(watched, home):
    """The worker is the command line's own, on the wall clock, sending to the sandbox."""
    angelia, logs, ds = [home["python"], "-m", "angelia.cli"], home["folder"] / "logs", home["slow"]
    ready = home["folder"] / "sandbox.json"
    words = ["sandbox", "--port", "0", "--http-port", "0", "--max-seconds", "240", "--ready-file", str(ready)]
    page = watched.open(DEEP, user="olaf")
    frame = frame_of(page)
    with process([*angelia, *words], home["env"], logs / "sandbox.log"):
        at = json.loads(wait(60, lambda: ready.exists() and ready.read_text(), "the sandbox listens"))
        env = home["env"] | {
            "ANGELIA_FCM_URL": at["url"],
            "ANGELIA_FCM_CREDENTIALS": at["credentials"],
            "ANGELIA_CA_FILE": at["ca_file"],
        }
        deliver = ["deliver", "--ds", ds, "--batch-rows", "50", "--json"]
        with process([*angelia, *deliver], env, logs / "deliver.log") as worker:
            wait(90, lambda: totals(page, ds)["outcomes"].get("accepted", 0) >= 50, "the worker sends")
            frame.get_by_label("Why it is stopped").fill("wrong price")
            frame.get_by_role("button", name="Stop Price drop").click()
            frame.get_by_text("wrong price").first.wait_for()
            began = time.monotonic()
            # Messages of a stopped campaign are skipped: once one is, the worker has seen the stop.
            wait(60, lambda: totals(page, ds)["outcomes"].get("skipped", 0) > 0, "the worker skips")
            assert worker.poll() is None or worker.returncode == 0
            seen_after = time.monotonic() - began
            accepted = totals(page, ds)["outcomes"]["accepted"]
            # A batch of 50 may have been in flight; after it, not one more is sent.
            wait(60, lambda: totals(page, ds)["rows_open"] == 0, "every row is accounted for")
            assert totals(page, ds)["outcomes"]["accepted"] <= accepted + 50
            assert seen_after <= 15, "ten seconds, and the batch in flight"
    page.goto(f"/angelia/today?ds={ds}")
    page.get_by_text("is stopped since").wait_for()
    page.goto(DEEP)
    frame = frame_of(page)
    frame.get_by_label("Why it may go on").fill("right again")
    frame.get_by_role("button", name="Resume Price drop").click()
    frame.get_by_role("button", name="Stop Price drop").wait_for()


def test_a_held_campaign_says_that_it_waits_and_why(watched):
    page = watched.open("/plugin/angelia/angelia/campaigns/win_back")
    lead = frame_of(page).locator("p.lead").first
    assert "waiting for approval" in lead.inner_text()
    assert "win_back asks for approval: 800 messages planned" in lead.inner_text()
    page.goto("/angelia/approvals")
    row = page.get_by_role("row", name="campaigns held back unless a person wants them: win_back")
    assert "no manifests" in row.inner_text() or "another plan" in row.inner_text()


def test_a_viewers_answer_is_refused(watched):
    """No button is offered, and whoever sends the answer all the same is refused by Airflow."""
    page = watched.open("/angelia/today", user="vera")
    page.get_by_role("heading", name="Send the night").wait_for()
    assert page.get_by_role("button", name="Approve").count() == 0
    assert page.get_by_role("button", name="Switch on").count() == 0
    question = (
        f"{API}/nightly_personalization/dagRuns/browser_ask_night/taskInstances/ask_night/-1/hitlDetails"
    )
    answer = page.request.patch(question, data={"chosen_options": ["Approve"], "params_input": {}})
    assert answer.status == 403
    assert page.request.get(question).json()["response_received"] is False


def test_an_answer_names_who_and_what_it_is_about(watched):
    page = watched.open("/plugin/angelia")
    frame = frame_of(page)
    box = frame.locator("article.question", has_text="Promote model")
    box.get_by_text("Answer by 2030-01-01 03:30 UTC; no answer counts as Reject.").first.wait_for()
    assert box.get_by_role("cell", name="0.20000").is_visible()
    assert box.inner_text().count("no answer counts as") == 1
    box.get_by_role("button", name="Approve").click()
    box.get_by_role("button", name="Yes: Approve").click()
    box.wait_for(state="detached")
    question = f"{API}/weekly_retrain/dagRuns/browser_approve/taskInstances/approve/-1/hitlDetails"
    answer = page.request.get(question).json()
    assert answer["chosen_options"] == ["Approve"]
    assert answer["params_input"] == {"about": "3f9a0c1d2e4b"}
    assert answer["responded_by_user"]["name"] == "ada"


def test_no_keeps_a_question_open(watched):
    page = watched.open("/angelia/today")
    box = page.locator("article.question", has_text="Send the night")
    box.get_by_role("button", name="Reject").click()
    box.get_by_role("button", name="No", exact=True).click()
    box.get_by_role("button", name="Reject").wait_for()
    assert page.evaluate("document.activeElement.textContent") == "Reject"


def test_what_failed_is_named_with_its_command_and_cleared(watched, home):
    page = watched.open("/angelia/today", user="olaf")
    command = f"angelia quality check --gate sources --ds {home['tonight']}"
    page.get_by_text(command, exact=True).wait_for()
    row = page.locator("[data-failed] .question", has_text="nightly_personalization.check_sources")
    row.get_by_role("button", name="Clear it and what follows").click()
    row.get_by_role("button", name="Yes: Clear it and what follows").click()
    row.wait_for(state="detached")


def test_a_link_leads_out_of_the_frame_into_airflow(watched):
    page = watched.open("/plugin/angelia")
    frame_of(page).get_by_role("link", name="nightly_personalization.ask_night in Airflow").click()
    page.wait_for_url("**/dags/nightly_personalization/runs/browser_ask_night/tasks/ask_night*")
    assert page.locator("iframe").count() == 0


@pytest.mark.parametrize("dag", DAGS)
def test_every_dags_form_can_be_triggered_with_its_defaults(watched, dag):
    page = watched.open()
    # Switched on before: a form that switches a DAG on sends that beside the run; on SQLite one of the two
    # can wait for the other within Airflow's one event loop until the lock times out (docs/OPERATING.md).
    assert page.request.patch(f"/api/v2/dags/{dag}", data={"is_paused": False}).ok
    page.goto(f"/dags/{dag}")
    page.get_by_role("button", name="Trigger Dag").click()
    send = page.get_by_role("dialog").get_by_role("button", name="Trigger", exact=True)
    send.wait_for()
    wait(20, send.is_enabled, "the form's own values are valid")
    with page.expect_response(lambda answer: answer.url.endswith(f"/dags/{dag}/dagRuns")) as answered:
        send.click()
    assert answered.value.status == 200, answered.value.text()


def test_a_switch_turns_a_dag_on(watched):
    page = watched.open("/angelia/today", user="olaf")
    page.request.patch("/api/v2/dags/daily_effects", data={"is_paused": True})
    page.reload()
    row = page.locator("[data-paused] .row", has_text="daily_effects")
    row.get_by_role("button", name="Switch on").click()
    row.get_by_role("button", name="Yes: Switch on").click()
    row.wait_for(state="detached")
    assert page.request.get("/api/v2/dags/daily_effects").json()["is_paused"] is False


def test_no_dag_at_all_is_not_called_switched_on(watched):
    page = watched.open(user="olaf")
    page.route("**/api/v2/dags?tags=angelia**", lambda route: route.fulfill(json={"dags": []}))
    page.goto("/angelia/today")
    page.get_by_text("Airflow knows no DAG of Angelia yet").wait_for()


def test_a_campaign_is_stopped_by_keyboard_alone(watched):
    page = watched.open("/angelia/today", user="olaf")

    def tab_to(words):
        for _ in range(60):
            page.keyboard.press("Tab")
            focused = page.evaluate(
                "(() => { const a = document.activeElement; return a.id || a.textContent.trim(); })()"
            )
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"focus cannot be seen on {focused}"
            if focused == words:
                return
        raise AssertionError(f"Tab does not reach {words}")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the content"
    tab_to("Campaigns")
    page.keyboard.press("Enter")
    page.wait_for_url("**/campaigns")
    tab_to("Win back")
    page.keyboard.press("Enter")
    page.wait_for_url("**/campaigns/win_back")
    tab_to("reason")
    page.keyboard.type("by keyboard")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Resume Win back").wait_for()
    tab_to("reason")
    page.keyboard.type("on again")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Stop Win back").wait_for()


def test_the_second_of_two_editors_sees_who_when_and_what(watched):
    watched.expected = ("409",)
    path = "/angelia/catalog/campaign/weekly_digest/edit"
    first, second = watched.open(path, user="olaf"), watched.open(path, user="ada")

    def write(page, old, new):
        box = page.get_by_label("YAML")
        assert old in box.input_value()
        box.fill(box.input_value().replace(old, new))
        page.get_by_role("button", name="Check and compare").click()

    write(first, "name: Weekly digest", "name: Weekly news")
    first.get_by_text("+name: Weekly news", exact=True).wait_for()
    first.get_by_role("button", name="Save as version 2").click()
    first.get_by_role("heading", name="weekly_digest", level=1).wait_for()
    write(second, "approval_required: false", "approval_required: true")
    alarm = second.get_by_role("alert")
    alarm.get_by_text("olaf made version 2 at").wait_for()
    alarm.get_by_text("+name: Weekly news", exact=True).wait_for()
    assert "approval_required: true" in second.get_by_label("YAML").input_value()
    # Both put together, and checked against the new version.
    write(second, "name: Weekly digest", "name: Weekly news")
    second.get_by_role("button", name="Save as version 3").click()
    second.get_by_role("heading", name="weekly_digest", level=1).wait_for()
    assert "approval_required: true" in second.locator("pre").first.inner_text()


def test_a_wrong_document_is_refused_with_its_line(watched):
    watched.expected = ("400",)
    page = watched.open("/angelia/catalog/campaign/win_back/edit", user="olaf")
    box = page.get_by_label("YAML")
    box.fill(box.input_value().replace("audience:", "audiense:"))
    page.get_by_role("button", name="Check and compare").click()
    page.get_by_text("unknown field; did you mean audience?").wait_for()
    assert page.get_by_role("button", name="Save").count() == 0
    # The line that is named is marked in the text, which shows no numbers.
    row = page.get_by_role("listitem").filter(has_text="unknown field")
    row.get_by_role("link", name="line").click()
    marked = "(() => { const a = document.activeElement; return a.value.slice(a.selectionStart); })()"
    assert page.evaluate(marked).startswith("audiense:")


def test_a_second_click_sends_a_form_once(watched):
    """The first request is held, as a slow network would, until the button was pressed again."""
    page = watched.open("/angelia/campaigns/onboarding", user="olaf")
    held = []
    page.route("**/campaigns/onboarding/stop", lambda route: held.append(route))
    page.get_by_label("Why it is stopped").fill("clicked twice")
    button = page.get_by_role("button", name="Stop Onboarding")
    button.evaluate("button => { button.click(); setTimeout(() => button.click(), 200); }")
    page.wait_for_timeout(700)
    assert len(held) == 1
    held[0].continue_()
    page.get_by_label("Why it may go on").fill("once was enough")
    page.get_by_role("button", name="Resume Onboarding").click()
    page.get_by_role("button", name="Stop Onboarding").wait_for()


def test_a_document_is_downloaded_as_yaml(watched):
    page = watched.open("/plugin/angelia/angelia/catalog/campaign/win_back")
    with page.expect_download() as taken:
        frame_of(page).get_by_role("link", name="Download as YAML").click()
    assert taken.value.suggested_filename == "campaign-win_back.yaml"
    assert taken.value.path().read_text("utf-8").startswith("kind: campaign\nid: win_back\n")


def test_the_trail_is_searched_by_a_form(watched, seen):
    page = watched.open("/angelia/audit", user="vera")
    page.get_by_label("Words").fill("hostile u99999999")
    page.get_by_role("button", name="Search").click()
    page.get_by_text("Nothing in the trail fits this search.").wait_for()
    page.get_by_label("Words").fill("material hostile")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="material/hostile").wait_for()
    assert not [url for url in seen if "99999999" in url]


def test_answers_are_listed_with_who_gave_them(watched):
    page = watched.open("/angelia/approvals")
    row = page.locator("[data-answered] tr", has_text="Promote model 2026-11-14-0123?")
    row.get_by_text("ada").wait_for()
    assert row.get_by_text("3f9a0c1d2e4b").is_visible()


def test_hostile_texts_run_nowhere(watched):
    page = watched.open("/angelia/today")
    page.get_by_role("heading", name="Send the night").wait_for()
    for path in ("/angelia/today", "/angelia/campaigns", "/angelia/campaigns/hostile"):
        page.goto(path)
        page.wait_for_timeout(500)
        assert page.evaluate("window.hit") is None
        assert page.locator("main img, main script").count() == 0, path
    page.get_by_role("heading", name="<script>window.hit=1</script>").wait_for()
    assert page.get_by_text("{{ 7*7 }}").count() > 0


def test_a_foreign_page_can_neither_frame_nor_write(watched, server):
    page = watched.open("/angelia/today")
    watched.expected = ("frame", "403", "Framing")
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    answer = page.request.post("/angelia/campaigns/win_back/stop", form={"reason": "x"}, headers=headers)
    assert answer.status == 403
    policy = page.request.get("/angelia/today").headers["content-security-policy"]
    assert "frame-ancestors 'self'" in policy


def test_a_phone_shows_the_question_and_its_buttons(watched):
    page = watched.open("/angelia/today", viewport=PHONE)
    page.get_by_role("heading", name="Send the night").wait_for()
    box = page.get_by_role("button", name="Approve").first.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"]
    assert box["height"] >= 36
