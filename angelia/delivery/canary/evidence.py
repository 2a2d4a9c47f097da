"""What became of the messages of canaries, read from manifests, ledger and receipts.

Grain: campaign x night. Reads `dispatch_manifest`, `delivery_ledger`, `push_receipts` of one night; writes
nothing. Surprise: a leaf is read again only once it has a new commit. A message that fell over to another
channel counts once; what the intake sent for the same campaign does not count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts.ids import user_keys
from angelia.contracts.outcomes import ACCEPTED, AMBIGUOUS, DEFERRED, MACHINE, REJECTED
from angelia.contracts.sending import Micros
from angelia.delivery.canary.verdict import CanaryFacts, CanaryRule
from angelia.delivery.ledger.outcomes import GONE, OPTED_OUT, UNREACHABLE
from angelia.lake import Lake
from angelia.lake.commit import Commit
from angelia.matching import in_canary

UNSUBSCRIBED, OPENED = "unsubscribed", "opened"
_BEST = {outcome: rank for rank, outcome in enumerate((ACCEPTED, AMBIGUOUS, REJECTED, "skipped", DEFERRED))}


class _Record(NamedTuple):
    """One row of the ledger, or one receipt."""

    message: str
    word: str
    reason: str | None
    at: Micros | None


class CanaryEvidence:
    """The evidence of one night, kept between two looks."""

    def __init__(self, lake: Lake, ds: str) -> None:
        self._lake, self._ds = lake, ds
        self._planned: dict[tuple[str, str], frozenset[str]] = {}  # (manifest, campaign) -> message ids
        self._read: dict[tuple[str, str], list[_Record]] = {}  # (leaf, campaigns) at a commit

    def facts(self, rules: Mapping[str, CanaryRule]) -> dict[str, CanaryFacts]:
        """Return what became of each campaign's canary.

        Raises:
            AngeliaError: something of it cannot be read.
        """
        planned = self._plan(rules)
        every = frozenset[str]().union(*planned.values())
        if not every:
            return dict.fromkeys(rules, CanaryFacts())
        ledger, receipts = defaultdict[str, list[_Record]](list), defaultdict[str, list[_Record]](list)
        for record in self._rows("delivery_ledger", every, ("outcome", "reason", "sent_ts")):
            ledger[record.message].append(record)
        for record in self._rows("push_receipts", every, ("kind", "reason", "receipt_ts")):
            receipts[record.message].append(record)
        return {name: _facts(mine, ledger, receipts) for name, mine in planned.items()}

    def _plan(self, rules: Mapping[str, CanaryRule]) -> dict[str, frozenset[str]]:
        """Return the message ids of each canary, as the newest manifests have them."""
        manifest = self._lake.head("dispatch_manifest", ds=self._ds)
        if manifest is None:
            return dict.fromkeys(rules, frozenset())
        missing = {name: rule for name, rule in rules.items() if (manifest.ref, name) not in self._planned}
        if missing:
            self._read.clear()  # what was read was read for other messages
            ids: dict[str, set[str]] = {name: set() for name in missing}
            for entry in manifest.files:
                table = self._lake.read_file(entry, ["campaign_id", "user_id", "message_id"])
                for name, rule in missing.items():
                    mine = table.filter(pc.equal(table["campaign_id"], name))
                    first = in_canary(user_keys(mine["user_id"].to_pylist()), name, self._ds, rule.share_pct)
                    ids[name].update(mine["message_id"].filter(pa.array(first)).to_pylist())
            self._planned |= {(manifest.ref, name): frozenset(mine) for name, mine in ids.items()}
        return {name: self._planned[manifest.ref, name] for name in rules}

    def _rows(self, name: str, ids: frozenset[str], columns: tuple[str, str, str]) -> Iterator[_Record]:
        wanted = pa.array(sorted(ids), pa.string())
        for leaf in self._lake.partitions(name, ds=self._ds):
            if leaf.get("source") == "worker":
                continue  # the ledger's rows once more
            commit = self._lake.require(name, **leaf)
            key = (name, commit.ref)
            if key not in self._read:
                self._read[key] = _records(self._lake, commit, wanted, columns)
            yield from self._read[key]


def _records(lake: Lake, commit: Commit, wanted: pa.Array, columns: tuple[str, str, str]) -> list[_Record]:
    table = lake.read(commit, ["message_id", *columns])
    table = table.filter(pc.is_in(table["message_id"], wanted))
    word, reason, at = (table[column] for column in columns)
    each = (table["message_id"], word, reason, at.cast(pa.int64()))
    return [_Record(*row) for row in zip(*(column.to_pylist() for column in each), strict=True)]


def _facts(
    mine: frozenset[str], ledger: Mapping[str, list[_Record]], receipts: Mapping[str, list[_Record]]
) -> CanaryFacts:
    settled = answered = rejected = refused = opened = 0
    first: list[Micros] = []
    for message in mine:
        rows = ledger.get(message, ())
        if not rows:
            continue
        best = min(rows, key=lambda row: _BEST[row.word])
        first += [row.at for row in rows if row.at is not None]
        settled += best.word != DEFERRED
        reason = best.reason or ""
        is_bad = (
            best.word == REJECTED and not reason.startswith((GONE, OPTED_OUT)) and reason not in UNREACHABLE
        )
        answered += best.word == ACCEPTED or is_bad
        rejected += is_bad
        back = receipts.get(message, ())
        refused += reason.startswith(OPTED_OUT) or any(row.word == UNSUBSCRIBED for row in back)
        opened += any(row.word == OPENED and row.reason != MACHINE for row in back)
    return CanaryFacts(len(mine), settled, answered, rejected, refused, opened, min(first) if first else None)
