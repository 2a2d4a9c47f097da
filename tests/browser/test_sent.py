"""From a campaign that waits for an approver to messages that a provider has received."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from contextlib import contextmanager

from tests.browser.browsing import PROJECT, process, wait

PEOPLE = 8  # of held.py's night


@contextmanager
def waiting(home):
    """Yield held.py's process once it has asked, and what; a line of input lets it emit."""
    words = [home["python"], str(PROJECT / "tests" / "browser" / "held.py")]
    env = home["env"] | {"ANGELIA_SPARK_MASTER": "local[1]"}
    env["ANGELIA_SPARK_CONF"] = "spark.sql.shuffle.partitions=1"
    log = home["folder"] / "logs" / "held.log"
    with log.open("w") as errors:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
        with subprocess.Popen(words, env=env, cwd=PROJECT, text=True, **pipes) as night:
            line = next((line for line in night.stdout if line.startswith("{")), None)
            assert line, log.read_text()[-4000:]
            yield night, json.loads(line)
        assert night.returncode == 0, log.read_text()[-4000:]


def received(at):
    """Return how many messages the sandbox's phones have, doubles and all."""
    with urllib.request.urlopen(f"{at['http_url']}/stats", timeout=20) as answer:
        return json.load(answer)["received"]


def test_a_held_campaign_is_approved_and_seen_sent(watched, home):
    """Gate, guard, the answer, the DAG's words, its job, the worker and the sandbox are real."""
    angelia, logs = [home["python"], "-m", "angelia.cli"], home["folder"] / "logs"
    ready, state = home["folder"] / "sandbox-sent.json", home["folder"] / "sandbox-sent"
    words = ["sandbox", "--port", "0", "--http-port", "0", "--max-seconds", "240", "--ready-file", str(ready)]
    with process([*angelia, *words, "--state-dir", str(state)], home["env"], logs / "sandbox-sent.log"):
        with waiting(home) as (night, asked):

            def question(page):
                return page.locator("article.question", has_text=asked["subject"])

            # A viewer reads the question and gets no button, and Airflow refuses an answer sent all the same.
            page = watched.open("/angelia/today", user="vera")
            question(page).get_by_text(f"sale asks for approval: {PEOPLE} messages planned").wait_for()
            assert question(page).get_by_role("button").count() == 0
            given = {"chosen_options": ["Send them, too"], "params_input": {"about": asked["about"]}}
            assert page.request.patch(asked["address"], data=given).status == 403
            assert page.request.get(asked["address"]).json()["response_received"] is False
            # An approver answers, and the DAG's next job emits the campaign for this answer.
            page = watched.open("/angelia/today", user="olaf")
            question(page).get_by_role("button", name="Send them, too").click()
            question(page).get_by_role("button", name="Yes: Send them, too").click()
            question(page).wait_for(state="detached")
            night.communicate("emit\n")
        page.goto("/angelia/approvals")
        page.get_by_text(f"{PEOPLE} messages emitted, answered by olaf").wait_for()
        # The worker sends it: the sandbox is the witness, and the console shows the same.
        at = json.loads(wait(60, lambda: ready.exists() and ready.read_text(), "the sandbox listens"))
        assert received(at) == 0
        env = home["env"] | {
            "ANGELIA_FCM_URL": at["url"],
            "ANGELIA_FCM_CREDENTIALS": at["credentials"],
            "ANGELIA_CA_FILE": at["ca_file"],
        }
        log = logs / "deliver-sent.log"
        with process([*angelia, "deliver", "--ds", asked["ds"], "--json"], env, log) as worker:
            wait(90, lambda: worker.poll() is not None, "the worker ends")
            assert worker.returncode == 0, log.read_text()[-4000:]
        assert received(at) == PEOPLE
    page.goto(f"/angelia/today?ds={asked['ds']}")
    row = page.locator("section[aria-labelledby=dispatch]").get_by_role("row", name="sale")
    assert row.locator("[data-label=accepted]").inner_text() == str(PEOPLE)
    assert row.locator("[data-label='no outcome']").inner_text() == "0"
    assert row.locator(".state").inner_text() == "done"
