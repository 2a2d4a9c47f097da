"""Entries of an append-only log that it has already, beside those that only look so.

Works on a staged output of `suppressions` (`ready_<k>` of the connection) and the log's rows. An entry that
stands in the log is left out and counted; one whose id stands there for something else is rejected, since
leaving it out would lose a refusal without a word.
"""
# ruff: noqa: S608 - statements are made of quoted identifiers of contracts and names of our own.

from __future__ import annotations

import duckdb

from angelia.importing.inputs import quote
from angelia.importing.staged import Staged
from angelia.lake import Lake

KNOWN, TAKEN = "already in the log", "entry_id: stands for another entry in the log"


def leave_out_known(connection: duckdb.DuckDBPyConnection, lake: Lake, item: Staged) -> None:
    """Filter the entries that the log has; reject those whose id means something else there."""
    contract = item.output.contract
    if contract.partition != ("log",) or item.output.empty:
        return
    connection.register("known_entries", lake.read_log(contract.name))
    (key,) = contract.key
    same = " AND ".join(
        f"known.{quote(name)} IS NOT DISTINCT FROM row.{quote(name)}" for name in contract.names
    )
    by_key = f"FROM known_entries AS known WHERE known.{quote(key)} = row.{quote(key)}"
    # Whoever was erased stands in the log under a name of its own, and must not come back by the same file.
    stands = f"EXISTS (SELECT 1 {by_key} AND (({same}) OR starts_with(known.user_id, 'erased-')))"
    for column, reason, condition, counts in (
        ("__filtered", KNOWN, stands, item.filtered),
        ("__rejected", TAKEN, f"EXISTS (SELECT 1 {by_key})", item.rejected),
    ):
        ((n,),) = connection.execute(
            f"UPDATE {item.table} AS row SET {column} = $reason "
            f"WHERE __filtered IS NULL AND __rejected IS NULL AND {condition}",
            {"reason": reason},
        ).fetchall()
        if n:
            item.n_kept -= n
            counts[reason] = n
    connection.unregister("known_entries")
