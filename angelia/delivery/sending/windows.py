"""May this row be sent at this instant: its own window, and the person's quiet hours.

Per batch each row gets a span [opens, closes) of instants, so that the check just before a request is two
integer comparisons. Quiet hours are local clock hours; a span ends where the next quiet hour begins, and is
never longer than what was checked ahead (26 hours).
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from angelia.contracts.outcomes import AT_LEAST_ONCE
from angelia.contracts.sending import Micros
from angelia.timing.local_time import in_quiet

_QUARTER = 900_000_000  # µs; every IANA offset in use today is a multiple of 15 minutes
_AHEAD = 26 * 4
EXPIRED, QUIET, QUIET_HOURS = "expired", "quiet", "quiet_hours"
_SPAN_COLUMNS = ("not_before", "not_after", "timezone", "quiet_start", "quiet_end", "guarantee")


class SendSpan(NamedTuple):
    """When a row may be sent: from `opens` until before `closes`, and why not after that.

    The reason is `expired` (the window is over), `quiet_hours` (they last as long as the window), or `quiet`
    (quiet hours begin, or the look ahead ends: the span has to be made again).
    """

    opens: Micros
    closes: Micros
    reason: str


@lru_cache(maxsize=4096)
def _zone(name: str) -> zoneinfo.ZoneInfo | None:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None


@lru_cache(maxsize=1 << 16)
def _is_quiet(name: str, start: int, end: int, quarter: int) -> bool:
    zone = _zone(name)
    assert zone is not None
    hour = datetime.fromtimestamp(quarter * 900, UTC).astimezone(zone).hour
    return bool(in_quiet(hour, start, end))


@lru_cache(maxsize=1 << 16)
def quiet_span(timezone: str, start: int | None, end: int | None, quarter: int) -> tuple[bool, Micros]:
    """Return whether a quarter of an hour (number since 1970) is quiet, and when that changes.

    An unknown timezone counts as quiet for ever: when nobody knows the person's night, nothing is sent into
    it.
    """
    if start is None or end is None or start == end:
        return False, 1 << 62
    if _zone(timezone) is None:
        return True, 1 << 62
    now = _is_quiet(timezone, start, end, quarter)
    for ahead in range(1, _AHEAD):
        if _is_quiet(timezone, start, end, quarter + ahead) is not now:
            return now, (quarter + ahead) * _QUARTER
    return now, (quarter + _AHEAD) * _QUARTER


def quiet_now(timezone: str, start: int | None, end: int | None, now: Micros) -> tuple[bool, Micros]:
    """Return whether it is quiet at an instant, and until when that holds."""
    return quiet_span(timezone, start, end, now // _QUARTER)


def spans(column: Mapping[str, Sequence[Any]], now: Micros, early: Micros) -> list[SendSpan]:
    """Return each row's span: its window, cut by quiet hours.

    Transactional messages are exempt from quiet hours.

    Args:
        column: manifest columns of a batch.
        now: the present instant, or the later of two that it may be.
        early: the earlier of the two.
    """
    made = []
    for opens, closes, timezone, start, end, guarantee in zip(
        *(column[name] for name in _SPAN_COLUMNS), strict=True
    ):
        if start is None or guarantee == AT_LEAST_ONCE:
            made.append(SendSpan(opens, closes, EXPIRED))
            continue
        if early < now:
            # The clock was set, and either of two times may be right: quiet by one of them is quiet.
            was_quiet, ended = quiet_now(timezone, start, end, max(early, opens))
            opens = ended if was_quiet else opens
        is_quiet, until = quiet_now(timezone, start, end, max(now, opens))
        if not is_quiet:
            made.append(SendSpan(opens, until, QUIET) if until < closes else SendSpan(opens, closes, EXPIRED))
        elif until >= closes:
            made.append(SendSpan(opens, opens, QUIET_HOURS))
        else:
            made.append(SendSpan(until, closes, EXPIRED))
    return made
