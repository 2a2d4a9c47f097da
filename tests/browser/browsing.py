"""What browser tests share: processes, waiting, pages that are watched."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

PROJECT = Path(__file__).resolve().parents[2]
PERSON = re.compile(r"\bu\d{7,8}\b")  # ids of the people in the prepared night
WIDE, PHONE = {"width": 1366, "height": 900}, {"width": 390, "height": 844}


@contextmanager
def process(words, env, log):
    """Run a process while the block runs; it is stopped by its own id."""
    with log.open("w") as file:
        started = subprocess.Popen(
            words,
            env=env,
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
        try:
            yield started
        finally:
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGTERM)
            try:
                started.wait(timeout=15)
            except subprocess.TimeoutExpired:
                os.killpg(started.pid, signal.SIGKILL)
                started.wait(timeout=15)


def wait(seconds, done, what):
    """Return what `done` returns as soon as it is true."""
    until = time.monotonic() + seconds
    while not (result := done()):
        assert time.monotonic() < until, f"not within {seconds:g} s: {what}"
        time.sleep(0.2)
    return result


class Watched:
    """Opens pages as somebody, and keeps what they do wrong."""

    tokens: ClassVar[dict[str, str]] = {}

    def __init__(self, browser, server, seen):
        self.browser, self.server, self.seen = browser, server, seen
        self.wrong, self.contexts, self.expected = [], [], ()

    def open(self, path="", user="ada", *, viewport=WIDE, scheme="light"):
        """Return a page at an address; without a user nobody is logged in."""
        context = self.browser.new_context(viewport=viewport, color_scheme=scheme, base_url=self.server)
        self.contexts.append(context)
        if user:
            context.add_cookies([{"name": "_token", "value": self.token(context, user), "url": self.server}])
        page = context.new_page()
        page.on("request", self._request)
        page.on("console", self._console)
        page.on("response", self._response)
        page.on("pageerror", lambda error: self.wrong.append(f"script: {error}"))
        page.on("dialog", lambda dialog: (self.wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        if path:
            page.goto(path)
        return page

    def token(self, context, user):
        """Return a user's token, fetched once."""
        if user not in self.tokens:
            form = {"username": user, "password": f"{user}-secret"}
            self.tokens[user] = context.request.post("/auth/token", form=form).json()["access_token"]
        return self.tokens[user]

    def _request(self, request):
        self.seen.append(request.url)
        if not request.url.startswith((self.server, "data:", "blob:", "about:")):
            self.wrong.append(f"left the origin: {request.url}")

    def _response(self, answer):
        if answer.status >= 500:  # the browser's own line does not say which address it was
            self.wrong.append(f"answered {answer.status}: {answer.request.method} {answer.url}")

    def _console(self, message):
        if message.type == "error" and not any(part in message.text for part in self.expected):
            self.wrong.append(f"console: {message.text}")


def frame_of(page):
    """Return the console's frame inside Airflow's page."""
    page.wait_for_selector("iframe")
    return page.frame_locator("iframe")
