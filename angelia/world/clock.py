"""Local hours, weekdays and kinds of day for the world's people. Grain: user x UTC hour.

Hours are int64 hours since 1970, days int64 days since 1970 (UTC); `angelia.timing.local_time` converts them.
The world knows weekends and a few people's odd weeks, but no public holidays: its truth must not change with
anybody's calendar.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from angelia.timing.local_time import local_grid
from angelia.world.draws import Bools, Ints
from angelia.world.parameters import parameters
from angelia.world.population import People

_EPOCH = date(1970, 1, 1)


class Local(NamedTuple):
    """Local clock of some hours, all of one shape: hour 0..23, weekday 0 = Monday, is_day_off."""

    hour: Ints
    weekday: Ints
    is_day_off: Bools


def day_number(ds: str) -> int:
    """Return days since 1970 of an ISO date."""
    return (date.fromisoformat(ds) - _EPOCH).days


def day_name(day: int) -> str:
    """Return the ISO date of days since 1970."""
    return (_EPOCH + timedelta(days=day)).isoformat()


@lru_cache(maxsize=512)
def _grid(day: int) -> tuple[Ints, Ints]:
    """Return every timezone's local hour and weekday at the day's 24 UTC hours.

    Both arrays have the shape (timezones, 24).
    """
    hours = np.arange(day * 24, day * 24 + 24).astype("datetime64[h]")
    grid = local_grid(parameters().timezones, hours)
    return grid.hour.astype(np.int64), grid.weekday.astype(np.int64)


@lru_cache(maxsize=512)
def whole_hour(day: int, first: int, end: int) -> Bools:
    """Mark the UTC hours of a day that lie wholly inside local [first, end), (timezones, 24).

    Zones off by half an hour have one such hour fewer.
    """
    from zoneinfo import ZoneInfo

    from angelia.timing.local_time import in_hours

    hour, _ = _grid(day)
    start = np.datetime64(day_name(day)).astype("datetime64[s]").item()
    offsets = (ZoneInfo(zone).utcoffset(start) for zone in parameters().timezones)
    broken = np.array([offset is not None and offset.total_seconds() % 3600 != 0 for offset in offsets])
    inside = in_hours(hour, first, end)
    return inside & (~broken[:, None] | in_hours((hour + 1) % 24, first, end))


def local(people: People, rows: Ints, hours: Ints) -> Local:
    """Return the clock of people[rows] at UTC hours; `rows` and `hours` broadcast to one shape."""
    rows, hours = np.broadcast_arrays(rows, hours)
    days = hours // 24
    zone = people.timezone[rows]
    hour = np.empty(hours.shape, dtype=np.int64)
    weekday = np.empty(hours.shape, dtype=np.int64)
    for day in np.unique(days):
        here = days == day
        hour_grid, weekday_grid = _grid(int(day))
        hour[here] = hour_grid[zone[here], hours[here] % 24]
        weekday[here] = weekday_grid[zone[here], hours[here] % 24]
    return Local(hour, weekday, people.days_off[rows, weekday])


def local_day(people: People, day: int) -> Local:
    """Return the clock of all people at the day's 24 UTC hours, each (n, 24)."""
    hour_grid, weekday_grid = _grid(day)
    hour, weekday = hour_grid[people.timezone], weekday_grid[people.timezone]
    return Local(hour, weekday, np.take_along_axis(people.days_off, weekday, axis=1))
