"""Where the audience commands meet the catalog: saved predicates, holdout, saving.

The only module of this package that knows the catalog; loaded when a command needs it, so that a plain count
opens no database.
"""

from __future__ import annotations

import getpass
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import yaml

from angelia.audience.bitmaps.index import list_names
from angelia.audience.language.predicate import check
from angelia.catalog.apply import carry_out, plan
from angelia.catalog.documents import Audience
from angelia.catalog.snapshot import load_snapshot
from angelia.catalog.store import CatalogStore
from angelia.config import load_settings
from angelia.errors import InvalidInput, NotFound
from angelia.lake import Lake


def _current() -> dict[str, Audience]:
    store = CatalogStore.open(load_settings().catalog_url())
    return {
        item.document.id: item.document for item in store.current() if isinstance(item.document, Audience)
    }


def saved_predicates(lake: Lake, ds: str) -> dict[str, str]:
    """Return the catalog's audiences as they are now.

    Where the catalog is empty, the day's snapshot answers instead.
    """
    documents = _current()
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


def holdout_of(lake: Lake, ds: str) -> tuple[float, str] | None:
    """Return (share in percent, salt) of the night's global holdout; None without a snapshot."""
    try:
        holdout = load_snapshot(lake, ds).policy.holdout
    except NotFound:
        return None
    return holdout.share_pct, holdout.salt


def save_audience(lake: Lake, name: str, predicate: str, description: str | None) -> tuple[str, int]:
    """Save a predicate as a catalog document; return what changed, and the version.

    Raises:
        InvalidInput: the predicate cannot be read, or the catalog would not fit together.
        Conflict: somebody changed the catalog meanwhile.
    """
    store = CatalogStore.open(load_settings().catalog_url())
    there = _current()
    audiences = {**{other: document.predicate for other, document in there.items()}, name: predicate}
    check(
        predicate,
        audiences=audiences,
        history_days=load_settings().history_days,
        lists=lambda: list_names(lake),
    )
    said = description if description is not None else there[name].description if name in there else ""
    # A file of its own, so that the document goes through the very checks of `catalog apply`.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.yaml" if name.isidentifier() else Path(folder) / "audience.yaml"
        document = {"kind": "audience", "id": name, "description": said, "predicate": predicate}
        path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), "utf-8")
        try:
            planned = plan(store, [path])
        except InvalidInput as error:
            # The operator typed a predicate and knows nothing of the temporary file.
            raise InvalidInput(error.message.replace(f"{path}:", "line "), fix=error.fix) from None
        try:
            actor = getpass.getuser()
        except (OSError, KeyError):
            actor = "unknown"
        carry_out(store, planned, actor=actor, at=datetime.now(UTC))
    action = next(item.action for item in planned.items if (item.kind, item.id) == ("audience", name))
    return action, store.get("audience", name).version
