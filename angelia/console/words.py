"""Numbers and instants as people read them; the filters of all templates."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from markupsafe import Markup

from angelia.output import percent

DASH = "–"
# The trail keeps some deeds as the command that was given; a list of what was done says it in the past.
_DONE = {
    "stop": "stopped",
    "resume": "resumed",
    "look up": "looked up",
    "preview": "previewed",
    "upload": "uploaded",
    "suppress": "suppressed",
    "open": "opened again",
    "erase": "erased",
}


def count(value: float | None) -> str:
    """Return a count with its thousands separated; a dash for nothing."""
    return DASH if value is None else f"{value:,.0f}"


def share(part: float | None, whole: float | None) -> str:
    """Return a share in percent; a dash where there is no whole."""
    if not whole or part is None:
        return DASH
    return percent(100.0 * part / whole)


def money(micros: int | None) -> str:
    """Return micro-units as units."""
    return DASH if micros is None else f"{micros / 1e6:,.2f}"


def instant(value: datetime | str | None) -> str:
    """Return an instant in UTC to the minute."""
    if value is None or value == "":
        return DASH
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def hour(send_hour: str) -> str:
    """Return a send hour (`2026-11-15T04`) as `15 Nov 04:00`."""
    return f"{datetime.strptime(send_hour, '%Y-%m-%dT%H'):%d %b %H:00}"


def at_hours(text: str) -> str:
    """Return a sentence with its send hours (`2026-11-15T04`) as people read them."""
    return re.sub(r"\b\d{4}-\d{2}-\d{2}T\d{2}\b(:00 UTC)?", lambda match: f"{hour(match[0][:13])} UTC", text)


def at_instants(text: str) -> str:
    """Return a sentence with its instants (ISO 8601) as people read them."""
    return re.sub(
        r"\b\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}[\d.]*(?:\+\d{2}:\d{2}|Z)", lambda at: instant(at[0]), text
    )


def duration(seconds: float | None) -> str:
    """Return a span of time in its two largest units; a dash for nothing."""
    if seconds is None:
        return DASH
    whole = timedelta(seconds=round(seconds))
    days, rest = whole.days, whole.seconds
    parts = [(days, "d"), (rest // 3600, "h"), (rest % 3600 // 60, "min"), (rest % 60, "s")]
    first = next((k for k, (n, _) in enumerate(parts) if n), len(parts) - 1)
    return " ".join(
        f"{n} {unit}" for n, unit in parts[first : first + 2] if n or (unit == "s" and first == 3)
    )


def plural(n: int, word: str) -> str:
    """Return a count and its noun."""
    return f"{count(n)} {word}" if n == 1 else f"{count(n)} {word}s"


def did(action: str) -> str:
    """Return what somebody did, in the past tense."""
    return _DONE.get(action, action)


def sentence(text: str) -> str:
    """Return an error's text as a sentence; a name that it begins with keeps its letters."""
    begins = re.match(r"[a-z]+(?=[ ,:;]|$)", text)
    whole = text[:1].upper() + text[1:] if begins else text
    return whole if not whole or whole[-1] in ".?!…:" else f"{whole}."


def advice(fix: str) -> str:
    """Return what to do about an error as a sentence; a name that was meant is asked for."""
    if fix.startswith("did you mean "):
        return sentence(fix)
    return f"What to do: {'choose ' if fix.startswith('one of ') else ''}{fix.rstrip('.')}."


def code(text: str) -> Markup:
    """Return a text as HTML in which what stands between backticks, such as a command, is code."""
    pieces = enumerate(re.split(r"`([^`]+)`", text))
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if at % 2 else piece for at, piece in pieces
    )


FILTERS: Mapping[str, Callable[..., Any]] = {
    "count": count,
    "share": share,
    "money": money,
    "instant": instant,
    "hour": hour,
    "at_hours": at_hours,
    "at_instants": at_instants,
    "duration": duration,
    "plural": plural,
    "did": did,
    "sentence": sentence,
    "advice": advice,
    "code": code,
}
