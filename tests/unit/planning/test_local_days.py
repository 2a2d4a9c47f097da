"""What a person's own days get of a daily campaign, in every kind of zone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from angelia.planning.eligibility import build, open_hours
from angelia.planning.terms import CampaignTerms, CapTerms, Terms
from tests.unit.planning.few_people import CAMPAIGN, TERMS, people
from tests.unit.planning.test_eligibility import pairs, past

ZONES = (
    "UTC", "Asia/Shanghai", "America/Los_Angeles", "Asia/Kathmandu", "Australia/Lord_Howe",
    "Pacific/Marquesas", "Pacific/Kiritimati",
)  # fmt: skip


def days_with_two(campaign: CampaignTerms, zone: str, terms: Terms = TERMS) -> int:
    """Count the choices of two nights that come to one local day there."""
    night = replace(terms, campaigns=(campaign,))
    later = replace(night, ds="2026-11-15", start=night.start + timedelta(days=1))
    then = replace(later, campaigns=(replace(campaign, occurrence="2026-11-16"),))
    who = people(24, timezone=[zone] * 24)
    first, second = (open_hours(terms, who)[0].date for terms in (night, then))
    allowed = build(night, who, pairs(24), past())[0].allowed
    assert allowed.any()
    # Person s had the first night's message in slot s.
    sent = past(*((s, campaign.id, s - 24.0, f"m{s}") for s in range(24)))
    may = build(then, who, pairs(24), sent)[0].allowed
    both = may & np.diagonal(allowed)[:, None] & (second == np.diagonal(first)[:, None])
    return int(both.sum())


@pytest.mark.parametrize("zone", ZONES)
def test_two_nights_may_share_a_day_but_for_a_cap(zone: str) -> None:
    """The remedy that docs/CATALOG.md names holds in all zones: no two on one local day."""
    # In UTC the night's seam, 04:00, lies in the quiet hours.
    assert (days_with_two(CAMPAIGN, zone) > 0) == (zone != "UTC")
    assert days_with_two(replace(CAMPAIGN, caps=(CapTerms(1, 1),)), zone) == 0
