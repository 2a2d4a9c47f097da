"""One person on one night: their clock, and what they had to choose from."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from angelia.asking.records import Why
from angelia.asking.why import why
from angelia.contracts.rows import user_name
from angelia.lake import Lake
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
