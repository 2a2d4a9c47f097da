"""Local time for arrays: UTC hours to wall-clock hours, quiet hours, windows, days off.

Grain: one UTC hour of one timezone. Reads the IANA database of the machine (else the `tzdata` package) and
    the `holidays` calendars; writes nothing.

A UTC hour belongs to the local hour in which it *begins*: in Asia/Kolkata 08:00 UTC is 13:30, local hour 13.
Where clocks go forward the missing local hour simply never occurs (a wish for it moves to the first instant
after the gap); where they go back, the second of two UTC hours with the same local hour is marked
`is_repeat`, so that a plan can let each local hour happen once. Unknown timezones become the default and are
flagged, never dropped.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from angelia.errors import InvalidInput

Bools = npt.NDArray[np.bool_]
Hours = npt.NDArray[np.int8]
Dates = npt.NDArray[np.datetime64]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class LocalHours:
    """Wall-clock reading of UTC hours; all arrays have the same shape.

    Attributes:
        hour: Local hour, int8, 0..23.
        date: Local date, datetime64[D].
        weekday: int8, 0 = Monday.
        is_repeat: The UTC hour before had the same local date and hour (clocks went back).
        is_broken: The next local hour begins within the UTC hour, as in half-hour zones. Lord Howe Island's
            clocks change by half an hour, so that its hours are broken in winter only.
    """

    hour: Hours
    date: Dates
    weekday: Hours
    is_repeat: Bools
    is_broken: Bools


@cache
def known_timezones() -> frozenset[str]:
    """Return every IANA name this machine knows."""
    return frozenset(zoneinfo.available_timezones())


def resolve_timezones(names: Sequence[str | None], default: str) -> tuple[list[str], Bools]:
    """Replace null and unknown names by `default`.

    Returns the names and which of them were unknown, both (n,).

    Raises:
        InvalidInput: the default itself is not an IANA name.
    """
    known = known_timezones()
    if default not in known:
        raise InvalidInput(
            f"default timezone {default!r} is not an IANA name",
            fix="set ANGELIA_DEFAULT_TIMEZONE, for example to UTC or Asia/Shanghai",
        )
    unknown = np.fromiter((name not in known for name in names), dtype=bool, count=len(names))
    return [default if bad else str(name) for name, bad in zip(names, unknown, strict=True)], unknown


@lru_cache(maxsize=1 << 16)
def _day_offsets(zone: str, day: int) -> tuple[int, ...]:
    """Return the UTC offset in seconds at each of the 24 UTC hours of a day (days since 1970)."""
    info = zoneinfo.ZoneInfo(zone)
    start = _EPOCH + timedelta(days=day)

    def offset(hours: int) -> int:
        difference = (start + timedelta(hours=hours)).astimezone(info).utcoffset()
        assert difference is not None  # zoneinfo always knows
        return int(difference.total_seconds())

    first, last = offset(0), offset(24)
    # No zone has changed twice within one UTC day since 1970 and come back; equal ends mean a day without a
    # change (24x fewer look-ups).
    return (first,) * 24 if first == last else tuple(offset(h) for h in range(24))


def _offsets(zone: str, hours: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return offsets in seconds for UTC hours since 1970, any shape."""
    day, hour = np.divmod(hours, 24)
    days, inverse = np.unique(day, return_inverse=True)
    table = np.array([_day_offsets(zone, int(d)) for d in days], dtype=np.int64).reshape(-1, 24)
    return table[inverse.reshape(hours.shape), hour]


def _read_clock(
    zones: Sequence[str], zone_of: npt.NDArray[np.int64], hours: npt.NDArray[np.int64]
) -> LocalHours:
    local = np.empty(hours.shape, dtype=np.int64)
    before = np.empty(hours.shape, dtype=np.int64)
    for index, zone in enumerate(zones):
        here = zone_of == index
        near = hours[here]
        local[here] = near * 3600 + _offsets(zone, near)
        before[here] = (near - 1) * 3600 + _offsets(zone, near - 1)
    hour_number = local // 3600
    day = hour_number // 24
    return LocalHours(
        hour=(hour_number % 24).astype(np.int8),
        date=day.astype("datetime64[D]"),
        weekday=((day + 3) % 7).astype(np.int8),  # 1970-01-01 was a Thursday
        is_repeat=(before // 3600) == hour_number,
        is_broken=local % 3600 != 0,
    )


def utc_hours_to_local(timezones: Sequence[str], hours: Dates) -> LocalHours:
    """Read the clock of each pair of `timezones` and `hours` (datetime64[h], UTC), both (n,).

    Raises:
        InvalidInput: a timezone is unknown (`resolve_timezones` first), or the lengths differ.
    """
    if len(timezones) != len(hours):
        raise InvalidInput(f"{len(timezones)} timezones for {len(hours)} hours")
    zones, zone_of = _unique_zones(timezones)
    return _read_clock(zones, zone_of, hours.astype("datetime64[h]").astype(np.int64))


def local_grid(timezones: Sequence[str], hours: Dates) -> LocalHours:
    """Read every timezone's clock at every UTC hour: shapes (n,) and (h,) give (n, h).

    Raises:
        InvalidInput: a timezone is unknown.
    """
    zones, zone_of = _unique_zones(timezones)
    numbers = hours.astype("datetime64[h]").astype(np.int64)
    table = _read_clock(
        zones,
        np.repeat(np.arange(len(zones)), len(numbers)),
        np.tile(numbers, len(zones)),
    )
    shape = (len(zones), len(numbers))
    return LocalHours(
        hour=table.hour.reshape(shape)[zone_of],
        date=table.date.reshape(shape)[zone_of],
        weekday=table.weekday.reshape(shape)[zone_of],
        is_repeat=table.is_repeat.reshape(shape)[zone_of],
        is_broken=table.is_broken.reshape(shape)[zone_of],
    )


def local_hour_to_utc(timezone: str, day: date, hour: int) -> np.datetime64:
    """Return the first UTC minute (datetime64[m]) at which the clock shows this local hour.

    Where a gap swallowed the hour, it is the gap's end.
    """
    _unique_zones([timezone])
    info = zoneinfo.ZoneInfo(timezone)
    wanted = datetime(day.year, day.month, day.day, hour)
    # fold=0 reads an ambiguous time as its first occurrence. In a gap it keeps the offset before it, which
    # lands as far behind the gap's end as the wish lies behind its start: hence the walk back to the first
    # minute that is not before the wish.
    instant = wanted.replace(tzinfo=info, fold=0).astimezone(UTC)
    if instant.astimezone(info).replace(tzinfo=None) != wanted:
        while (instant - timedelta(minutes=1)).astimezone(info).replace(tzinfo=None) >= wanted:
            instant -= timedelta(minutes=1)
    return np.datetime64(instant.replace(tzinfo=None), "m")


def in_hours(local_hour: npt.ArrayLike, start: int, end: int) -> Bools:
    """Say which local hours lie in [start, end).

    It goes across midnight if end <= start; start == end is the whole day.
    """
    hour = np.asarray(local_hour)
    if start < end:
        return np.asarray((hour >= start) & (hour < end))
    return np.asarray((hour >= start) | (hour < end))


def in_quiet(local_hour: npt.ArrayLike, start: int | None, end: int | None) -> Bools:
    """Say which local hours are quiet.

    Quiet hours go across midnight if end < start; start == end, or none given, is never.
    """
    hour = np.asarray(local_hour)
    if start is None or end is None or start == end:
        return np.zeros(hour.shape, dtype=bool)
    return in_hours(hour, start, end)


def within_days(dates: Dates, days: Dates) -> Bools:
    """Return which dates, (n, h), lie from the first to the last day, (n, 2) or (2,)."""
    return np.asarray((dates >= days[..., :1]) & (dates <= days[..., 1:]))


def is_day_off(dates: npt.ArrayLike, countries: Sequence[str | None] | str | None) -> Bools:
    """Say which dates (datetime64[D], any shape) are weekend or public holiday.

    There is one country for all, or one per leading row. Unknown or missing countries have weekends on
    Saturday and Sunday and no holidays. Working Saturdays before long holidays count as workdays.
    """
    days = np.asarray(dates, dtype="datetime64[D]")
    if countries is None or isinstance(countries, str):
        return _days_off(countries, days)
    off = np.zeros(days.shape, dtype=bool)
    names = np.array(["" if c is None else c for c in countries], dtype=object)
    for country in sorted(set(names.tolist())):
        rows = names == country
        off[rows] = _days_off(country or None, days[rows])
    return off


def _days_off(country: str | None, days: Dates) -> Bools:
    unique, inverse = np.unique(days, return_inverse=True)
    flags = np.array([_is_off(country, int(d)) for d in unique.astype(np.int64)], dtype=bool)
    return flags[inverse.reshape(days.shape)] if unique.size else np.zeros(days.shape, dtype=bool)


@lru_cache(maxsize=1 << 16)
def _is_off(country: str | None, day: int) -> bool:
    when = date(1970, 1, 1) + timedelta(days=day)
    calendar = _calendar(country, when.year)
    return when.weekday() >= 5 if calendar is None else not calendar.is_working_day(when)


@cache
def _calendar(country: str | None, year: int) -> Any:
    """Return the country's calendar of one year, or None where `holidays` has none."""
    import holidays

    if country is None or country not in _countries():
        return None
    return holidays.country_holidays(country, years=year)


@cache
def _countries() -> frozenset[str]:
    import holidays

    return frozenset(holidays.list_supported_countries(include_aliases=False))


def unique_clocks(
    timezones: Sequence[str], countries: Sequence[str | None]
) -> tuple[list[tuple[str, str | None]], npt.NDArray[np.int64]]:
    """Return the different timezones with countries, and each user's among them, (n,)."""
    position: dict[tuple[str, str | None], int] = {}
    pairs = zip(timezones, countries, strict=True)
    group = np.fromiter(
        (position.setdefault(pair, len(position)) for pair in pairs), dtype=np.int64, count=len(timezones)
    )
    return list(position), group


def _unique_zones(timezones: Sequence[str]) -> tuple[list[str], npt.NDArray[np.int64]]:
    position: dict[str, int] = {}
    zone_of = np.fromiter(
        (position.setdefault(name, len(position)) for name in timezones), dtype=np.int64, count=len(timezones)
    )
    for name in position:
        if name not in known_timezones():
            raise InvalidInput(
                f"{name!r} is not an IANA timezone", fix="pass names through resolve_timezones first"
            )
    return list(position), zone_of
