"""The night in numbers: what `make run` prints and keeps.

Reads the plan that a night's manifests were made from, and the newest commits of what came of it; writes
nothing. The manifest's hash covers content only (parts and their
bytes), so two runs that decided the same have the same hash whatever attempt folders their files lie in.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import pyarrow.compute as pc

from angelia.contracts import dataset
from angelia.contracts.outcomes import MACHINE
from angelia.delivery.manifest.batches import is_of_batch
from angelia.delivery.manifest.served import served
from angelia.lake import Commit, Lake
from angelia.users.index import index_head


def manifest_sha256(manifest: Commit | None) -> str | None:
    """Return one hash over the sorted `part sha256` lines of a manifest.

    A part is named by its layout keys, e.g. `send_hour=…/channel=…/priority=…/part=…`.
    """
    if manifest is None:
        return None
    layout = dataset("dispatch_manifest").layout
    lines = [
        f"{'/'.join(f'{key}={entry.keys[key]}' for key in layout if key in entry.keys)} {entry.sha256}"
        for entry in manifest.files
    ]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def summary(lake: Lake, ds: str) -> dict[str, Any]:
    """Return a night's counts: users, audiences, outcomes, manifest parts, rows, hash, opens."""
    index = index_head(lake)
    members = served(lake, "audience_members", ds)
    decisions = served(lake, "decisions", ds)
    manifest = lake.head("dispatch_manifest", ds=ds)
    return {
        "ds": ds,
        "users": index.rows if index else 0,
        "audiences": _audiences(lake, members),
        "decisions": _decisions(lake, decisions),
        "manifest_parts": len(manifest.files) if manifest else 0,
        "manifest_rows": manifest.rows if manifest else 0,
        "manifest_sha256": manifest_sha256(manifest),
        "delivered": _delivered(lake, ds),
        "opens": _opens(lake, ds),
    }


def _audiences(lake: Lake, members: Commit | None) -> dict[str, int]:
    if members is None:
        return {}
    sizes: Counter[str] = Counter()
    table = lake.read(members, ["audience", "cardinality"])
    for audience, size in zip(table["audience"].to_pylist(), table["cardinality"].to_pylist(), strict=True):
        sizes[audience] += size
    return dict(sorted(sizes.items()))


def _counted(values: Any) -> dict[str, int]:
    return {
        item["values"]: item["counts"]
        for item in sorted(pc.value_counts(values).to_pylist(), key=lambda item: str(item["values"]))
    }


def _decisions(lake: Lake, decisions: Commit | None) -> dict[str, int]:
    if decisions is None:
        return {}
    counts: Counter[str] = Counter()
    for entry in decisions.files:  # file by file: a night's choices need not fit in memory at once
        choices = lake.read_file(entry, ["choices"])["choices"].combine_chunks().flatten()
        counts.update(_counted(pc.struct_field(choices, "outcome")))
    return dict(sorted(counts.items()))


def _delivered(lake: Lake, ds: str) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for leaf in lake.partitions("delivery_ledger", ds=ds):
        commit = lake.head("delivery_ledger", **leaf)
        if commit is not None and not is_of_batch(leaf):
            counts.update(_counted(lake.read(commit, ["outcome"])["outcome"]))
    return dict(sorted(counts.items()))


def _opens(lake: Lake, ds: str) -> int:
    """Count messages opened within 24 hours of their send: what the report counts too."""
    opened: set[str] = set()
    for leaf in lake.partitions("push_receipts", ds=ds):
        commit = lake.head("push_receipts", **leaf)
        if commit is None:
            continue
        table = lake.read(commit, ["message_id", "kind", "receipt_ts", "sent_ts", "reason"])
        by_person = pc.fill_null(pc.not_equal(table["reason"], MACHINE), True)
        table = table.filter(pc.and_(pc.equal(table["kind"], "opened"), by_person))
        hours = pc.cast(pc.subtract(table["receipt_ts"], table["sent_ts"]), "int64")
        opened.update(table.filter(pc.less(hours, 24 * 3_600_000_000))["message_id"].to_pylist())
    return len(opened)
