"""Send one line to a webhook (`ANGELIA_NOTIFY_URL`) when a task fails or asks a question.

The line has the form that Slack, Mattermost and most others accept. It names the DAG, the task, the day and
the command's own `error:` line, or the question with its deadline and the meaning of silence. It holds counts
and names of datasets, never a person. Without an address, it goes to the task's log only. A notice that
cannot be delivered is logged, and fails nothing.
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
        """Log the line, and post it."""
        text = line(context)
        self.log.error("failed: %s", text)
        self.post(text)

    def post(self, text: str) -> None:
        """Send one line to the address, if there is one; log a failure."""
        url = os.environ.get("ANGELIA_NOTIFY_URL", "")
        if not url:
            return
        if not url.startswith(("https://", "http://")):
            self.log.error("ANGELIA_NOTIFY_URL is not an http address; no notice was sent")
            return
        request = urllib.request.Request(
            url, json.dumps({"text": text}).encode(), {"Content-Type": "application/json"}
        )
        try:
            urllib.request.urlopen(request, timeout=TIMEOUT_S).close()
        except OSError as error:
            self.log.error("no notice was sent: %s", type(error).__name__)


class QuestionNotifier(FailureNotifier):
    """Post `{"text": …}` when a person is asked, with the deadline and the meaning of silence."""

    def notify(self, context: Context) -> None:
        """Log the line, and post it."""
        text = question(context)
        self.log.info("asked: %s", text)
        self.post(text)


def question(context: Any) -> str:
    """Return the question as one line: text, deadline, meaning of silence, and link."""
    ti, task = context["ti"], context["task"]
    by = f"{datetime.now(UTC) + task.response_timeout:%Y-%m-%d %H:%M} UTC"
    where = f" {ti.log_url}" if getattr(ti, "log_url", None) else ""
    silence = ", ".join(task.defaults)
    return (
        f"{ti.dag_id}.{ti.task_id} asks: {task.subject} Answer by {by} under Required actions; no "
        f"answer counts as {silence!r}.{where}"
    )


def line(context: Any) -> str:
    """Return the failure as one line: task, day, and the command's own error."""
    ti = context["ti"]
    day = context.get("ds") or context["run_id"]
    message = str(context.get("exception") or "")
    # Only our own one-line errors are repeated: a foreign error's text may hold anything.
    why = (
        message.removeprefix("error: ")
        if message.startswith(("error:", "exit code"))
        else type(context.get("exception")).__name__
    )
    link = f" {ti.log_url}" if getattr(ti, "log_url", None) else ""
    return f"{ti.dag_id}.{ti.task_id} of {day} failed (try {ti.try_number}): {why[:500]}{link}"
