"""What-ifs, replays, resends and effects, asked for in a browser.

No scheduler runs here: Airflow takes the run that a page asks for, and the test runs the task's command.
"""

from __future__ import annotations

import json
import re
import subprocess

from tests.browser.browsing import PROJECT, frame_of, wait

PLANNED = "2026-11-14"  # the night that home.py planned with the job's own code
RUNS = "/api/v2/dags/{dag}/dagRuns?order_by=-run_after&limit=20"


def newest(page, dag):
    """Return the newest run of a DAG."""
    runs = page.request.get(RUNS.format(dag=dag)).json()["dag_runs"]
    return runs[0] if runs else None


def work(home, *words):
    """Run a task's command as the task would, or a script of these tests."""
    env = home["env"] | {"ANGELIA_SPARK_MASTER": "inline"}
    done = subprocess.run(
        [home["python"], *words],
        env=env,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def opened(frame, group):
    """Unfold a group of the form."""
    box = frame.locator("details.group", has_text=group).first
    if box.get_attribute("open") is None:
        box.locator("summary").click()
    return box


def test_a_what_if_is_asked_solved_and_shown(watched, home):
    watched.expected = ("400",)
    page = watched.open(f"/plugin/angelia/angelia/plan?ds={PLANNED}", user="olaf")
    frame = frame_of(page)
    frame.get_by_role("link", name="What if …").click()
    opened(frame, "Everybody")
    frame.locator("[id='caps.user_per_day']").fill("many")
    frame.get_by_role("button", name="Check it").click()
    problem = frame.locator("[id='caps.user_per_day-problem']")
    assert "not a whole number" in problem.inner_text()
    assert frame.locator("[id='caps.user_per_day']").get_attribute("aria-invalid") == "true"
    frame.locator("[id='caps.user_per_day']").fill("1")
    frame.get_by_role("button", name="Check it").click()
    frame.get_by_role("button", name="Solve it").click()
    frame.get_by_role("heading", name="Being solved").wait_for()
    run = newest(page, "plan_whatif")
    assert run["conf"] == {"ds": PLANNED, "settings": {"caps.user_per_day": "1"}}
    assert run["triggering_user_name"] == "olaf"
    frame.get_by_text(re.compile("plan_whatif: (queued|running)")).wait_for()
    words = ("plan", "whatif", "--ds", PLANNED, "--settings", '{"caps.user_per_day": "1"}', "--keep")
    work(home, "-m", "angelia.cli", *words)
    frame.get_by_role("heading", name="In all").wait_for(timeout=20_000)
    row = frame.get_by_role("row", name=re.compile("^messages"))
    assert "-" in row.locator("td").last.inner_text(), "a cap takes messages away"
    # The page has an address of its own, for a viewer, too.
    other = watched.open(frame.locator("h1").page.url.partition("/plugin/angelia")[2], user="vera")
    other.get_by_role("heading", name="In all").wait_for()


def test_a_replay_leads_from_its_form_to_its_comparison(watched, home):
    page = watched.open(f"/angelia/replay?first={PLANNED}&last={PLANNED}", user="olaf")
    opened(page, "sale")
    page.locator("[id='window.sale']").fill("9-18")
    page.get_by_role("button", name="Check it").click()
    page.get_by_role("button", name="Replay", exact=True).click()
    page.get_by_role("heading", name="Being decided").wait_for()
    conf = newest(page, "campaign_backfill")["conf"]
    changes = '{"sale": {"send_window": {"start": 9, "end": 18}}}'
    assert conf["mode"] == "replay"
    assert conf["changes"] == json.loads(changes)
    # The command goes on to manifests, which takes Spark: the scheduler's tests run all of it.
    work(home, str(PROJECT / "tests" / "browser" / "replayed.py"), PLANNED, changes)
    page.get_by_role("heading", name="Replay beside main").wait_for(timeout=30_000)
    page.get_by_role("cell", name='{"start": 9, "end": 18}').wait_for()
    page.get_by_role("heading", name="People who gain or lose a message").wait_for()
    page.goto("/angelia/replay")
    page.get_by_role("link", name=re.compile("replay-2026-11-14-")).wait_for()


def test_a_replay_that_nobody_asked_for_says_so(watched):
    page = watched.open("/angelia/replay/replay-2026-11-14-nobody", user="vera")
    page.get_by_text("No run of campaign_backfill decides this").wait_for()


def test_a_resend_names_its_campaigns_and_asks(watched):
    watched.expected = ("400",)
    page = watched.open("/angelia/replay/resend", user="olaf")
    page.get_by_role("button", name="Check it").click()
    page.get_by_text("choose at least one campaign").wait_for()
    page.get_by_label("win_back").check()
    page.get_by_role("button", name="Check it").click()
    page.get_by_role("button", name="Count, and ask").click()
    page.get_by_text(re.compile("campaign_backfill: (queued|running)")).wait_for()
    conf = newest(page, "campaign_backfill")["conf"]
    assert (conf["mode"], conf["campaigns"]) == ("resend", ["win_back"])


def test_nights_are_compared_by_the_persons_own_rights(watched):
    admin = watched.open("/angelia/effects", user="ada")
    for run in admin.request.get(RUNS.format(dag="effects_over")).json()["dag_runs"]:
        # The form's own test left a run that waits for ever, as no scheduler is here to end it.
        assert admin.request.delete(f"/api/v2/dags/effects_over/dagRuns/{run['dag_run_id']}").ok
    page = watched.open("/angelia/effects", user="olaf")
    page.locator("details#span summary").click()
    page.get_by_role("button", name="Check it").click()
    page.get_by_role("button", name="Compare these nights").click()
    page.get_by_text(re.compile("effects_over: (queued|running)")).wait_for()
    run = newest(page, "effects_over")
    assert run["triggering_user_name"] == "olaf"
    assert run["conf"]["conversion"] == "purchase"


def test_a_viewer_can_trigger_nothing_here(watched):
    page = watched.open("/angelia/plan", user="vera")
    assert page.get_by_role("link", name="What if …").count() == 0
    answer = page.request.post("/api/v2/dags/plan_whatif/dagRuns", data={"logical_date": None, "conf": {}})
    assert answer.status == 403


def test_a_what_if_is_asked_by_keyboard_alone(watched):
    page = watched.open(f"/angelia/plan/what-if?ds={PLANNED}", user="olaf")

    def tab_to(test):
        for _ in range(80):
            page.keyboard.press("Tab")
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
            if page.evaluate(f"(() => {{ const a = document.activeElement; return {test}; }})()"):
                return
        raise AssertionError(f"Tab does not reach {test}")

    tab_to("a.id === 'min_gap_hours'")
    page.keyboard.press("Control+A")
    page.keyboard.type("4")
    page.keyboard.press("Enter")
    page.get_by_text("min_gap_hours = 4").wait_for()
    tab_to("a.textContent === 'Solve it'")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Being solved").wait_for()


def test_a_channel_is_paused_and_resumed(watched):
    page = watched.open("/angelia/campaigns/weekly_digest", user="olaf")
    page.get_by_label("Channel to pause").select_option("fcm")
    page.get_by_label("Why it is paused").fill("the sender is down")
    page.get_by_role("button", name="Pause the channel").click()
    page.get_by_text("the sender is down").first.wait_for()
    assert page.get_by_role("button", name="Stop ").count() == 1
    page.get_by_label("Why fcm may go on").fill("it works")
    page.get_by_role("button", name="Resume fcm").click()
    wait(10, lambda: page.get_by_text("Paused on").count() == 0, "the pause is gone")
