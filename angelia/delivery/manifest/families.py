"""A manifest part and its follow-ups: together they account for the rows of one file.

Grain: file of a manifest or of `dispatch_fallover`. A family is a list of parts, the one of the whole file
first; a row's outcome is the best that any of them knows.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from angelia.delivery.manifest import parts
from angelia.delivery.manifest.parts import Part
from angelia.lake import Commit, Lake


def families_of(every: Iterable[Part]) -> dict[str, list[Part]]:
    """Return the families of parts by their file's identity, in the order of the files."""
    grouped: dict[str, list[Part]] = {}
    for part in sorted(every, key=lambda part: part.rows is not None):
        grouped.setdefault(part.entry.identity, []).append(part)
    return grouped


def families(lake: Lake, ds: str) -> list[tuple[Commit, list[Part]]]:
    """Return the families of a plan with their manifest.

    An unsealed hour goes by the newest commit; nothing is sealed by asking.

    Raises:
        Corrupt: a seal or a follow-up is damaged: whatever is counted without it would be wrong.
    """
    every_hour: list[tuple[Commit, list[Part]]] = []
    for hour in parts.send_hours(lake, ds):
        commit = parts.standing_manifest(lake, ds, hour)
        every = parts.parts_of(lake, commit, hour)
        if problem := next((part.damaged for part in every if part.damaged), None):
            raise problem
        every_hour += [(commit, family) for family in families_of(every).values()]
    return every_hour


class Families:
    """The families of one run. Whatever a thread learns of them adds up."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Part]] = {}
        self._learning = threading.Lock()

    def learn(self, every: Iterable[Part]) -> None:
        """Add parts to their families; a part that is known already is replaced."""
        with self._learning:
            for part in every:
                self._known.setdefault(part.entry.identity, {})[part.id] = part

    def of(self, part: Part) -> list[Part]:
        """Return a part's family as it is known now."""
        with self._learning:
            known = list(self._known[part.entry.identity].values())
        (family,) = families_of(known).values()
        return family
