"""The week of verdicts in a lake of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from angelia.lake import Lake, numbered
from tests.unit.quality.week import GOOD, LAST, NULLS, failing, keep


@pytest.fixture
def week(lake: Lake) -> Lake:
    """Five days: good, a warning, nothing checked, a crash, and a failure on the newest.

    The guard judged two of them.
    """
    keep(lake, "2026-11-10", GOOD, NULLS)
    keep(lake, "2026-11-11", failing(GOOD, severity="warning"), NULLS)
    keep(
        lake,
        "2026-11-13",
        replace(GOOD, success=False, crashed=True, error="IOException: canary@example.org"),
        NULLS,
    )
    keep(
        lake,
        LAST,
        GOOD,
        failing(NULLS),
        replace(GOOD, gate="plan", dataset="decisions", check="decisions.sent.any", column=None),
    )
    figures = {"messages": {"sale": 10, "digest": 32}, "unknown_timezones_pct": 1.25}
    breach = {
        "check": "volume",
        "severity": "campaign",
        "campaigns": ["sale"],
        "says": "10 messages of <sale> planned",
    }
    numbered.store(
        lake,
        "guard",
        "2026-11-13",
        {"verdict": "campaigns", "held": ["sale"], "breaches": [breach], "figures": figures},
    )
    numbered.store(lake, "guard", LAST, {"verdict": "crashed", "error": "canary@example.org"})
    return lake
