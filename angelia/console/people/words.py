"""What may stand in a condition: fields, functions and the values that somebody has.

Grain: index commit. Reads the directories of bitmap_index and of the newest days; writes nothing. A page's
script completes from these; without a script the page lists them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from angelia.audience.bitmaps.daily import event_field
from angelia.audience.bitmaps.index import list_names
from angelia.audience.language.fields import FIELDS, FieldKind
from angelia.audience.language.functions import FUNCTIONS
from angelia.audience.query import AudienceQuery
from angelia.console.engine import Engine
from angelia.console.people.audiences import Resident

VALUES_AT_MOST = 200
DAYS = 7  # the newest days whose events and campaigns are offered
EVENT, RECEIVED = event_field("", None), "received:"
KEYWORDS = ("AND", "OR", "NOT", "IN (", "IS NULL", "IS NOT NULL", "LIKE '", "BETWEEN", "TRUE", "FALSE")
SIGNS = {
    FieldKind.TEXT: "=, <>, IN, LIKE",
    FieldKind.SET: "=, IN",
    FieldKind.FLAG: "alone, or NOT",
    FieldKind.INTEGER: "=, <, <=, >, >=, BETWEEN",
    FieldKind.REAL: "=, <, <=, >, >=, BETWEEN",
    FieldKind.DATE: "=, <, <=, >, >=, BETWEEN",
}


def words(engine: Engine, resident: Resident) -> dict[str, Any]:
    """Return fields, functions, keywords, and values by what they stand behind."""
    audience = resident.audience
    key = ("words", audience.index.commit.citation())
    entry = engine.kept(key, lambda: _of_index(audience))
    values = {
        **entry["values"],
        "in_audience": sorted(audience.audiences),
        "in_list": sorted(list_names(audience.index.lake)),
    }
    return {**entry, "values": values}


def _of_index(audience: AudienceQuery) -> dict[str, Any]:
    values = {name: _values(audience, name) for name in _listed()}
    values["reachable"], values["opted_out"] = (
        _values(audience, name) for name in ("reachable", "opted_out")
    )
    events, campaigns = _of_days(audience)
    values |= dict.fromkeys(("count_events", "sum_events", "days_since"), events)
    values |= dict.fromkeys(("received", "opened"), campaigns)
    return {
        "fields": [
            {"name": name, "kind": field.kind.value, "signs": SIGNS[field.kind], "meaning": field.meaning}
            for name, field in sorted(FIELDS.items())
        ],
        "functions": [{"name": name, "usage": one.usage} for name, one in sorted(FUNCTIONS.items())],
        "keywords": KEYWORDS,
        "values": values,
    }


def _listed() -> Iterator[str]:
    return (name for name, field in FIELDS.items() if field.kind in (FieldKind.TEXT, FieldKind.SET))


def _values(audience: AudienceQuery, name: str) -> list[str]:
    values: set[str] = set()
    for block in audience.blocks():
        values.update(block.values(name))
        if len(values) > VALUES_AT_MOST:
            break
    return sorted(values)[:VALUES_AT_MOST]


def _of_days(audience: AudienceQuery) -> tuple[list[str], list[str]]:
    """Return the event types and the campaigns of the newest days."""
    names: set[str] = set()
    days = audience.index.last_days(min(DAYS, audience.index.history_days))
    for block in audience.blocks():
        for day in days:
            names |= block.fields_on(day)
    # Items stand behind a second colon.
    events = {name.removeprefix(EVENT) for name in names if name.startswith(EVENT)}
    campaigns = {name.removeprefix(RECEIVED) for name in names if name.startswith(RECEIVED)}
    return sorted(name for name in events if ":" not in name), sorted(campaigns)
