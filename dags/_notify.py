"""Send one line to group bots and webhooks when a task fails or asks a question.

`ANGELIA_NOTIFY_URL` holds their addresses. The line names the DAG, the task, the day and the command's own
`error:` line, or the question with its deadline and the meaning of silence. It holds counts and names of
datasets, never a person. Without an address, it goes to the task's log only. A notice that cannot be delivered
is logged, and fails nothing.

Surprise: an address is a secret, since a bot's key stands in it. The log names it by its place in the list
and the bot's kind, and libraries that would write it are silent meanwhile.
"""

from __future__ import annotations

import json
import logging
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import BaseNotifier, Context

TIMEOUT_S = 10
TALKATIVE = ("apprise", "urllib3")  # both write whole addresses at some level


class FailureNotifier(BaseNotifier):
    """Tell whoever listens when a task has failed for good."""

    def notify(self, context: Context) -> None:
        """Log the line, and post it."""
        text = line(context)
        self.log.error("failed: %s", text)
        self.post(text)

    def post(self, text: str) -> None:
        """Send one line to every address; log each that was not reached."""
        for number, address in enumerate(os.environ.get("ANGELIA_NOTIFY_URL", "").split(), start=1):
            try:
                kind, why_not = send(address, text)
            except Exception as error:  # noqa: BLE001 - whatever a library raises, the task's own end counts
                kind, why_not = "address", type(error).__name__
            if why_not:
                self.log.error("no notice was sent to %s %d of ANGELIA_NOTIFY_URL: %s", kind, number, why_not)


def send(address: str, text: str) -> tuple[str, str]:
    """Send one line to one address; return its kind, and why it was not reached.

    The reason is empty where it was. A group bot's own address, as its provider shows it or as Apprise writes
    it, is served by Apprise. Any other http address gets `{"text": …}`, as Mattermost and others accept it.
    """
    # Imported here: it costs a fifth of a second, and DAG files are parsed every few seconds.
    from apprise import Apprise, AppriseAsset, NotifyFormat

    with silent():
        asset = AppriseAsset(app_id="Angelia", app_desc="Angelia", app_url="", image_url_mask="")
        bot = Apprise.instantiate(address, asset=asset, suppress_exceptions=True)
        if bot is not None:
            bots = Apprise(asset=asset)
            bots.add(bot)
            is_sent = bots.notify(body=text, body_format=NotifyFormat.TEXT)
            return str(bot.service_name), "" if is_sent else "it was not reached, or refused"
        if not address.startswith(("https://", "http://")):
            return "address", "it is neither a group bot's nor http (docs/OPERATING.md, Notices)"
        body, headers = json.dumps({"text": text}).encode(), {"Content-Type": "application/json"}
        request = urllib.request.Request(address, body, headers)
        urllib.request.urlopen(request, timeout=TIMEOUT_S).close()
    return "webhook", ""


@contextmanager
def silent() -> Iterator[None]:
    """Keep libraries from writing addresses into the task's log."""
    before = {name: logging.getLogger(name).level for name in TALKATIVE}
    try:
        for name in TALKATIVE:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


class QuestionNotifier(FailureNotifier):
    """Tell whoever listens when a person is asked, until when, and what silence means."""

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
