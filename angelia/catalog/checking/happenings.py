"""Events that campaigns wait for but that never occurred: their names may be misspelt.

Grain: campaign. Reads the event types of the newest `user_days`. Surprise: an event may be new, so this warns
and refuses nothing; before the first night nothing is known, and nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow.compute as pc

from angelia.catalog.documents import AnyDocument, Campaign
from angelia.catalog.problems import DocumentProblem, Key, Notice, nearest
from angelia.lake import Lake

_DAYS, _FILES = 7, 4  # so many files of so many days are looked into: enough for a type that matters


def notices(documents: Mapping[Key, AnyDocument], lake: Lake) -> Iterator[Notice]:
    """Yield the event types that campaigns name and that nobody did lately."""
    named = [
        (key, path, event)
        for key, document in sorted(documents.items())
        if isinstance(document, Campaign)
        for path, event in _named(document)
    ]
    known = _known(lake) if named else set()
    for key, path, event in named:
        if known and event not in known:
            says = f"nobody did {event!r} lately{nearest(event, sorted(known))}"
            yield Notice(key, DocumentProblem(path, says))


def _named(campaign: Campaign) -> Iterator[tuple[tuple[str, ...], str]]:
    if campaign.trigger is not None:
        yield ("trigger", "event"), campaign.trigger.event
        if campaign.trigger.without is not None:
            yield ("trigger", "without"), campaign.trigger.without
    if campaign.cancel_on is not None:
        yield ("cancel_on",), campaign.cancel_on


def _known(lake: Lake) -> set[str]:
    types: set[str] = set()
    for leaf in lake.partitions("user_days")[-_DAYS:]:
        for entry in lake.require("user_days", **leaf).files[:_FILES]:
            types |= set(pc.unique(lake.read_file(entry, ["event_type"])["event_type"]).to_pylist())
    return types
