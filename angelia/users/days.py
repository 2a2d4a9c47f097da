"""One file group's raw rows become its user_days and user_pushes rows. Pure functions.

Grain: user x day x event type x item; push x (sent or opened). Arrow in, Arrow out, the same bytes whatever
the order of the rows: values are summed in millionths, as integers. Surprise: of duplicates that differ, the
earliest counts, and of equally early ones the smallest in every other column.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

MICROS = 1_000_000
HOUR_US = 3_600_000_000
I64 = npt.NDArray[np.int64]


def first_of_each(rows: pa.Table, key: Sequence[str], order: Sequence[str]) -> pa.Table:
    """Return one row per key: the smallest by `order`, then by all other columns.

    Row order is not kept. Only rows whose key occurs twice are sorted; they are 0.2 % of a source, and
    sorting is the expensive part.
    """
    codes = np.zeros(rows.num_rows, dtype=np.int64)
    for column in key:
        encoded = _encode(rows[column])
        size = len(encoded.dictionary) + 1
        codes = codes * size + _indices(encoded)
        # Renumbered after each column, so that the product of sizes stays far below 2^63.
        codes = np.unique(codes, return_inverse=True)[1].astype(np.int64)
    counts = np.bincount(codes)
    is_repeated = counts[codes] > 1 if len(codes) else np.zeros(0, dtype=bool)
    if not is_repeated.any():
        return rows
    rest = [name for name in rows.column_names if name not in order]
    repeated = rows.filter(pa.array(is_repeated)).append_column("_key", pa.array(codes[is_repeated]))
    repeated = repeated.sort_by([(name, "ascending") for name in ("_key", *order, *rest)])
    keys = repeated["_key"].to_numpy()
    kept = repeated.filter(pa.array(np.diff(keys, prepend=-1) != 0)).drop_columns(["_key"])
    return pa.concat_tables([rows.filter(pa.array(~is_repeated)), kept])


def aggregate_events(events: pa.Table) -> pa.Table:
    """Return the user_days rows of one UTC day's distinct events.

    They are sorted by ordinal, event_type and item (none last).

    Args:
        events: `ordinal`, `event_type`, `item` (nullable), `value` (nullable), `event_ts` (UTC,
            microseconds).
    """
    ordinals = events["ordinal"].to_numpy().astype(np.int64)
    types, type_codes = _ranks(events["event_type"])
    items, item_codes = _ranks(events["item"])
    width = len(items) + 1
    # One number orders by person, type and item, the rows without an item last.
    key = (ordinals * max(len(types), 1) + type_codes) * width + item_codes
    order = np.argsort(key, kind="stable")
    key = key[order]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    micros = np.rint(pc.fill_null(events["value"], 0.0).to_numpy() * MICROS).astype(np.int64)[order]
    at = events["event_ts"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()[order]
    hours = (np.int64(1) << (at // HOUR_US % 24)).astype(np.int32)
    first = key[starts]
    names = pa.array([*items, None], pa.string())
    ends = np.append(starts, len(key))
    return pa.table(
        {
            "ordinal": pa.array((first // width // max(len(types), 1)).astype(np.uint32)),
            "event_type": pa.array(types, pa.string()).take(pa.array(first // width % max(len(types), 1))),
            "item": names.take(pa.array(first % width)),
            "n_events": pa.array(np.diff(ends).astype(np.int32)),
            "value_sum": pa.array((np.add.reduceat(micros, starts) if len(starts) else micros) / MICROS),
            "hours": pa.array(np.bitwise_or.reduceat(hours, starts) if len(starts) else hours),
        }
    )


def distinct_events(events: pa.Table) -> pa.Table:
    """Return one row per (user, event_id) of one UTC day."""
    return first_of_each(events, ("ordinal", "event_id"), ("event_ts", "event_type", "item", "value"))


def distinct_pushes(pushes: pa.Table) -> pa.Table:
    """Return one row per (message, kind), the earliest.

    A later receipt that upgrades an ambiguous message does not make a second push of it.
    """
    return first_of_each(pushes, ("message_id", "kind"), ("at_ts",))


def _encode(column: pa.ChunkedArray) -> pa.DictionaryArray:
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.DictionaryArray):
        return encoded
    return encoded.chunk(0) if encoded.num_chunks else pa.array([], column.type).dictionary_encode()


def _indices(encoded: pa.DictionaryArray) -> I64:
    """Return the codes; null gets the number after the last."""
    codes: I64 = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy().astype(np.int64)
    return codes


def _ranks(column: pa.ChunkedArray) -> tuple[list[str], I64]:
    """Return the distinct texts in order, and each row's rank among them (null: the last)."""
    encoded = _encode(column)
    names = encoded.dictionary.to_pylist()
    order = sorted(range(len(names)), key=names.__getitem__)
    rank = np.empty(len(names) + 1, dtype=np.int64)
    rank[order] = np.arange(len(names))
    rank[len(names)] = len(names)
    return [names[i] for i in order], rank[_indices(encoded)]
