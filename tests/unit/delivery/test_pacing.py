"""Tokens, Retry-After and backoff: on virtual time."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angelia.delivery.sending.pacing import TokenBucket, backoff, retry_after


@given(st.integers(1, 30_000), st.lists(st.integers(0, 30_000_000), min_size=1, max_size=400))
def test_no_sliding_minute_holds_more_than_the_quota(quota: int, gaps: list[int]) -> None:
    bucket = TokenBucket(quota, 0)
    now, taken = 0, []
    for gap in gaps:
        now += gap
        while bucket.take(now) == 0.0 and len(taken) < 40_000:
            taken.append(now)
    for first, instant in enumerate(taken):
        if first + quota < len(taken):
            assert taken[first + quota] - instant > 60_000_000 or quota <= 1


def test_the_wait_it_names_is_enough_and_not_much_too_long() -> None:
    bucket, now, n = TokenBucket(6_000, 0), 0, 0
    while now < 60_000_000:
        wait = bucket.take(now)
        if wait:
            now += int(wait * 1e6) + 1
        else:
            n += 1
    assert 5_900 <= n <= 6_000


def test_a_429_halves_once_a_second_holds_and_recovers() -> None:
    bucket = TokenBucket(60_000, 0)
    full = bucket.rate
    for _ in range(50):
        bucket.throttled(1_000_000, 5.0)
    assert bucket.rate == full / 2
    assert bucket.take(5_999_999) > 0
    assert bucket.take(6_000_000) == 0.0
    for second in range(7, 30):
        bucket.take(second * 1_000_000)
    assert bucket.rate == full


def test_retry_after_reads_seconds_and_dates_and_nothing_else() -> None:
    now = int(datetime(2026, 11, 15, 4, tzinfo=UTC).timestamp() * 1e6)
    assert retry_after("120", now) == 120.0
    assert (
        retry_after(format_datetime(datetime(2026, 11, 15, 4, 0, 30, tzinfo=UTC), usegmt=True), now) == 30.0
    )
    assert retry_after("Sun, 15 Nov 2020 04:00:00 GMT", now) == 0.0
    assert retry_after("999999999", now) == 3600.0
    for text in (None, "", "soon", "-5", "1.5", "٣"):
        assert retry_after(text, now) is None


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 +99999999999999999999999",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Fri, 31 Dec 99999 23:59:59 GMT",
        "9" * 5000,
    ],
)
def test_a_hostile_retry_after_is_bounded_or_ignored(text: str) -> None:
    wait = retry_after(text, int(datetime(2026, 11, 15, 4, tzinfo=UTC).timestamp() * 1e6))
    assert wait is None or 0.0 <= wait <= 3600.0


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_backoff_is_capped_and_never_zero(attempt: int, draw: float) -> None:
    assert 0.05 <= backoff(attempt, lambda: draw) <= 16.0
