"""Outcomes of a part into `delivery_ledger` and `push_receipts`: a commit each, per part.

A follow-up or a late outcome rewrites them. Reads the ledger's outcome objects and the manifest file (which
has the ids); also appends addresses the provider called gone to `suppressions`. Grain: one dispatch.
Surprise: a rerun over the same outcomes writes the same bytes and makes no new commit.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts import arrow, dataset
from angelia.contracts.core import TIMESTAMP
from angelia.contracts.outcomes import REJECTED
from angelia.delivery.ledger import outcomes
from angelia.delivery.ledger.ledger import LATE, STANDING, Ledger
from angelia.delivery.manifest.parts import Part
from angelia.delivery.manifest.rows import PartRows
from angelia.lake import Attempt, Commit, Lake
from angelia.users.suppressions import UNSUBSCRIBED, address_hash, address_key

_FILE_ROWS = 50_000
# An event that comes back is looked up in a ledger: a row group of 2,048 is read in 0.7 ms where the whole
# file takes 13, for 1.4 per cent more bytes.
LEDGER_GROUP_ROWS = 2_048
_IDS = ("dispatch_id", "message_id", "user_id", "campaign_id", "material_id", "channel")


def merged(
    ledger: Ledger, family: Sequence[Part], columns: Sequence[str] = outcomes.SCHEMA.names
) -> pa.Table:
    """Return the best known outcome per manifest row, over a part and its follow-ups."""
    return outcomes.merge(_known(ledger, family, columns))


def refused_rows(ledger: Ledger, family: Sequence[Part]) -> set[int]:
    """Return the rows of which any try was refused for good."""
    tables = _known(ledger, family, outcomes.COUNTED)
    return {
        row for some in tables for row in some.filter(pc.equal(some["outcome"], REJECTED))["row"].to_pylist()
    }


def _known(ledger: Ledger, family: Sequence[Part], columns: Sequence[str]) -> list[pa.Table]:
    """Return the outcome tables of a part and its follow-ups, late truth taken into account."""
    tables: list[pa.Table] = []
    for part in family:
        standing, late = (
            [outcomes.read(data, columns) for data in ledger.read_outcomes(part.id, [folder])]
            for folder in (STANDING, LATE)
        )
        if standing and late:  # rare: only where a worker was taken for dead
            standing = [outcomes.resolved(pa.concat_tables(standing), pa.concat_tables(late))]
        tables += [*standing, *late]
    return tables


def counts(ledger: Ledger, family: Sequence[Part]) -> Counter[str]:
    """Return rows by outcome, over a part and its follow-ups."""
    return outcomes.count(merged(ledger, family, outcomes.COUNTED))


def compact(lake: Lake, ledger: Ledger, family_of: Callable[[], Sequence[Part]], manifest: Commit) -> None:
    """Commit a part's ledger and receipts, and close the addresses that are gone.

    Another part of the same file may conclude at the same time, here or in another process, and whoever
    commits last may have read first: so it is committed again until nothing has been written since it was
    read.
    """
    while True:
        family = family_of()
        read = ledger.written(part.id for part in family)
        _commit(lake, ledger, family, manifest)
        pa.default_memory_pool().release_unused()
        if ledger.written(part.id for part in family_of()) == read:
            return


def _commit(lake: Lake, ledger: Ledger, family: Sequence[Part], manifest: Commit) -> None:
    tables, root = _known(ledger, family, outcomes.SCHEMA.names), family[0]
    best, gone, opted_out = outcomes.merge(tables), outcomes.gone(tables), outcomes.opted_out(tables)
    del tables
    with lake.attempt("delivery_ledger", ds=root.ds, send_hour=root.send_hour, part=root.leaf) as attempt:
        _write(attempt, lake, root, best, _ledger_columns, LEDGER_GROUP_ROWS)
        attempt.publish(inputs=[manifest])
    with lake.attempt(
        "push_receipts", ds=root.ds, source="worker", part=f"{root.send_hour}.{root.leaf}"
    ) as attempt:
        _write(attempt, lake, root, best, _receipt_columns)
        attempt.publish(inputs=[manifest])
    _disable(lake, root, gone)
    _opt_out(lake, root, opted_out)


def _write(
    attempt: Attempt,
    lake: Lake,
    root: Part,
    best: pa.Table,
    columns: Callable[[pa.Table, pa.Table], dict[str, pa.ChunkedArray]],
    row_group_size: int | None = None,
) -> None:
    """Write a dataset file by file, so that memory is one file's rows.

    An encoder holds all that it writes.
    """
    with PartRows(lake, root.entry, _IDS) as source:
        for number, first in enumerate(range(0, max(best.num_rows, 1), _FILE_ROWS)):
            best_of_file = best.slice(first, _FILE_ROWS)
            rows = source.read(best_of_file["row"].to_pylist())
            attempt.write(
                pa.table({name: rows[name] for name in _IDS} | columns(rows, best_of_file)),
                f"part-{number:04d}.parquet",
                row_group_size=row_group_size,
            )
            del rows, best_of_file
            pa.default_memory_pool().release_unused()


def _ledger_columns(rows: pa.Table, best: pa.Table) -> dict[str, pa.ChunkedArray]:
    columns = {name: best[name] for name in ("outcome", "reason", "provider_id", "n_attempts")} | {
        "sent_ts": best["sent_us"].cast(TIMESTAMP)
    }
    hexed = [_hex(best["payload_sha256"].slice(at, 4096)) for at in range(0, best.num_rows, 4096)]
    return columns | {"payload_sha256": pa.chunked_array(hexed, pa.string())}


def _receipt_columns(rows: pa.Table, best: pa.Table) -> dict[str, pa.ChunkedArray]:
    return {
        "receipt_id": pc.binary_join_element_wise(rows["dispatch_id"], best["outcome"], ":"),
        "kind": best["outcome"], "reason": best["reason"],
        "receipt_ts": best["at_us"].cast(TIMESTAMP), "sent_ts": best["sent_us"].cast(TIMESTAMP),
    }  # fmt: skip


def _hex(digests: pa.ChunkedArray) -> pa.Array:
    return pa.array([None if value is None else value.hex() for value in digests.to_pylist()], pa.string())


def _disable(lake: Lake, root: Part, gone: pa.Table) -> None:
    """Append the addresses that the provider called gone to the suppressions.

    An entry closes this address of this person from the instant the provider named, or else from its answer.
    """
    if not gone.num_rows:
        return
    known = set(lake.read_log("suppressions")["entry_id"].to_pylist())
    key = address_key(lake.store)
    entries = []
    with PartRows(lake, root.entry, ["dispatch_id", "user_id", "address"]) as source:
        picked = source.read(gone["row"].to_pylist())
    for dispatch, user, address, at in zip(
        *(picked[name].to_pylist() for name in ("dispatch_id", "user_id", "address")),
        gone["gone_us"].to_pylist(),
        strict=True,
    ):
        # Of the dispatch alone, so that a rerun over the same outcomes adds nothing.
        entry = hashlib.sha256(f"gone:{dispatch}".encode()).hexdigest()[:32]
        if entry not in known:
            since = datetime.fromtimestamp(at / 1e6, UTC)
            hashed = address_hash(key, root.channel, address)
            entries.append(
                {
                    "entry_id": entry,
                    "user_id": user,
                    "channel": root.channel,
                    "address_hash": hashed,
                    "since_ts": since,
                    "reason": "gone",
                }
            )
    if entries:
        lake.append_log(
            "suppressions", pa.Table.from_pylist(entries, schema=arrow.schema(dataset("suppressions")))
        )


def _opt_out(lake: Lake, root: Part, opted_out: pa.Table) -> None:
    """Append a suppression for each person who withdrew the channel's leave to write to them.

    It is this person's word about the channel, at any address, until they opt in again.
    """
    if not opted_out.num_rows:
        return
    known = set(lake.read_log("suppressions")["entry_id"].to_pylist())
    with PartRows(lake, root.entry, ["dispatch_id", "user_id"]) as source:
        picked = source.read(opted_out["row"].to_pylist())
    entries = []
    for dispatch, user, at in zip(
        picked["dispatch_id"].to_pylist(),
        picked["user_id"].to_pylist(),
        opted_out["since_us"].to_pylist(),
        strict=True,
    ):
        # Of the dispatch alone, so that a rerun over the same outcomes adds nothing.
        entry = hashlib.sha256(f"opted_out:{dispatch}".encode()).hexdigest()[:32]
        if entry not in known:
            who = {"user_id": user, "channel": root.channel, "address_hash": None}
            since = datetime.fromtimestamp(at / 1e6, UTC)
            entries.append({"entry_id": entry, **who, "since_ts": since, "reason": UNSUBSCRIBED})
    if entries:
        lake.append_log(
            "suppressions", pa.Table.from_pylist(entries, schema=arrow.schema(dataset("suppressions")))
        )
