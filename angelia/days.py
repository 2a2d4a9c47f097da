"""The days that may be named: those on which calendars, engines and arithmetic agree.

Whoever takes a day from outside (an option, a document) bounds it here, so that days before and after it can
always be computed: Python ends with the year 9999, pandas in 2262, and a plan looks back to a campaign's
first day.
"""

from __future__ import annotations

from datetime import date

from angelia.errors import InvalidInput

FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2100, 12, 31)


def parse_day(option: str, text: str) -> date:
    """Return the day that a text names.

    Raises:
        InvalidInput: it names none, or one that is out of range; `option` says where it was given.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{option} {text!r} is not a date", fix="write it as 2026-11-14") from None
    require_day(option, text, day)
    return day


def require_day(option: str, text: str, day: date) -> None:
    """Refuse a day that is out of range.

    Raises:
        InvalidInput: as said.
    """
    if not FIRST_DAY <= day <= LAST_DAY:
        raise InvalidInput(
            f"{option} {text!r} is out of range", fix=f"days are from {FIRST_DAY} to {LAST_DAY}"
        )
