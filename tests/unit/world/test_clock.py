"""Local clocks of the world's people: zones, half hours, and everybody's own days off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from angelia.world.clock import day_name, day_number, local, local_day, whole_hour
from angelia.world.parameters import parameters
from angelia.world.truth import World

DAY = day_number("2026-11-15")
PEOPLE = World(seed=5, users=300, anchor_day=DAY).people(np.arange(300))


@pytest.mark.parametrize(("ds", "number"), [("1970-01-01", 0), ("1969-12-31", -1), ("2026-11-15", 20_772)])
def test_a_day_is_a_number_and_back(ds: str, number: int) -> None:
    assert day_number(ds) == number
    assert day_name(number) == ds


def test_local_hours_and_weekdays_are_those_of_the_zone() -> None:
    rows, hours = np.arange(300), DAY * 24 + np.arange(300) % 48
    clock = local(PEOPLE, rows, hours)
    for row in rows[::7]:
        zone = ZoneInfo(parameters().timezones[PEOPLE.timezone[row]])
        there = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=int(hours[row]))).astimezone(zone)
        assert (clock.hour[row], clock.weekday[row]) == (there.hour, there.weekday())
        assert clock.is_day_off[row] == PEOPLE.days_off[row, there.weekday()]


def test_a_whole_day_is_its_hours() -> None:
    day = local_day(PEOPLE, DAY)
    grid = local(PEOPLE, np.arange(300)[:, None], DAY * 24 + np.arange(24)[None, :])
    assert all(np.array_equal(whole, each) for whole, each in zip(day, grid, strict=True))


def test_zones_off_by_half_an_hour_have_an_hour_fewer() -> None:
    zones = list(parameters().timezones)
    hours = dict(zip(zones, whole_hour(DAY, 8, 22).sum(axis=1).tolist(), strict=True))
    assert hours["Asia/Shanghai"] == 14
    assert hours["Asia/Kolkata"] == 13
