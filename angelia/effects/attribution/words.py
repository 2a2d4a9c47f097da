"""How complete the credit of a night, and of a span of nights, is in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def completeness_line(complete: Mapping[str, Any]) -> str:
    """Return in words how complete a night's credit is."""
    if complete["is_final"]:
        return "complete"
    passed = complete["windows_passed_pct"]
    parts = [
        "no event has arrived yet"
        if complete["observed_until"] is None
        else f"{0 if passed is None else passed:g} % of its windows have passed",
        f"events may arrive until {complete['last_arrival']}",
    ]
    if complete["missing_days"]:
        parts.append(f"no events of {', '.join(complete['missing_days'])}")
    return "; ".join(parts)


def gaps_line(missing: Sequence[str], unplanned: Sequence[str]) -> str:
    """Return how many days of a span have no figures, and why; nothing where all have."""
    named = ((missing, "night", "planned without a mart"), (unplanned, "day", "without a plan"))
    return ", ".join(
        f"{len(days)} {word}{'s' if len(days) > 1 else ''} {state}" for days, word, state in named if days
    )
