"""When a message has to have left, at the exact end of window, days and two hours."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from angelia.timing.closing import has_left_by


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "opens", "terms", "expected"),
    [
        ("UTC", "2026-11-15T10:00", {}, "2026-11-15T12:00"),
        ("UTC", "2026-11-15T10:00", {"ttl_hours": 1}, "2026-11-15T11:00"),
        ("UTC", "2026-11-15T19:00", {"window_end": 21}, "2026-11-15T21:00"),
        ("UTC", "2026-11-15T20:00", {"window_end": 21}, "2026-11-15T21:00"),
        ("UTC", "2026-11-15T23:00", {"window_end": 24}, "2026-11-16T00:00"),
        # Half an hour of the UTC hour lies behind the window.
        ("Asia/Kolkata", "2026-11-15T15:00", {"window_end": 21}, "2026-11-15T15:30"),
        # The last day, and the day before it.
        ("UTC", "2026-11-15T23:00", {"last_day": date(2026, 11, 15)}, "2026-11-16T00:00"),
        ("UTC", "2026-11-15T23:00", {"last_day": date(2026, 11, 16)}, "2026-11-16T01:00"),
        # Its weekdays end at midnight where the next day is none of them.
        ("UTC", "2026-11-14T23:00", {"weekdays": frozenset({0, 5})}, "2026-11-15T00:00"),
        ("UTC", "2026-11-15T23:00", {"weekdays": frozenset({0, 6})}, "2026-11-16T01:00"),
        ("UTC", "2026-12-31T23:00", {"last_day": date(2026, 12, 31)}, "2027-01-01T00:00"),
        ("UTC", "2028-02-29T23:00", {"last_day": date(2028, 2, 29)}, "2028-03-01T00:00"),
        # Clocks go back from midnight to 23:00: the last day has 25 hours; and forward, over midnight.
        ("Africa/Cairo", "2026-10-29T20:00", {"last_day": date(2026, 10, 29)}, "2026-10-29T22:00"),
        ("Africa/Cairo", "2026-10-29T21:00", {"last_day": date(2026, 10, 29)}, "2026-10-29T22:00"),
        ("America/Santiago", "2026-09-06T03:00", {"last_day": date(2026, 9, 5)}, "2026-09-06T04:00"),
        # Clocks go forward over the window's end (New York), and half an hour back over it (Lord Howe).
        ("America/New_York", "2026-03-08T06:00", {"window_end": 2}, "2026-03-08T07:00"),
        ("Australia/Lord_Howe", "2026-04-04T15:00", {"window_end": 2}, "2026-04-04T15:30"),
    ],
)
def test_it_has_left_by(zone: str, opens: str, terms: dict[str, object], expected: str) -> None:
    wanted = {"ttl_hours": 12, **terms}
    assert has_left_by(zone, at(opens), **wanted) == at(expected)  # type: ignore[arg-type]
