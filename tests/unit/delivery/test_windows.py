"""Spans in which a row may be sent: its own window, cut by the quiet hours of the person."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angelia.delivery.sending.windows import quiet_now, spans


@given(
    st.sampled_from(
        ["UTC", "Asia/Kolkata", "Australia/Lord_Howe", "America/New_York", "Europe/Berlin", "Asia/Kathmandu"]
    ),
    st.integers(0, 23),
    st.integers(0, 23),
    st.integers(
        int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2027, 1, 1, tzinfo=UTC).timestamp())
    ),
)
def test_quiet_hours_hold_until_the_instant_they_name(zone: str, start: int, end: int, second: int) -> None:
    import zoneinfo

    def naive(at: float) -> bool:
        hour = datetime.fromtimestamp(at, UTC).astimezone(zoneinfo.ZoneInfo(zone)).hour
        return start != end and (start <= hour < end if start < end else hour >= start or hour < end)

    quiet, until = quiet_now(zone, start, end, second * 1_000_000)
    assert quiet is naive(second)
    if start == end:
        return
    assert until > second * 1_000_000
    steps = range(second, min(until // 1_000_000, second + 26 * 3600), 300)
    assert all(naive(at) is quiet for at in steps)


@pytest.mark.parametrize(
    ("zone", "start", "end"), [("Nowhere/Land", 22, 8), ("../etc/passwd", 22, 8), ("", 22, 8)]
)
def test_an_unknown_timezone_is_always_quiet(zone: str, start: int, end: int) -> None:
    assert quiet_now(zone, start, end, 0)[0] is True


HOUR_US = 3_600_000_000
NOON = int(datetime(2026, 11, 15, 12, tzinfo=UTC).timestamp() * 1e6)


def span(now: int, early: int | None = None, **changes: object) -> tuple[int, int, str]:
    """Return a row's span in hours from noon; its window is twelve hours from then."""
    row = {
        "not_before": NOON, "not_after": NOON + 12 * HOUR_US, "timezone": "UTC",
        "quiet_start": 20, "quiet_end": 8, "guarantee": "at_most_once",
    }  # fmt: skip
    (made,) = spans({name: [value] for name, value in (row | changes).items()}, now, early or now)
    return (made.opens - NOON) // HOUR_US, (made.closes - NOON) // HOUR_US, made.reason


def test_a_span_ends_where_quiet_hours_begin() -> None:
    assert span(NOON) == (0, 8, "quiet")
    assert span(NOON, quiet_start=None, quiet_end=None) == (0, 12, "expired")
    assert span(NOON, guarantee="at_least_once") == (0, 12, "expired"), "transactional messages are exempt"
    assert span(NOON, not_after=NOON + 8 * HOUR_US) == (0, 8, "expired")


def test_a_row_in_quiet_hours_waits_for_their_end_or_has_none() -> None:
    assert span(NOON, quiet_start=11, quiet_end=14) == (2, 12, "expired")
    assert span(NOON, quiet_start=11, quiet_end=23, not_after=NOON + 11 * HOUR_US) == (0, 0, "quiet_hours")


def test_where_two_times_may_be_right_quiet_by_either_is_quiet() -> None:
    assert span(NOON + 3 * HOUR_US, NOON + HOUR_US, quiet_start=11, quiet_end=14)[0] == 2
    assert span(NOON + 3 * HOUR_US, quiet_start=11, quiet_end=14)[0] == 0
