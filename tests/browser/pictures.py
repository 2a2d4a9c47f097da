"""Take the README's pictures of a home that `make run` made: today, a campaign, the plan.

Run by `make pictures` with the browser's own interpreter; writes docs/pictures/*.png.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.browsing import PROJECT, process, wait

# A picture's name -> the page, and the part of it that is scrolled to.
PICTURES = {
    "today": ("today", "#dispatch"),
    "campaign": ("campaigns/price_drop", "#messages"),
    "plan": ("plan", "h1"),
}
PLUGIN = "from angelia.console.plugin import ConsolePlugin  # noqa: F401\n"
SIZE = {"width": 1280, "height": 640}
ENVIRONMENT = "import json, sys, pathlib; from angelia.commands.loop import environment as e; " + (
    "print(json.dumps(e(pathlib.Path(sys.argv[1]).resolve())))"
)


def main(home: str) -> None:
    """Serve the home with Airflow's own API server, and take them."""
    python = os.environ.get("ANGELIA_PYTHON") or str(PROJECT / ".venv" / "bin" / "python")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    words = [python, "-c", ENVIRONMENT, home]
    made = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, folder = f"http://127.0.0.1:{port}", PROJECT / "docs" / "pictures"
    # As in home.py: an environment that another checkout installed knows no plugin of this one.
    plugins = Path(home) / "airflow" / "plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    (plugins / "angelia_console.py").write_text(PLUGIN)
    env = {**os.environ, **json.loads(made.splitlines()[-1]), "AIRFLOW__API__BASE_URL": url}
    env |= {"PYTHONPATH": str(PROJECT)}
    folder.mkdir(exist_ok=True)
    server = [python, "-m", "airflow", "api-server", "--port", str(port), "--workers", "1"]
    with process(server, env, Path(home) / "logs" / "pictures.log"), sync_playwright() as driver:

        def answers() -> bool:
            with suppress(OSError):
                return urllib.request.urlopen(f"{url}/angelia/static/console.js", timeout=60).status == 200
            return False

        wait(300, answers, "the API server answers")
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=chromium, args=root)
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        for name, (path, part) in PICTURES.items():
            page.goto(f"{url}/plugin/angelia/angelia/{path}", timeout=120_000)
            page.wait_for_selector("iframe")
            page.frame_locator("iframe").locator("footer").wait_for(timeout=120_000)
            page.wait_for_timeout(4_000)  # Airflow itself never falls silent
            frame = page.frame_locator("iframe")
            frame.locator(part).evaluate("part => part.scrollIntoView()")
            page.screenshot(path=folder / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
