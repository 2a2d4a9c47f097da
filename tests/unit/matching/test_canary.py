"""Who is in a canary: a hash of person, campaign and night."""

from __future__ import annotations

import numpy as np

from angelia.contracts.ids import user_keys
from angelia.matching import in_canary

KEYS = user_keys(f"u{number}" for number in range(20_000))


def test_its_share_is_the_one_asked_for() -> None:
    first = in_canary(KEYS, "sale", "2026-11-14", 2.0)
    # Four standard deviations of 20,000 draws of 2 %.
    assert abs(int(first.sum()) - 400) < 80


def test_no_order_enters_and_each_night_and_campaign_draws_anew() -> None:
    first = in_canary(KEYS, "sale", "2026-11-14", 20.0)
    assert np.array_equal(in_canary(KEYS[::-1], "sale", "2026-11-14", 20.0)[::-1], first)
    for other in (("sale", "2026-11-15"), ("digest", "2026-11-14")):
        both = first & in_canary(KEYS, *other, 20.0)
        assert 0.03 < both.mean() < 0.05
    assert np.array_equal(first | in_canary(KEYS, "sale", "2026-11-14", 2.0), first)
