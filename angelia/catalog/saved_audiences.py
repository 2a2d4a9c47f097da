"""Saved audiences: read, the night's holdout beside them, and a predicate saved.

Grain: audience. Reads the catalog's store and the day's `catalog_snapshot`; `save_audience` writes the store
by the very checks of `catalog apply`. The command line and the console save through here alike.
"""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path

import yaml

from angelia.audience.bitmaps.index import list_names
from angelia.audience.holdout import Holdout
from angelia.audience.language.predicate import check
from angelia.catalog.apply import carry_out, plan
from angelia.catalog.documents import Audience
from angelia.catalog.snapshot import load_snapshot
from angelia.catalog.store import CatalogStore
from angelia.config import load_settings
from angelia.errors import InvalidInput, NotFound
from angelia.lake import Lake


def saved_audiences(store: CatalogStore) -> dict[str, Audience]:
    """Return the catalog's audiences as they are now, by name."""
    return {
        item.document.id: item.document for item in store.current() if isinstance(item.document, Audience)
    }


def saved_predicates(store: CatalogStore, lake: Lake, ds: str) -> dict[str, str]:
    """Return the catalog's predicates as they are now, by name.

    Where the catalog is empty, the day's snapshot answers instead.
    """
    documents = saved_audiences(store)
    return (
        {name: document.predicate for name, document in documents.items()}
        if documents
        else night_predicates(lake, ds)
    )


def night_predicates(lake: Lake, ds: str) -> dict[str, str]:
    """Return the audiences of the day's catalog snapshot, as its night's jobs see them.

    Without a snapshot there are none.
    """
    try:
        return {name: document.predicate for name, document in load_snapshot(lake, ds).audiences.items()}
    except NotFound:
        return {}


def holdout_of(lake: Lake, ds: str) -> Holdout | None:
    """Return the night's global holdout; None without a snapshot."""
    try:
        holdout = load_snapshot(lake, ds).policy.holdout
    except NotFound:
        return None
    return Holdout(holdout.share_pct, holdout.salt)


def save_audience(
    store: CatalogStore,
    lake: Lake,
    name: str,
    predicate: str,
    description: str | None,
    *,
    actor: str,
    at: datetime,
) -> tuple[str, int]:
    """Save a predicate as a catalog document; return what changed, and the version.

    Raises:
        InvalidInput: the predicate cannot be read, or the catalog would not fit together.
        Conflict: somebody changed the catalog meanwhile.
    """
    there = saved_audiences(store)
    audiences = {**{other: document.predicate for other, document in there.items()}, name: predicate}
    check(
        predicate,
        audiences=audiences,
        history_days=load_settings().history_days,
        lists=lambda: list_names(lake),
    )
    before = there[name].description if name in there else ""
    # A file of its own, so that the document goes through the very checks of `catalog apply`.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.yaml" if name.isidentifier() else Path(folder) / "audience.yaml"
        document = {
            "kind": "audience",
            "id": name,
            "description": before if description is None else description,
            "predicate": predicate,
        }
        path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), "utf-8")
        try:
            planned = plan(store, [path])
        except InvalidInput as error:
            # The operator typed a predicate and knows nothing of the temporary file.
            raise InvalidInput(error.message.replace(f"{path}:", "line "), fix=error.fix) from None
        carry_out(store, planned, actor=actor, at=at)
    action = next(item.action for item in planned.items if (item.kind, item.id) == ("audience", name))
    return action, store.get("audience", name).version
