"""What the report says of prices and hours is what the plan's own record says."""

from __future__ import annotations

from html import escape
from types import SimpleNamespace
from typing import Any

import pytest

from angelia.contracts.certificate import Limit, scarcity
from angelia.effects.evidence import certificate

FULL_HOUR = Limit(6000, 5941, 0, channel="fcm", slot="2026-11-15T18")
CALM_HOUR = Limit(6000, 1200, 0, channel="fcm", slot="2026-11-15T19")
DEAR_HOUR = Limit(6000, 5800, 12_300, channel="fcm", slot="2026-11-15T20", left=0)


def meta_of(*limits: Limit, no_capacity: int = 0) -> dict[str, Any]:
    return {
        "constraints": [limit.as_meta() for limit in limits],
        "outcomes": {"no_capacity": no_capacity} if no_capacity else {},
        "primal_micros": 985_000,
        "bound_micros": 1_000_000,
        "gap_pct": 1.5,
    }


@pytest.mark.parametrize(
    ("limits", "n"),
    [
        ((FULL_HOUR,), 0),
        ((CALM_HOUR,), 3),
        ((CALM_HOUR,), 0),
        ((CALM_HOUR, DEAR_HOUR), 7),
        ((FULL_HOUR,), 2128),
    ],
)
def test_the_report_says_what_the_numbers_say(limits: Any, n: int) -> None:
    meta = meta_of(*limits, no_capacity=n)
    (words,) = scarcity(meta)
    findings: Any = SimpleNamespace(sources=SimpleNamespace(only=lambda _: SimpleNamespace(meta=meta)))
    page = certificate(findings)
    assert escape(words.says) in page
    assert ("shadow price of an hour" in page) == (DEAR_HOUR in limits)
