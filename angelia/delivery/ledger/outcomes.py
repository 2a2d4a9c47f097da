"""Outcomes of rows as columns: filled by a worker, stored as Arrow, merged at compaction.

Grain: row of a manifest file (`row` = its position there). No id and no address is in here; compaction joins
them from the manifest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts.outcomes import (
    ACCEPTED,
    AMBIGUOUS,
    CHANNEL_OFF,
    DEFERRED,
    QUOTA_SPENT,
    REJECTED,
    SKIPPED,
)
from angelia.delivery.manifest.objects import damaged, open_bytes, seal_bytes
from angelia.errors import Corrupt

# When a row has several: an arrival that is known beats one that may have been, and neither is ever forgotten
# for a later try that was refused or not made: that says nothing about the earlier one.
RANK = {ACCEPTED: 5, AMBIGUOUS: 4, REJECTED: 3, SKIPPED: 2, DEFERRED: 1}
SCHEMA = pa.schema(
    [
        ("row", pa.int32()),
        ("outcome", pa.string()),
        ("reason", pa.string()),
        ("provider_id", pa.string()),
        ("sent_us", pa.int64()),  # plan time of the first request; null = none
        ("at_us", pa.int64()),  # plan time of the outcome
        ("n_attempts", pa.int16()),
        ("payload_sha256", pa.binary(32)),
        # Since when the provider says the address is gone; null = it did not say, or it is not. A row that
        # stays ambiguous has no reason that says it, so it bears the answer's instant.
        ("gone_us", pa.int64()),
    ]
)
# Begins the reason of a row whose address the provider calls gone; the provider's code follows.
GONE = "gone:"
# Begins the reason of a row whose person has taken back what allows this channel to write to them.
OPTED_OUT = "opted_out:"
# Begins the reason of a row that meets a provider's count of the day; the provider's code follows.
QUOTA = "quota:"
DEVICE_DAY = "device_day"  # our own count of a device, by the channel's document
# Words for "this channel, not this message": such a row goes to the person's next channel.
MOVES_ON = (QUOTA_SPENT, CHANNEL_OFF)
# Words for "this address, not this message", beside the provider's code after `gone:`.
UNREACHABLE = ("bad_address", "address_refused", "address_gone")
# The reason of a row whose dispatch id was seen with another payload: no attempt can help it.
PAYLOAD_CHANGED = "payload_changed"
COUNTED = ("row", "outcome", "n_attempts")
_OBJECT = "an outcome object of the ledger"  # `Ledger.read_outcomes` names what has a checksum by its key
_READ = pa.ipc.IpcReadOptions(use_threads=False)


def gone_reason(code: str | None) -> str:
    """Return the reason of a row whose address is gone, as the provider's code says."""
    return f"{GONE}{code}"


def opted_out_reason(code: str | None) -> str:
    """Return the reason of a row whose person opted out, as the provider's code says."""
    return f"{OPTED_OUT}{code}"


def quota_reason(code: str | None) -> str:
    """Return the reason of a row that meets a count of the day, as the provider's code says."""
    return f"{QUOTA}{code}"


def moves_on(reasons: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return which reasons are about the channel, so that another one may take the row."""
    is_word = pc.is_in(reasons, pa.array(MOVES_ON))
    return pc.or_(is_word, pc.fill_null(pc.starts_with(reasons, QUOTA), False))


def says_gone(reasons: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return which reasons say that the address is gone; a null says nothing."""
    return pc.fill_null(pc.starts_with(reasons, GONE), False)


class Outcomes:
    """Columns for the rows of one batch; a row without an outcome is None until `settle`."""

    __slots__ = ("at", "attempts", "gone", "outcome", "payload", "provider_id", "reason", "rows", "sent")

    def __init__(self, rows: Sequence[int]) -> None:
        n = len(rows)
        self.rows = list(rows)
        self.outcome: list[str | None] = [None] * n
        self.reason: list[str | None] = [None] * n
        self.provider_id: list[str | None] = [None] * n
        self.sent: list[int | None] = [None] * n
        self.at: list[int] = [0] * n
        self.attempts: list[int] = [0] * n
        self.payload: list[bytes | None] = [None] * n
        self.gone: list[int | None] = [None] * n

    def to_bytes(self) -> bytes:
        """Return the batch's outcomes; every row must have one."""
        if None in self.outcome:
            raise AssertionError("a row has no outcome")
        columns = [
            self.rows,
            self.outcome,
            self.reason,
            self.provider_id,
            self.sent,
            self.at,
            self.attempts,
            self.payload,
            self.gone,
        ]
        table = pa.Table.from_arrays(
            [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)],
            schema=SCHEMA,
        )
        return to_object(table)


def to_object(table: pa.Table) -> bytes:
    """Return a table of outcomes as an object of the ledger."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, SCHEMA, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_table(table)
    return seal_bytes(bytes(sink.getvalue()))


def read(data: bytes, columns: Sequence[str] = SCHEMA.names) -> pa.Table:
    """Return the table of an outcome object. Raises: Corrupt."""
    body = open_bytes(data, _OBJECT)
    try:
        with pa.ipc.open_file(pa.BufferReader(body), options=_READ) as file:
            if file.schema != SCHEMA:
                raise Corrupt(f"{_OBJECT} has another schema", fix="use the version that wrote it")
            return file.read_all().select(columns)
    except (pa.ArrowInvalid, OSError):
        raise damaged(_OBJECT) from None


def merge(tables: Iterable[pa.Table]) -> pa.Table:
    """Return one row per manifest row, sorted by row.

    It has the best known outcome, the first sending instant, and the attempts summed.
    """
    given = list(tables)
    table = pa.concat_tables(given) if given else SCHEMA.empty_table()
    if not table.num_rows:
        return table
    rows = table["row"].to_numpy()
    if (rows[1:] > rows[:-1]).all():
        return table  # one outcome a row, in order: nothing to choose, nothing to copy
    codes = table["outcome"].combine_chunks().dictionary_encode()
    ranks = np.array([RANK[word] for word in codes.dictionary.to_pylist()], dtype=np.int64)[
        codes.indices.to_numpy()
    ]
    # The best, and of equals the latest written, comes last in its row.
    order = np.lexsort((np.arange(len(rows)), ranks, rows))
    sorted_rows = rows[order]
    last = np.append(sorted_rows[1:] != sorted_rows[:-1], True)
    best = table.take(pa.array(order[last]))
    if table.num_rows == best.num_rows:
        return best
    attempts = np.zeros(int(rows.max()) + 1, dtype=np.int64)
    np.add.at(attempts, rows, table["n_attempts"].to_numpy())
    total = pa.array(np.minimum(attempts[sorted_rows[last]], 32_767).astype(np.int16))
    return best.set_column(best.schema.get_field_index("n_attempts"), SCHEMA.field("n_attempts"), total)


def resolved(standing: pa.Table, late: pa.Table) -> pa.Table:
    """Return the standing outcomes without those that a late one explains.

    A worker that took a lost owner's batch over without sending knows only that the owner's try may have
    arrived. If the owner comes back and reports that this very try was refused, it did not arrive.
    """
    refused = late.filter(pc.equal(late["outcome"], REJECTED))["row"].combine_chunks()
    unknown = pc.and_(pc.equal(standing["outcome"], AMBIGUOUS), pc.equal(standing["n_attempts"], 0))
    return standing.filter(pc.invert(pc.and_(unknown, pc.is_in(standing["row"], refused))))


def gone(tables: Iterable[pa.Table]) -> pa.Table:
    """Return rows whose address was called gone at any try, and since when (`gone_us`).

    The best known outcome need not say it: a try that may have arrived outranks the one that was refused.
    """
    given = list(tables)
    table = pa.concat_tables(given) if given else SCHEMA.empty_table()
    table = table.filter(pc.or_(says_gone(table["reason"]), pc.is_valid(table["gone_us"])))
    since = pc.coalesce(table["gone_us"], table["at_us"])
    newest = pa.table({"row": table["row"], "gone_us": since}).group_by("row", use_threads=False)
    return newest.aggregate([("gone_us", "max")]).rename_columns(["row", "gone_us"]).sort_by("row")


def opted_out(tables: Iterable[pa.Table]) -> pa.Table:
    """Return rows whose person opted out at any try, and when (`since_us`).

    A row that stays ambiguous has no such reason: the next message is answered the same.
    """
    given = list(tables)
    table = pa.concat_tables(given) if given else SCHEMA.empty_table()
    table = table.filter(pc.fill_null(pc.starts_with(table["reason"], OPTED_OUT), False))
    since = table.select(["row", "at_us"]).group_by("row", use_threads=False)
    return since.aggregate([("at_us", "max")]).rename_columns(["row", "since_us"]).sort_by("row")


def count(table: pa.Table) -> Counter[str]:
    """Return rows by outcome."""
    return Counter({item["values"]: item["counts"] for item in table["outcome"].value_counts().to_pylist()})
