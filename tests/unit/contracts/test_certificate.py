"""A plan's cells and limits are read back as they were written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from angelia.contracts.certificate import (
    Limit,
    Messages,
    later_says,
    limits_of,
    messages_meta,
    messages_of,
    scarcity,
)

CELLS = [Messages("2026-11-15T09", "fcm", "sale", 8), Messages("2026-11-15T10", "sms", "digest", 3)]
LIMITS = [
    Limit(6000, 5941, 120, channel="fcm", slot="2026-11-15T09"),
    Limit(5000, 900, 0, campaign_id="sale"),
]


def test_what_is_stored_is_read_back() -> None:
    meta = {
        "messages": messages_meta(reversed(CELLS)),
        "constraints": [limit.as_meta() for limit in LIMITS],
    }
    stored = json.loads(json.dumps(meta))
    assert (messages_of(stored), limits_of(stored)) == (CELLS, LIMITS)


def test_a_limit_on_refusals_is_told_if_there_is_one() -> None:
    fatigue: dict[str, Any] = {"paid_micros": 1, "weight": 1.0, "tires": 0.3, "refuses": 0.001}
    fatigue |= {"horizon_days": 365}
    assert "usual way" not in later_says({"fatigue": fatigue})
    kept = {"opens": 0.07, "reference": 1.2, "at_most": 1.0, "unpriced": 1.1, "ratio": 0.999}
    text = later_says({"fatigue": {**fatigue, "refusals": kept}})
    assert "kept to 0.999 of those of the usual way, 1.100 without a price, by 0.0700 opens" in text


def test_a_limits_label_is_for_people_only() -> None:
    stored = [limit.as_meta() for limit in LIMITS]
    assert [limit["limit"] for limit in stored] == ["fcm 2026-11-15T09", "budget sale"]
    assert limits_of({"constraints": [limit | {"limit": "budget other"} for limit in stored]}) == LIMITS


def hour(used: int, price: int = 0, left: int | None = None, at: int = 9, capacity: int = 6000) -> Limit:
    return Limit(capacity, used, price, channel="fcm", slot=f"2026-11-15T{at:02d}", left=left)


@pytest.mark.parametrize(
    ("limit", "is_full"),
    [
        (hour(5940), True),  # an older commit: one per cent is left
        (hour(5939), False),
        (hour(5800, left=0), True),  # the rest is set aside for drawn messages
        (hour(5800, left=60), True),
        (hour(5800, left=61), False),
        (hour(0, left=0, capacity=0), False),  # passed, or closed
    ],
)
def test_a_limit_is_full_when_a_rest_is_left(limit: Limit, is_full: bool) -> None:
    assert limit.is_full == limit.is_scarce == is_full


def test_a_price_alone_makes_an_hour_scarce() -> None:
    assert (hour(10, price=1).is_scarce, hour(10).is_scarce) == (True, False)


@pytest.mark.parametrize(
    ("limits", "away", "says"),
    [
        (
            (hour(1200),),
            0,
            "No hour of fcm was scarce: the fullest took 1,200 of 6,000, and none has a price.",
        ),
        (
            (hour(1200),),
            3,
            "No hour of fcm was full (the fullest took 1,200 of 6,000), and none has a price; 3 messages "
            "gave way to others, on all channels.",
        ),
        (
            (hour(5941), hour(7, at=10)),
            2128,
            "fcm: 1 of 2 hours full (the fullest took 5,941 of 6,000); 2,128 messages gave way to others, on "
            "all channels. None has a price: the bound holds without these limits, so what they kept out is "
            "worth at most the gap, 1.570 %.",
        ),
        (
            (hour(5800, 12_300, left=0), hour(5700, 400, left=0, at=10), hour(9, at=11)),
            0,
            "fcm: 2 of 3 hours full (the fullest took 5,800 of 6,000). 2 have a price, up to 0.0123 at "
            "2026-11-15T09:00 UTC.",
        ),
        ((hour(0, capacity=0),), 0, "fcm had no capacity in any hour."),
    ],
)
def test_scarce_hours_are_told_as_the_numbers_are(limits: Any, away: int, says: str) -> None:
    meta = {
        "constraints": [one.as_meta() for one in limits],
        "outcomes": {"no_capacity": away},
        "gap_pct": 1.57,
    }
    (words,) = scarcity(meta)
    assert words.says == says
    assert words.n_full == sum(one.is_full for one in limits)
    assert words.n_priced == sum(one.price_micros > 0 for one in limits)
