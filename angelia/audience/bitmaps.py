"""Build one shard's bitmaps from its rows. Grain: field x value (or bit slice) x shard. Pure: tables in, tables out.

Fields: every text, flag and number column of user_features under its own name; `tag`, `reachable` (channel), `opted_out` (topic);
`event:TYPE` and `event:TYPE:ITEM` with one presence bitmap a day (and slices of the day's count, where anyone did it twice);
`received:CAMPAIGN` and `opened:CAMPAIGN` with one bitmap a day; `user`, whose known bitmap is everyone.
Rows are kept apart in groups (one file each), so that a query opens only the groups it names.
What would surprise: a NaN is a NULL, and a float is sliced by its bits in order-preserving form, so comparisons are exact.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyroaring import BitMap

from angelia.audience.fields import FIELDS, Kind
from angelia.audience.slices import bitmap_of, real_keys, slice_numbers
from angelia.contracts import arrow, dataset

EVERYONE = "user"
Ordinals = npt.NDArray[np.uint32]
Codes = npt.NDArray[np.int64]


def group_of(field: str) -> str:
    """Return the file group a field's bitmaps stand in: the person's features, one event type's days, or pushes."""
    if field.startswith("event:"):
        return f"event-{field.split(':')[1]}"
    return "pushes" if field.startswith(("received:", "opened:")) else "features"


def event_field(event_type: str, item: str | None) -> str:
    """Return the field that counts one type of event (of one item)."""
    return f"event:{event_type}" if item is None else f"event:{event_type}:{item}"


class Rows:
    """Rows of bitmap_index of one shard, collected by group."""

    def __init__(self, shard: int) -> None:
        self.shard = shard
        self._rows: dict[str, list[tuple[str, str, str | None, int | None, int | None, int, bytes]]] = defaultdict(list)

    def add(self, field: str, kind: str, bitmap: BitMap, *, value: str | None = None, bit: int | None = None, offset: int | None = None) -> None:
        """Add one bitmap."""
        bitmap.run_optimize()
        self._rows[group_of(field)].append((field, kind, value, bit, offset, len(bitmap), bitmap.serialize()))

    def add_number(self, field: str, ordinals: Ordinals, keys: Codes, value: str | None = None) -> None:
        """Add the slices of one integer per ordinal."""
        if len(ordinals):
            offset, slices = slice_numbers(ordinals, keys)
            if not slices:  # everyone has the same number: one empty slice carries the offset
                slices = [BitMap()]
            for bit, bitmap in enumerate(slices):
                self.add(field, "slice", bitmap, value=value, bit=bit, offset=offset)

    def tables(self) -> dict[str, pa.Table]:
        """Return bitmap_index rows by group, sorted by field, kind, value, bit."""
        schema = arrow.schema(dataset("bitmap_index"))
        tables = {}
        for group, rows in sorted(self._rows.items()):
            rows.sort(key=lambda row: (row[0], row[1], row[2] or "", row[3] or 0))
            field, kind, value, bit, offset, size, data = zip(*rows, strict=True)
            columns = {"field": field, "kind": kind, "value": value, "bit": bit, "offset": offset, "cardinality": size, "bitmap": data}
            columns["shard"] = (self.shard,) * len(rows)
            tables[group] = pa.Table.from_pydict({name: columns[name] for name in schema.names}, schema=schema)
        return tables


def shard_bitmaps(
    shard: int, features: pa.Table, days: pa.Table, pushes: pa.Table, items: Collection[tuple[str, str]]
) -> tuple[dict[str, pa.Table], int]:
    """Return (bitmap_index rows by file group, number of NaN values taken as NULL) of one shard.

    Args:
        shard: its number.
        features: user_features rows of the shard: its people. Rows of others (who joined the index meanwhile) are dropped from days and pushes.
        days: user_days rows with `day` (text). pushes: user_pushes rows with `day`.
        items: (event type, item) pairs that get bitmaps of their own.
    """
    rows = Rows(shard)
    n_nan = add_features(rows, features)
    people = features["ordinal"].combine_chunks()
    add_events(rows, days.filter(pc.is_in(days["ordinal"], people)), items)
    add_pushes(rows, pushes.filter(pc.is_in(pushes["ordinal"], people)))
    return rows.tables(), n_nan


def add_features(rows: Rows, features: pa.Table) -> int:
    """Add the bitmaps of user_features rows (one shard's, any order) and return the number of NaN values, which become NULLs."""
    features = features.sort_by("ordinal").combine_chunks()
    ordinals = features["ordinal"].to_numpy().astype(np.uint32)
    rows.add(EVERYONE, "known", bitmap_of(ordinals))
    n_nan = 0
    for field in FIELDS.values():
        if field.kind is Kind.DATE:  # answered by the number of days behind it
            continue
        column = features[field.column].combine_chunks()
        known = np.asarray(pc.is_valid(column))
        if field.kind is Kind.REAL:
            not_nan = ~np.isnan(column.to_numpy(zero_copy_only=False).astype(np.float64))
            n_nan += int((known & ~not_nan).sum())
            known &= not_nan
        if field.nullable or not known.all():
            rows.add(field.name, "known", bitmap_of(ordinals[known]))
        here, column = ordinals[known], column.filter(pa.array(known))
        if field.kind is Kind.REAL:
            rows.add_number(field.name, here, real_keys(column.to_numpy(zero_copy_only=False)))
        elif field.kind is Kind.INTEGER:
            rows.add_number(field.name, here, column.to_numpy(zero_copy_only=False).astype(np.int64))
        elif field.kind is Kind.FLAG:
            rows.add(field.name, "value", bitmap_of(here[column.to_numpy(zero_copy_only=False).astype(bool)]), value="true")
        elif field.kind is Kind.SET:
            _add_values(rows, field.name, here[np.asarray(pc.list_parent_indices(column))], pc.list_flatten(column))
        else:
            _add_values(rows, field.name, here, column)
    reachable = features.filter(pc.invert(features["is_suppressed"]))
    for name, table, source in (("reachable", reachable, "channels"), ("opted_out", features, "opted_out_topics")):
        column = table[source].combine_chunks()
        column = column if isinstance(column, pa.Array) else pa.concat_arrays(column.chunks)
        owners = table["ordinal"].to_numpy().astype(np.uint32)
        _add_values(rows, name, owners[np.asarray(pc.list_parent_indices(column))], pc.list_flatten(column))
    return n_nan


def add_events(rows: Rows, days: pa.Table, items: Collection[tuple[str, str]]) -> None:
    """Add daily presence and counts of every event type, and of the (type, item) pairs named.

    Args:
        days: user_days rows of one shard with `day` (text), any order.
        items: pairs that get bitmaps of their own; the others are answered from user_days.
    """
    if not days.num_rows:
        return
    day_names, day = _codes(days["day"])
    types, kind = _codes(days["event_type"])
    ordinals = days["ordinal"].to_numpy().astype(np.uint32)
    counts = days["n_events"].to_numpy().astype(np.int64)
    for code, event_type in enumerate(types):
        here = kind == code
        who, when, n = _sum_per_day(day[here], ordinals[here], counts[here])
        _add_days(rows, event_field(event_type, None), day_names, when, who, n)
    names, item = _codes(pc.fill_null(days["item"], ""))
    wanted = {(event_type, name) for event_type, name in items if event_type in types and name in names}
    if not wanted:
        return
    pair = kind.astype(np.int64) * len(names) + item
    order = np.argsort(pair, kind="stable")
    edges = np.flatnonzero(np.diff(pair[order], prepend=-1, append=-1))
    for begin, end in itertools.pairwise(edges.tolist()):
        code = int(pair[order[begin]])
        event_type, name = types[code // len(names)], names[code % len(names)]
        if (event_type, name) in wanted:
            mine = order[begin:end]
            who, when, n = _sum_per_day(day[mine], ordinals[mine], counts[mine])
            _add_days(rows, event_field(event_type, name), day_names, when, who, n)


def add_pushes(rows: Rows, pushes: pa.Table) -> None:
    """Add who received, and who opened, which campaign on which day; user_pushes rows of one shard with `day` (text)."""
    if not pushes.num_rows:
        return
    days, day = _codes(pushes["day"])
    campaigns, campaign = _codes(pushes["campaign_id"])
    ordinals = pushes["ordinal"].to_numpy().astype(np.uint32)
    sent = np.asarray(pc.equal(pushes["kind"], "sent").combine_chunks())
    for field, mask in (("received", sent), ("opened", ~sent)):
        for code, name in enumerate(campaigns):
            mine = mask & (campaign == code)
            for when in np.unique(day[mine]):
                rows.add(f"{field}:{name}", "value", bitmap_of(ordinals[mine & (day == when)]), value=days[when])


def _add_days(rows: Rows, field: str, day_names: Sequence[str], day: Codes, ordinals: Ordinals, counts: Codes) -> None:
    edges = np.flatnonzero(np.diff(day, prepend=-1, append=-1))
    for begin, end in itertools.pairwise(edges.tolist()):
        name, who, n = day_names[int(day[begin])], ordinals[begin:end], counts[begin:end]
        rows.add(field, "value", bitmap_of(who), value=name)
        top = int(n.max())
        if top > 1:  # else the presence bitmap is the count
            for bit in range(top.bit_length()):
                rows.add(field, "slice", bitmap_of(who[(n >> bit & 1).astype(bool)]), value=name, bit=bit, offset=0)


def _sum_per_day(day: Codes, ordinals: Ordinals, counts: Codes) -> tuple[Ordinals, Codes, Codes]:
    """Return (ordinals, days, counts) with one row per day and person, sorted by day, then ordinal."""
    key = day.astype(np.int64) << 32 | ordinals
    order = np.argsort(key, kind="stable")
    key = key[order]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    return (key[starts] & 0xFFFFFFFF).astype(np.uint32), key[starts] >> 32, np.add.reduceat(counts[order], starts)


def _add_values(rows: Rows, field: str, ordinals: Ordinals, values: pa.Array) -> None:
    if not len(values):
        return
    valid = np.asarray(pc.is_valid(values))
    names, codes = _codes(values.filter(pa.array(valid)))
    ordinals = ordinals[valid]
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(names) + 1))
    for code, name in enumerate(names):
        rows.add(field, "value", bitmap_of(ordinals[order[bounds[code] : bounds[code + 1]]]), value=name)


def _codes(values: pa.ChunkedArray | pa.Array) -> tuple[list[str], Codes]:
    """Return the distinct texts and each row's place among them."""
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], pa.string())
    encoded = whole.dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)
