"""What the report says of prices and hours, where there is no price to show."""

from __future__ import annotations

from typing import Any

import pytest

from angelia.contracts.certificate import Limit
from angelia.effects.evidence import without_prices

FULL_HOUR = [Limit(6000, 5941, 0, channel="fcm", slot="2026-11-15T18")]
CALM_HOUR = [Limit(6000, 1200, 0, channel="fcm", slot="2026-11-15T18")]


@pytest.mark.parametrize(
    ("hours", "outcomes", "says"),
    [
        (
            FULL_HOUR,
            {"no_capacity": 2128},
            "1 hour of fcm filled to 99 % or more (at most 5,941 of 6,000), and 2,128 messages gave way",
        ),
        (FULL_HOUR, {}, "1 hour of fcm filled to 99 % or more (at most 5,941 of 6,000). All shadow prices"),
        (CALM_HOUR, {"no_capacity": 3}, "No hour of fcm filled to 99 % (at most 1,200 of 6,000), and 3 mess"),
        (CALM_HOUR, {}, "No hour of fcm was scarce: the fullest took 1,200 of 6,000"),
    ],
)
def test_full_hours_without_a_price_are_not_called_calm(hours: Any, outcomes: Any, says: str) -> None:
    text = without_prices("fcm", hours, {"outcomes": outcomes})
    assert says in text
    assert ("scarce" in text) == (hours is CALM_HOUR and not outcomes)
