"""Who hears of a failed task or a question: one line to a webhook (`ANGELIA_NOTIFY_URL`), as Slack,
Mattermost and most others take it.

The line names the DAG, the task, the day and the command's own `error:` line, or the question with its
deadline and what silence means. It holds counts and names of datasets, never a person. Without an address, it
goes to the task's log only. A notice that cannot be delivered is logged, and fails nothing.
"""

from __future__ import annotations

import json
import os
import urllib.request
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import BaseNotifier, Context

TIMEOUT_S = 10


class FailureNotifier(BaseNotifier):
    """Post `{"text": …}` when a task has failed for good."""

    def notify(self, context: Context) -> None:
        """Tell."""
        text = line(context)
        self.log.error("failed: %s", text)
        self.post(text)

    def post(self, text: str) -> None:
        """Send one line to the address, if there is one; log what becomes of it."""
        url = os.environ.get("ANGELIA_NOTIFY_URL", "")
        if not url:
            return
        if not url.startswith(("https://", "http://")):
            self.log.error("ANGELIA_NOTIFY_URL is no http address; nobody was told")
            return
        request = urllib.request.Request(
            url, json.dumps({"text": text}).encode(), {"Content-Type": "application/json"}
        )
        try:
            urllib.request.urlopen(request, timeout=TIMEOUT_S).close()
        except OSError as error:
            self.log.error("nobody was told: %s", type(error).__name__)


class QuestionNotifier(FailureNotifier):
    """Post `{"text": …}` when a person is asked: silence is an answer, too, so it says until when and
    which."""

    def notify(self, context: Context) -> None:
        """Tell."""
        text = question(context)
        self.log.info("asked: %s", text)
        self.post(text)


def question(context: Any) -> str:
    """Return the question as one line: what, until when, what no answer means, and where to answer."""
    ti, task = context["ti"], context["task"]
    by = f"{datetime.now(UTC) + task.response_timeout:%Y-%m-%d %H:%M} UTC"
    where = f" {ti.log_url}" if getattr(ti, "log_url", None) else ""
    silence = ", ".join(task.defaults)
    return (
        f"{ti.dag_id}.{ti.task_id} asks: {task.subject} Answer by {by} under Required actions; no "
        f"answer counts as {silence!r}.{where}"
    )


def line(context: Any) -> str:
    """Return what is said: where, which day, and the operator's own words for an error it can put right."""
    ti = context["ti"]
    day = context.get("ds") or context["run_id"]
    said = str(context.get("exception") or "")
    # Only our own one-line errors are repeated: a foreign error's text may hold anything.
    why = (
        said.removeprefix("error: ")
        if said.startswith(("error:", "exit code"))
        else type(context.get("exception")).__name__
    )
    link = f" {ti.log_url}" if getattr(ti, "log_url", None) else ""
    return f"{ti.dag_id}.{ti.task_id} of {day} failed (try {ti.try_number}): {why[:500]}{link}"
