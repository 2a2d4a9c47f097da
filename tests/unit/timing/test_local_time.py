import zoneinfo
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from angelia.errors import InvalidInput
from angelia.timing.local_time import (
    in_hours,
    in_quiet,
    is_day_off,
    known_timezones,
    local_grid,
    local_hour_to_utc,
    resolve_timezones,
    utc_hours_to_local,
)

ZONES = sorted(known_timezones())
START = np.datetime64("2025-06-01T00", "h")
HOURS_OF_TWO_YEARS = 2 * 365 * 24


def hours(start: str, n: int) -> np.ndarray:
    return np.datetime64(start, "h") + np.arange(n)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ZONES), st.integers(0, HOURS_OF_TWO_YEARS - 48))
def test_any_zone_any_two_days_agree_with_zoneinfo(zone: str, offset: int) -> None:
    span = START + offset + np.arange(48)
    read = utc_hours_to_local([zone] * 48, span)
    previous = None
    for i, hour in enumerate(span):
        local = (
            hour.astype("datetime64[s]")
            .astype(datetime)
            .replace(tzinfo=UTC)
            .astimezone(zoneinfo.ZoneInfo(zone))
        )
        assert (read.hour[i], read.date[i].astype(date), read.weekday[i]) == (
            local.hour,
            local.date(),
            local.weekday(),
        )
        if previous is not None:
            assert read.is_repeat[i] == (previous == (local.date(), local.hour))
        previous = (local.date(), local.hour)


def test_every_change_of_every_zone_in_two_years_is_read_right() -> None:
    span = START + np.arange(HOURS_OF_TWO_YEARS)
    days = span[::24]
    for zone in ZONES[::7]:
        info = zoneinfo.ZoneInfo(zone)
        seconds = [
            datetime.fromisoformat(str(d)).replace(tzinfo=UTC).astimezone(info).utcoffset()
            for d in days.astype("datetime64[s]")
        ]
        changing = [i for i in range(len(days) - 1) if seconds[i] != seconds[i + 1]]
        for i in changing:
            read = utc_hours_to_local([zone] * 24, days[i] + np.arange(24))
            for j in range(24):
                local = (
                    datetime.fromisoformat(str(days[i].astype("datetime64[s]"))).replace(tzinfo=UTC)
                    + timedelta(hours=j)
                ).astimezone(info)
                assert (read.hour[j], read.date[j].astype(date)) == (local.hour, local.date())


@pytest.mark.parametrize("zone", ZONES[::23])
def test_local_hours_that_are_no_repeat_are_strictly_increasing(zone: str) -> None:
    read = local_grid([zone], START + np.arange(HOURS_OF_TWO_YEARS))
    number = read.date[0].astype("datetime64[h]").astype(np.int64) + read.hour[0]
    assert (np.diff(number[~read.is_repeat[0]]) > 0).all()
    assert (np.diff(number) >= 0).all()


def test_spring_gap_is_skipped_and_autumn_fold_happens_once() -> None:
    spring = local_grid(["Europe/Berlin"], hours("2026-03-28T23", 4))
    assert spring.hour.tolist() == [[0, 1, 3, 4]]
    autumn = local_grid(["Europe/Berlin"], hours("2026-10-24T23", 4))
    assert autumn.hour.tolist() == [[1, 2, 2, 3]]
    assert autumn.is_repeat.tolist() == [[False, False, True, False]]


@pytest.mark.parametrize("zone", ZONES[::23])
def test_an_hour_is_broken_where_the_clock_shows_minutes(zone: str) -> None:
    read, info = local_grid([zone], hours("2026-01-01T00", 24 * 365)), zoneinfo.ZoneInfo(zone)
    begins = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(24 * 365)]
    assert read.is_broken[0].tolist() == [at.astimezone(info).minute != 0 for at in begins]


def test_a_change_of_half_an_hour_breaks_the_hours_after_it() -> None:
    # Lord Howe Island: +11 until 15:00 UTC, +10:30 from then on, and back at half past three in October.
    autumn = local_grid(["Australia/Lord_Howe", "Asia/Kolkata"], hours("2026-04-04T13", 4))
    assert autumn.is_broken.tolist() == [[False, False, True, True], [True] * 4]
    spring = local_grid(["Australia/Lord_Howe"], hours("2026-10-03T14", 3))
    assert spring.is_broken.tolist() == [[True, True, False]]


@pytest.mark.parametrize(
    ("zone", "day", "hour", "expected"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 2, "2026-03-29T01:00"),  # swallowed: the end of the gap
        ("Europe/Berlin", date(2026, 10, 25), 2, "2026-10-25T00:00"),  # twice: the first
        ("Asia/Kolkata", date(2026, 11, 15), 13, "2026-11-15T07:30"),
        ("Australia/Lord_Howe", date(2026, 10, 4), 2, "2026-10-03T15:30"),  # a gap of half an hour
        ("Africa/Cairo", date(2026, 4, 24), 0, "2026-04-23T22:00"),  # the gap is the first hour of the day
    ],
)
def test_local_hour_to_utc(zone: str, day: date, hour: int, expected: str) -> None:
    assert local_hour_to_utc(zone, day, hour) == np.datetime64(expected)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(ZONES), st.integers(0, 729), st.integers(0, 23))
def test_local_hour_to_utc_is_the_first_instant_from_the_wish(zone: str, offset: int, hour: int) -> None:
    day = date(2025, 6, 1) + timedelta(days=offset)
    utc = local_hour_to_utc(zone, day, hour).astype(datetime).replace(tzinfo=UTC)
    info = zoneinfo.ZoneInfo(zone)
    wish = datetime(day.year, day.month, day.day, hour)
    assert utc.astimezone(info).replace(tzinfo=None) >= wish
    assert (utc - timedelta(minutes=1)).astimezone(info).replace(tzinfo=None) < wish


def test_half_hour_zone_belongs_to_the_hour_it_begins_in() -> None:
    read = utc_hours_to_local(
        ["Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns"],
        np.array(["2026-11-14T18"] * 3, dtype="datetime64[h]"),
    )
    assert read.hour.tolist() == [23, 23, 14]
    assert read.date.astype(str).tolist() == ["2026-11-14"] * 3
    assert read.weekday.tolist() == [5, 5, 5]


def test_unknown_timezones_become_the_default_and_are_flagged() -> None:
    names, unknown = resolve_timezones(
        ["Europe/Berlin", None, "Mars/Base", "", "../etc/passwd", "America"], "Asia/Shanghai"
    )
    assert names == ["Europe/Berlin", *["Asia/Shanghai"] * 5]
    assert unknown.tolist() == [False, True, True, True, True, True]
    with pytest.raises(InvalidInput, match="default timezone"):
        resolve_timezones([], "Mars/Base")
    with pytest.raises(InvalidInput, match="not an IANA"):
        utc_hours_to_local(["Mars/Base"], hours("2026-11-14T00", 1))
    with pytest.raises(InvalidInput, match="2 timezones"):
        utc_hours_to_local(["UTC", "UTC"], hours("2026-11-14T00", 1))


def test_quiet_hours_and_windows_cross_midnight() -> None:
    clock = np.arange(24)
    assert np.flatnonzero(in_quiet(clock, 22, 8)).tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 22, 23]
    assert np.flatnonzero(in_quiet(clock, 1, 3)).tolist() == [1, 2]
    assert not in_quiet(clock, 5, 5).any()
    assert not in_quiet(clock, None, None).any()
    assert np.flatnonzero(in_hours(clock, 9, 21)).tolist() == list(range(9, 21))
    assert in_hours(clock, 0, 24).all()
    assert in_hours(clock, 6, 6).all()


def test_days_off_follow_the_country() -> None:
    days = np.array(
        ["2026-10-03", "2026-10-05", "2026-10-09", "2026-10-10"], dtype="datetime64[D]"
    )  # Sat Mon Fri Sat
    assert is_day_off(days, None).tolist() == [True, False, False, True]
    assert is_day_off(days, "CN").tolist() == [
        True,
        True,
        False,
        False,
    ]  # National Day week; its Saturday is worked
    assert is_day_off(days, "IR").tolist()[2] is True  # Friday
    assert is_day_off(days, "ZZ").tolist() == [True, False, False, True]
    per_user = is_day_off(np.tile(days, (3, 1)), ["CN", None, "DE"])
    assert per_user.tolist() == [
        [True, True, False, False],
        [True, False, False, True],
        [True, False, False, True],
    ]
