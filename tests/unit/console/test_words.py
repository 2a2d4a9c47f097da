"""Numbers and instants as people read them; nothing is a dash."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from angelia.console.words import (
    DASH,
    FILTERS,
    advice,
    at_hours,
    at_instants,
    code,
    count,
    did,
    duration,
    hour,
    instant,
    money,
    plural,
    sentence,
    share,
)


def test_nothing_is_a_dash() -> None:
    assert [
        count(None),
        share(None, 3),
        share(3, 0),
        share(3, None),
        money(None),
        instant(None),
        instant(""),
    ] == ([DASH] * 7)
    assert duration(None) == DASH


def test_counts_shares_and_money() -> None:
    assert (count(1_234_567), count(0)) == ("1,234,567", "0")
    assert (share(1, 3), share(1, 30), share(0, 5), share(5, 5)) == ("33.3 %", "3.3 %", "0 %", "100 %")
    assert (money(1_234_567_890), money(-5_000)) == ("1,234.57", "-0.01")
    assert (plural(1, "night"), plural(0, "night"), plural(2_000, "night")) == (
        "1 night",
        "0 nights",
        "2,000 nights",
    )


@pytest.mark.parametrize(
    "value",
    [
        datetime(2026, 11, 15, 4, 30, 59, tzinfo=UTC),
        datetime(2026, 11, 15, 4, 30),
        datetime(2026, 11, 15, 5, 30, tzinfo=timezone(timedelta(hours=1))),
        "2026-11-15T05:30:00+01:00",
    ],
)
def test_an_instant_is_in_utc_to_the_minute(value: datetime | str) -> None:
    assert instant(value) == "2026-11-15 04:30 UTC"


def test_a_send_hour_is_a_day_and_an_hour() -> None:
    assert hour("2026-11-05T04") == "05 Nov 04:00"
    with pytest.raises(ValueError, match="does not match"):
        hour("2026-11-05")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3_600, "1 h"),
        (3_661, "1 h 1 min"),
        (90_061, "1 d 1 h"),
    ],
)
def test_a_span_is_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_templates_have_each_of_them_by_its_name() -> None:
    assert all(name == function.__name__ for name, function in FILTERS.items())


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("up to 0.1588 at 2026-11-16T01.", "up to 0.1588 at 16 Nov 01:00 UTC."),
        ("up to 0.1588 at 2026-11-16T01:00 UTC.", "up to 0.1588 at 16 Nov 01:00 UTC."),
        ("fcm 2026-11-15T11", "fcm 15 Nov 11:00 UTC"),
        ("budget price_drop", "budget price_drop"),
        ("of 2026-11-15", "of 2026-11-15"),
        ("2026-11-15T110", "2026-11-15T110"),
        ("", ""),
    ],
)
def test_hours_in_a_sentence_are_read_aloud(text: str, reads: str) -> None:
    assert at_hours(text) == reads


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        (
            "ada made 3 at 2026-11-28T22:25:37.802996+00:00, yours",
            "ada made 3 at 2026-11-28 22:25 UTC, yours",
        ),
        ("at 2026-11-29T01:30:00+02:00.", "at 2026-11-28 23:30 UTC."),
        ("at 2026-11-28T22:25:37Z", "at 2026-11-28 22:25 UTC"),
        ("of 2026-11-28", "of 2026-11-28"),
        ("at 2026-11-28T22", "at 2026-11-28T22"),
    ],
)
def test_instants_in_a_sentence_are_read_aloud(text: str, reads: str) -> None:
    assert at_instants(text) == reads


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("there is no version 9", "There is no version 9."),
        ("price_drop does not use pigeon", "price_drop does not use pigeon."),
        ("'many' is not a number", "'many' is not a number."),
        ("did you mean gender?", "Did you mean gender?"),
        ("", ""),
    ],
)
def test_an_error_is_a_sentence(text: str, whole: str) -> None:
    assert sentence(text) == whole


def test_advice_says_what_to_do() -> None:
    assert advice("write it as 2026-11-14") == "What to do: write it as 2026-11-14."
    assert advice("one of fcm, sms") == "What to do: choose one of fcm, sms."
    assert advice("did you mean price_drop?") == "Did you mean price_drop?"


def test_a_deed_is_told_in_the_past() -> None:
    assert (did("stop"), did("open"), did("changed")) == ("stopped", "opened again", "changed")


def test_a_command_in_a_sentence_is_code_and_the_rest_is_text() -> None:
    shown = code("no <b> is open; run `angelia plan show --ds D` & wait")
    assert str(shown) == "no &lt;b&gt; is open; run <code>angelia plan show --ds D</code> &amp; wait"
    assert str(code("an odd ` stays")) == "an odd ` stays"
