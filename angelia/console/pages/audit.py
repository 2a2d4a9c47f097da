"""Audit: who changed, stopped, answered and promoted what, and when.

Reads the catalog's trail, the manifests' commits and the model registry. Surprise: words to search for are
sent as a form, never in an address, since whoever searches may write a person's id.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated

from fastapi import Form, Response

from angelia.catalog.store import AuditEntry
from angelia.console.access import Role
from angelia.console.desk import Desk, DeskNow, Page
from angelia.console.words import did
from angelia.errors import InvalidInput
from models.registry import Registry

PAGE = Page("audit", "Audit", order=90)
SHOWN_AT_MOST = 200
WORDS_CHARS = 200


@dataclass(frozen=True)
class Deed:
    """One thing that somebody did."""

    at_ts: str
    actor: str
    action: str
    kind: str
    name: str
    version: int | None
    detail: str

    def holds(self, words: str) -> bool:
        """Return whether every word stands in it somewhere."""
        deed = f"{self.action} {did(self.action)}"
        text = f"{self.at_ts} {self.actor} {deed} {self.kind} {self.name} {self.detail}".lower()
        return all(word in text for word in words.lower().split())


@PAGE.get()
def newest(desk: Desk) -> Response:
    """Show the newest deeds."""
    return _show(desk, "", "", "")


@PAGE.post(role=Role.VIEWER)
def search(
    desk: Desk,
    actor: Annotated[str, Form()] = "",
    kind: Annotated[str, Form()] = "",
    words: Annotated[str, Form()] = "",
) -> Response:
    """Show the deeds of somebody, of a kind, or with some words."""
    if len(words) > WORDS_CHARS:
        raise InvalidInput(f"words to search for have at most {WORDS_CHARS} characters", fix="shorten them")
    return _show(desk, actor, kind, words)


def _show(desk: DeskNow, actor: str, kind: str, words: str) -> Response:
    deeds = _deeds(desk)
    chosen = [
        deed for deed in deeds if actor in ("", deed.actor) and kind in ("", deed.kind) and deed.holds(words)
    ]
    return desk.show(
        "audit.html",
        title="Audit",
        deeds=chosen[:SHOWN_AT_MOST],
        n_chosen=len(chosen),
        actors=sorted({deed.actor for deed in deeds}),
        kinds=sorted({deed.kind for deed in deeds}),
        actor=actor,
        kind=kind,
        words=words,
        most=SHOWN_AT_MOST,
    )


def _deeds(desk: DeskNow) -> list[Deed]:
    """Return everything that was done, newest first."""
    deeds = [_of_catalog(entry) for entry in desk.engine.store().audit()]
    lake = desk.engine.lake()
    for leaf in lake.partitions("dispatch_manifest"):
        for commit in lake.history("dispatch_manifest", **leaf):
            by = commit.meta.get("answered_by")
            if by:
                left_out = ", ".join(commit.params.get("held_back", ()))
                detail = f"verdict {commit.meta.get('verdict')}" + (
                    f", left out {left_out}" if left_out else ""
                )
                deeds.append(Deed(commit.created_ts, str(by), "answered", "night", leaf["ds"], None, detail))
    for champion in Registry.configured(desk.engine.settings).champions():
        given = (champion.at, champion.actor, "promoted", "model", champion.version)
        deeds.append(Deed(*given, champion.number, champion.reason))
    return sorted(deeds, key=lambda deed: deed.at_ts, reverse=True)


def _of_catalog(entry: AuditEntry) -> Deed:
    detail = entry.detail or ""
    if entry.version is not None:
        # The trail keeps the changed paths as a JSON list.
        detail = ", ".join(json.loads(detail)) if detail else ""
    return Deed(entry.at_ts, entry.actor, entry.action, entry.kind, entry.id, entry.version, detail)
