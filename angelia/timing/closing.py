"""When a marketing message has to have left, by its campaign's days and window.

Pure; reads the IANA database. A plan chooses hours in which a message may arrive; a message that leaves late
must not arrive outside of them. Surprise: an hour of UTC that begins within the window may end outside of it,
where clocks stand half an hour apart.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from angelia.timing.local_time import local_hour_to_utc

MARKETING_WINDOW_H = 2  # so long after its hour began a message may still go; later it is dropped


@lru_cache(maxsize=1 << 16)  # a night's rows share a few hundred hours, clocks and campaigns
def has_left_by(
    timezone: str,
    opens: datetime,
    ttl_hours: int,
    window_end: int | None = None,
    last_day: date = date.max,
    weekdays: frozenset[int] = frozenset(),
) -> datetime:
    """Return the instant, UTC, from which a marketing message is too late.

    Args:
        timezone: the person's, an IANA name.
        opens: when it may leave, within the campaign's days and window.
        window_end: first local hour in which it may not arrive any more, 1 to 24; None = any hour may be.
        last_day: the last local day on which it may arrive.
        weekdays: on which it may arrive, 0 = Monday; empty = all.
    """
    latest = opens + timedelta(hours=min(ttl_hours, MARKETING_WINDOW_H))
    today = opens.astimezone(ZoneInfo(timezone)).date()
    if window_end is not None and window_end < 24:
        return min(latest, _instant(timezone, today, window_end))
    if today == date.max:
        return latest
    tomorrow = today + timedelta(days=1)
    is_last = window_end == 24 or tomorrow > last_day or (weekdays and tomorrow.weekday() not in weekdays)
    return min(latest, _instant(timezone, tomorrow, 0)) if is_last else latest


def _instant(timezone: str, day: date, hour: int) -> datetime:
    minutes = int(local_hour_to_utc(timezone, day, hour).astype(np.int64))
    return datetime.fromtimestamp(minutes * 60, UTC)
