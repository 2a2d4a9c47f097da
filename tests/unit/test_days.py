"""Days from outside are dates within the bounds that calendars and engines share."""

from __future__ import annotations

from datetime import date

import pytest

from angelia.days import FIRST_DAY, LAST_DAY, parse_day, require_day
from angelia.errors import InvalidInput


@pytest.mark.parametrize("day", [FIRST_DAY, LAST_DAY])
def test_the_first_and_the_last_day_may_be_named(day: date) -> None:
    assert parse_day("--ds", day.isoformat()) == day


@pytest.mark.parametrize("text", ["1999-12-31", "2101-01-01"])
def test_the_day_beside_them_is_out_of_range(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_day("--from", text)
    assert refused.value.one_line() == (
        f"--from '{text}' is out of range; days are from 2000-01-01 to 2100-12-31"
    )
    with pytest.raises(InvalidInput, match="the plan"):
        require_day("the plan", text, date.fromisoformat(text))


@pytest.mark.parametrize("text", ["", "yesterday", "2026-02-30", "14.11.2026"])
def test_a_text_that_is_no_date_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_day("--ds", text)
    assert refused.value.fix == "write it as 2026-11-14"
