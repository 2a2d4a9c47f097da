"""Chromium against a real API server: one home, one server, one browser for all tests.

Run by `make test-browser` with an interpreter of its own (`.venv-browser`), so it imports nothing of the
project. Each page is watched: no request leaves the origin, nothing is logged as an error, no policy is
violated.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from tests.browser.browsing import PROJECT, Watched, process, wait

if (
    importlib.util.find_spec("playwright") is None
):  # the project's own interpreter: `make test` runs none of these
    collect_ignore_glob = ["test_*.py"]

PYTHON = os.environ.get("ANGELIA_PYTHON") or str(PROJECT / ".venv" / "bin" / "python")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="session")
def chromium():
    """Return Chromium's path; without it skip and say why, in CI fail."""
    if CHROMIUM is None:
        reason = "there is no Chromium; install it: apt-get install chromium fonts-noto-cjk"
        if os.environ.get("CI") or os.environ.get("BROWSER") == "required":
            pytest.fail(f"{reason}; CI must not skip what a browser tests")
        pytest.skip(reason)
    return CHROMIUM


@pytest.fixture(scope="session")
def home(chromium, tmp_path_factory):
    """Return what `home.py` made: the environment of every process, the nights, the folder."""
    folder = tmp_path_factory.mktemp("browser") / "angelia home"
    folder.mkdir()
    env = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [PYTHON, str(PROJECT / "tests" / "browser" / "home.py"), str(folder)],
        env={name: value for name, value in env.items() if not name.startswith("ANGELIA_")},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    made = json.loads(done.stdout.strip().splitlines()[-1])
    return {**made, "folder": folder, "env": {**os.environ, **made["env"]}}


@pytest.fixture(scope="session")
def server(home):
    """Run the API server; return its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    env = {**home["env"], "AIRFLOW__API__BASE_URL": url, "AIRFLOW__API__WORKERS": "1"}
    env |= {"AIRFLOW__API_AUTH__JWT_SECRET": "of-these-tests-only-" * 4}
    words = [PYTHON, "-m", "airflow", "api-server", "--port", str(port), "--workers", "1"]
    log = home["folder"] / "logs" / "api.log"
    with process(words, env, log) as started:

        def answers():
            assert started.poll() is None, log.read_text()[-4000:]
            with suppress(OSError):
                return urllib.request.urlopen(f"{url}/angelia/static/console.js", timeout=10).status == 200

        wait(180, answers, "the API server answers")
        yield url


@pytest.fixture(scope="session")
def browser(chromium):
    """Return the browser."""
    from playwright.sync_api import sync_playwright

    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, args=root)
        yield started
        started.close()


@pytest.fixture(scope="session")
def seen():
    """Return every address that any page asked for."""
    return []


@pytest.fixture
def watched(browser, server, seen):
    """Return who opens pages; what they did wrong fails the test at its end."""
    made = Watched(browser, server, seen)
    yield made
    for context in made.contexts:
        context.close()
    assert not made.wrong


@pytest.fixture(scope="session")
def shots(tmp_path_factory):
    """Return the folder for screenshots; BROWSER_SHOTS names one that stays."""
    folder = Path(os.environ.get("BROWSER_SHOTS") or tmp_path_factory.mktemp("shots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
