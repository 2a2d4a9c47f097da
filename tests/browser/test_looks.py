"""Every page in light and dark, wide and on a phone: nothing cut off, nobody named."""

from __future__ import annotations

import json
import re

import pytest

from tests.browser.browsing import PERSON, PHONE, WIDE, frame_of, wait

PAGES = (
    "today",
    "campaigns",
    "campaigns/price_drop",
    "campaigns/hostile",
    "catalog",
    "catalog/campaign/hostile",
    "catalog/material/hostile",
    "catalog/template/price_drop",
    "catalog/campaign/price_drop/edit",
    "approvals",
    "audit",
    "audiences",
    "audiences/browsers",
    "people",
    "plan?ds=2026-11-14",
    "plan/compare",
    "plan/what-if?ds=2026-11-14",
    "replay?first=2026-11-14&last=2026-11-14",
    "replay/resend",
    "effects",
)
# What sticks out of the window to the right, unless it stands in a part that scrolls by itself.
STICKS_OUT = """() => [...document.querySelectorAll('main *')].filter(e => {
  const box = e.getBoundingClientRect();
  return box.width && box.right > innerWidth + 1 && !e.closest('pre, .scroll, textarea') && !e.closest('svg');
}).map(e => e.outerHTML.slice(0, 120))"""


def settled(page, path):
    """Open a page and wait until its script has filled what Airflow keeps."""
    page.goto(f"/angelia/{path}")
    page.wait_for_load_state("networkidle")
    return page


@pytest.mark.parametrize("path", PAGES)
def test_nothing_is_cut_off_and_axe_finds_nothing(watched, shots, path):
    from axe_playwright_python.sync_playwright import Axe

    page = settled(watched.open(), path)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for viewport in (WIDE, PHONE):
            page.set_viewport_size(viewport)
            name = f"{re.sub('[^a-z0-9]+', '-', path)}-{scheme}-{viewport['width']}.png"
            page.screenshot(path=shots / name, full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
            assert page.evaluate(STICKS_OUT) == []
        page.set_viewport_size(WIDE)
        serious = [
            (one["id"], [node["html"][:120] for node in one["nodes"][:3]])
            for one in Axe().run(page).response["violations"]
            if one["impact"] in ("serious", "critical")
        ]
        assert not serious, scheme


def test_the_theme_follows_airflows_own(watched):
    page = watched.open("/plugin/angelia")
    frame = frame_of(page)
    frame.get_by_role("heading", name="Today").wait_for()
    colour = "getComputedStyle(document.body).backgroundColor"
    inner = next(one for one in page.frames if one != page.main_frame)
    colours = {}
    for theme in ("light", "dark", "light"):
        page.evaluate("theme => { document.documentElement.className = theme; }", theme)
        # The policy forbids the browser's own waiting, which evaluates a text inside the page.
        wait(10, lambda: inner.evaluate("document.documentElement.dataset.theme") == theme, theme)  # noqa: B023
        colours[theme] = inner.evaluate(colour)
    assert colours == {"light": "rgb(246, 247, 249)", "dark": "rgb(15, 20, 26)"}


def test_a_live_page_shows_what_changed_and_keeps_what_is_open(watched):
    page = settled(watched.open(), "today")
    page.evaluate("document.querySelector('[data-live]').dataset.was = 'here'")
    page.locator("summary", has_text="By hour").click()
    page.evaluate("document.activeElement.blur()")
    with page.expect_response(lambda answer: answer.url.endswith("/angelia/today"), timeout=40_000):
        pass
    page.wait_for_timeout(500)
    assert page.locator("details#hours[open]").count() == 1
    assert page.get_by_role("heading", name="Send the night").count() == 1


def test_no_violation_is_reported_by_the_browser(watched):
    page = watched.open()
    page.add_init_script(
        "window.violations = []; addEventListener('securitypolicyviolation',"
        " event => violations.push(`${event.violatedDirective} ${event.blockedURI}`));"
    )
    for path in PAGES:
        settled(page, path)
        assert page.evaluate("window.violations") == []


def test_pages_are_readable_without_a_script(watched):
    context = watched.browser.new_context(java_script_enabled=False, base_url=watched.server)
    watched.contexts.append(context)
    token = watched.token(context, "vera")
    context.add_cookies([{"name": "_token", "value": token, "url": watched.server}])
    page = context.new_page()
    page.goto("/angelia/today")
    assert "By campaign" in page.inner_text("main")


def test_no_address_and_no_log_names_a_person(watched, home, seen):
    """Last of this file: every page was asked for by then."""
    settled(watched.open(), "today")
    assert not [url for url in seen if PERSON.search(url)]
    for log in (home["folder"] / "logs").glob("*.log"):
        assert not PERSON.search(log.read_text("utf-8", errors="replace")), log.name
    lines = (home["folder"] / "logs" / "angelia.jsonl").read_text("utf-8").splitlines()
    assert not [line for line in lines if PERSON.search(json.dumps(line))]
