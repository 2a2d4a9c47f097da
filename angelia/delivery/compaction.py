"""Outcomes of a part into `delivery_ledger` and `push_receipts`: one commit each, per part, rewritten when a follow-up or a late outcome adds to it.

Reads the ledger's outcome objects and the manifest file (which has the ids); also appends addresses the provider called gone to `suppressions`.
Grain: one dispatch. Surprise: a rerun over the same outcomes writes the same bytes and makes no new commit.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from angelia.contracts import arrow, dataset
from angelia.contracts.core import TIMESTAMP
from angelia.delivery import outcomes
from angelia.delivery.guards import address_hash, address_key
from angelia.delivery.ledger import Ledger
from angelia.delivery.parts import Part
from angelia.lake import Commit, Lake

_IDS = ("dispatch_id", "message_id", "user_id", "campaign_id", "material_id", "channel")


def merged(ledger: Ledger, family: Sequence[Part]) -> pa.Table:
    """Return the best known outcome per manifest row, over a part and its follow-ups."""
    return outcomes.merge(outcomes.read(data) for part in family for data in ledger.read_outcomes(part.id))


def counts(ledger: Ledger, family: Sequence[Part]) -> Counter[str]:
    """Return rows by outcome, over a part and its follow-ups."""
    return outcomes.count(merged(ledger, family))


def compact(lake: Lake, ledger: Ledger, family: Sequence[Part], manifest: Commit) -> None:
    """Commit a part's ledger and receipts; disable what is gone."""
    best = merged(ledger, family)
    root = family[0]
    rows = lake.read_file(root.entry, [*_IDS, "address"]).take(best["row"])
    sent, at = (best[name].cast(TIMESTAMP) for name in ("sent_us", "at_us"))
    payload = pa.array([None if value is None else value.hex() for value in best["payload_sha256"].to_pylist()], pa.string())
    ids = {name: rows[name] for name in _IDS}
    ledger_rows = pa.table(
        {
            **ids, "outcome": best["outcome"], "reason": best["reason"], "provider_id": best["provider_id"], "sent_ts": sent,
            "n_attempts": best["n_attempts"], "payload_sha256": payload,
        }
    )  # fmt: skip
    receipt_ids = [f"{dispatch}:{kind}" for dispatch, kind in zip(rows["dispatch_id"].to_pylist(), best["outcome"].to_pylist(), strict=True)]
    receipts = pa.table(
        {
            "receipt_id": receipt_ids, **ids, "kind": best["outcome"], "receipt_ts": at, "sent_ts": sent, "reason": best["reason"],
        }
    )  # fmt: skip
    inputs = [manifest]
    with lake.attempt("delivery_ledger", ds=root.ds, send_hour=root.send_hour, part=root.leaf) as attempt:
        attempt.write(ledger_rows, "part-0000.parquet")
        attempt.publish(inputs=inputs)
    with lake.attempt("push_receipts", ds=root.ds, source="worker", part=f"{root.send_hour}.{root.leaf}") as attempt:
        attempt.write(receipts, "part-0000.parquet")
        attempt.publish(inputs=inputs)
    _disable(lake, root.channel, best, rows)


def _disable(lake: Lake, channel: str, best: pa.Table, rows: pa.Table) -> None:
    """Append what the provider called gone to the suppressions: this address of this person, since that answer."""
    gone = np.array([bool(reason) and reason.startswith("gone:") for reason in best["reason"].to_pylist()], dtype=bool)
    if not gone.any():
        return
    known = set(lake.read_log("suppressions")["entry_id"].to_pylist())
    key = address_key(lake.store)
    entries = []
    picked = rows.filter(pa.array(gone))
    for dispatch, user, address, at in zip(
        *(picked[name].to_pylist() for name in ("dispatch_id", "user_id", "address")), best["at_us"].filter(pa.array(gone)).to_pylist(), strict=True
    ):
        entry = hashlib.sha256(f"gone:{dispatch}".encode()).hexdigest()[:32]
        if entry not in known:
            since = datetime.fromtimestamp(at / 1e6, UTC)
            hashed = address_hash(key, channel, address)
            entries.append({"entry_id": entry, "user_id": user, "channel": channel, "address_hash": hashed, "since_ts": since, "reason": "gone"})
    if entries:
        lake.append_log("suppressions", pa.Table.from_pylist(entries, schema=arrow.schema(dataset("suppressions"))))
