"""What the ledger leaves beside the lake goes once nothing can ask for it.

Reads commits of manifests and the listing of the ledger's objects; deletes those of parts whose manifest has
expired (`lake expire`), and first sights that no worker looks back to. Grain: object. Surprise: an object
goes only when nobody wrote it for longer than a message may be answered, whatever is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import groupby

from angelia.contracts.sending import ANSWERED_DAYS
from angelia.delivery.manifest.parts import FALLOVER, INTAKE
from angelia.lake import Lake
from angelia.lake.lake import MAIN
from angelia.lake.store import StoredObject

# Folders whose second level is a part, and those whose second level is a plan's day.
BY_PART = ("claims", "heartbeats", "released", "intents", "outcomes", "late", "done")
BY_DAY = ("seals", "sealing", "sealable", "batches", "followups", "lists")


def expire(lake: Lake, older_than_days: int, dry_run: bool = False) -> int:
    """Delete the objects that nothing can ask for; return how many.

    Run it after the manifests themselves have expired.

    Args:
        older_than_days: objects that were written since stay.
        dry_run: only count.

    Raises:
        Corrupt: a manifest's commit cannot be read, so its parts are unknown; nothing was deleted.
    """
    # Only main is sent; a replay's manifests would hide the ones that were.
    lake = Lake(lake.store, MAIN, lake.clock)
    before = lake.clock() - timedelta(days=max(older_than_days, ANSWERED_DAYS + 1))
    days, ids = _standing(lake)
    keys = [*_sights(lake, before)]
    for folders, kept in ((BY_PART, ids), (BY_DAY, days)):
        for folder in folders:
            keys += _old(lake.store.stored(folder), kept, before)
    if not dry_run:
        for key in keys:
            lake.store.delete(key)
    return len(keys)


def _standing(lake: Lake) -> tuple[set[str], set[str]]:
    """Return the days of manifests that stand, and the ids of their parts, follow-ups included."""
    days, ids = set[str](), set[str]()
    for name in ("dispatch_manifest", INTAKE, FALLOVER):
        for leaf in lake.partitions(name):
            days.add(leaf["ds"])
            # A superseded commit may be the one that an hour is sealed to.
            for commit in lake.history(name, **leaf):
                ids |= {entry.identity for entry in commit.files}
    for day in days:
        ids |= {
            hashlib.sha256(lake.store.read(key)).hexdigest() for key in lake.store.list(f"followups/{day}")
        }
    return days, ids


def _old(objects: Iterable[StoredObject], kept: set[str], before: datetime) -> Iterator[str]:
    """Yield the keys of a folder's groups that are not kept and that nobody wrote into since."""
    for name, group in groupby(objects, key=lambda item: item.key.split("/")[1]):
        written = list(group)
        if name not in kept and max(item.modified for item in written) < before:
            yield from (item.key for item in written)


def _sights(lake: Lake, before: datetime) -> Iterator[str]:
    """Yield each channel's old first sights but the newest, by which the next is numbered."""
    for _, group in groupby(lake.store.stored("sights"), key=lambda item: item.key.split("/")[1]):
        yield from (item.key for item in list(group)[:-1] if item.modified < before)
