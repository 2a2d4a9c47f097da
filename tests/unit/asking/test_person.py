"""One person on one night: their clock, and what they had to choose from."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from angelia.asking.person import PersonNight
from angelia.asking.records import Why
from angelia.asking.why import why
from angelia.contracts.rows import user_name
from angelia.lake import Lake
from angelia.planning.later import LaterCosts
from tests.unit.spark_jobs.test_plan_dispatch import DS


def ask(lake: Lake, number: int, campaign: str | None = None) -> Why:
    return why(lake, user_name(number), DS, campaign=campaign)


def test_hours_are_told_to_the_minute_of_their_clock(tight: Lake) -> None:
    rows = tight.read(tight.require("user_features", ds=DS), ["ordinal", "timezone"]).to_pylist()
    numbers = {row["timezone"]: row["ordinal"] for row in rows}
    assert "Asia/Kolkata" in numbers
    for zone, number in numbers.items():
        for hour in ask(tight, number).hours:
            begins = datetime.fromisoformat(f"{hour.slot}:00").replace(tzinfo=UTC)
            assert hour.local == f"{begins.astimezone(ZoneInfo(zone)):%a %H:%M}", zone


def test_open_hours_and_closed_ones_make_the_day(tight: Lake) -> None:
    """Each hour of a running campaign is open to the person, or counted under one reason."""
    for number in (7, 300, 555):
        for campaign in ask(tight, number).campaigns:
            closed = sum(n for _, n in campaign.closed)
            assert closed <= 24
            slots = {offer.slot for offer in campaign.offers}
            assert len(slots) <= 24 - closed


def test_chances_of_materials_sum_to_one_where_any_is_drawn(tight: Lake) -> None:
    sums = [
        sum(material.propensity for material in campaign.materials)
        for number in range(0, 60, 6)
        for campaign in ask(tight, number).campaigns
        if any(material.p_open is not None for material in campaign.materials)
    ]
    assert sums
    assert sums == pytest.approx([1.0] * len(sums), abs=1e-6)


@pytest.mark.parametrize(("allowed", "slot", "micros"), [
    ([True, True, False], 0, 30),
    ([True, True, False], None, 20),  # the cheapest open hour
    ([False, False, False], None, 10),  # none is open
])  # fmt: skip
def test_a_refusal_is_priced_in_its_hour(allowed: list[bool], slot: int | None, micros: int) -> None:
    costs = LaterCosts(*np.zeros((6, 1)), by_hour=np.array([[30.0, 20.0, 10.0]]))
    problem = SimpleNamespace(is_exempt=np.array([False]), allowed=np.array([allowed]))
    night = SimpleNamespace(costs=costs, problem=problem)
    later = PersonNight.later(night, 0, slot)  # type: ignore[arg-type]
    assert later is not None
    assert later.refusal_micros == micros
