"""`angelia ledger`: what the ledger objects of a plan say, and releasing ambiguous rows.

Reads seals, manifests, intents, outcomes; `release` writes follow-up parts. Grain: manifest row.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from angelia.contracts.outcomes import AMBIGUOUS
from angelia.delivery.clock import lease_now
from angelia.delivery.ledger import compaction
from angelia.delivery.ledger.ledger import Ledger, Owner
from angelia.delivery.manifest import parts
from angelia.delivery.manifest.families import families
from angelia.lake import Lake


def status(lake: Lake, ds: str) -> dict[str, Any]:
    """Return rows by outcome, parts, open intents of a plan."""
    ledger = Ledger(lake.store, Owner.this_process(), lease_now)
    outcomes: Counter[str] = Counter()
    result: dict[str, Any] = {
        "ds": ds,
        "parts": 0,
        "parts_done": 0,
        "rows": 0,
        "open_intents": 0,
        "rows_intended": 0,
    }
    for _, family in families(lake, ds):
        outcomes += compaction.counts(ledger, family)
        result["rows"] += family[0].n_rows
        for part in family:
            result["parts"] += 1
            result["parts_done"] += ledger.is_done(part.id)
            concluded = ledger.batches_with_outcomes(part.id)
            for k, intents in ledger.intents(part.id).items():
                if k not in concluded:
                    result["open_intents"] += 1
                    result["rows_intended"] += intents[0].rows
    result["outcomes"] = dict(sorted(outcomes.items()))
    result["rows_open"] = result["rows"] - sum(outcomes.values())
    return result


def release(lake: Lake, ds: str, send_hour: str | None, *, dry_run: bool) -> dict[str, Any]:
    """Name the ambiguous rows of finished parts in follow-up parts.

    The next delivery sends those whose window is still open.

    Raises:
        InvalidInput: the lake is on a replay branch, or the plan has nothing in this hour.
    """
    parts.require_main(lake)
    if send_hour is not None:
        parts.require_hours(parts.send_hours(lake, ds), ds, [send_hour])
    ledger = Ledger(lake.store, Owner.this_process(), lease_now)
    n_rows = n_parts = 0
    for _, family in families(lake, ds):
        root = family[0]
        if send_hour not in (None, root.send_hour) or not all(ledger.is_done(part.id) for part in family):
            continue
        best = compaction.merged(ledger, family)
        # Refused once, refused again: another request would learn nothing of the try that got no answer.
        refused = compaction.refused_rows(ledger, family)
        rows = [
            row
            for row, outcome in zip(best["row"].to_pylist(), best["outcome"].to_pylist(), strict=True)
            if outcome == AMBIGUOUS and row not in refused
        ]
        if rows:
            n_rows, n_parts = n_rows + len(rows), n_parts + 1
            if not dry_run:
                parts.follow_up(lake, root, rows, "released", f"{root.id[:32]}.released-{len(family):04d}")
    return {"ds": ds, "rows": n_rows, "parts": n_parts, "released": not dry_run}
