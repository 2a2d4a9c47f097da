"""Build one block's sets from its rows. Grain: field x value (or bit slice) x block. Pure: tables in, rows of sets out.

Fields: every text, flag and number column of user_features under its own name; `tag`, `reachable` (channel), `opted_out` (topic);
`event:TYPE` and `event:TYPE:ITEM` with one presence bitmap a day (and slices of the day's count, where anyone did it twice);
`received:CAMPAIGN` and `opened:CAMPAIGN` with one bitmap a day; `user`, whose known bitmap is everyone.
Rows are kept apart in groups (one file each), so that a query opens only the groups it names. Positions count from the block's first ordinal.
What would surprise: a NaN is a NULL, and a float is sliced by its bits in order-preserving form, so comparisons are exact.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from angelia.audience.blobs import Row
from angelia.audience.fields import FIELDS, Kind
from angelia.audience.sets import NOBODY, Set, of_positions
from angelia.audience.slices import real_keys, slice_numbers

EVERYONE = "user"
BLOCKS = 16
MIN_BLOCK_BITS, MAX_BLOCK_BITS = 16, 23
Positions = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int64]
Features = Callable[[Sequence[str]], pa.Table]


def block_bits_for(n_ordinals: int, shard_bits: int) -> int:
    """Return log2 of a block's width: a whole number of shards, about BLOCKS of them to an index until they are 2^23 wide.

    Each block costs a query about 0.5 ms of opening, and building wants some for every core; a packed set of 2^23 people is 1 MiB, as much as
    a core's cache likes.
    """
    return max(shard_bits, MIN_BLOCK_BITS, min(MAX_BLOCK_BITS, math.ceil(math.log2(max(1, n_ordinals / BLOCKS)))))


def group_of(field: str) -> str:
    """Return the file group a field's bitmaps stand in: the person's features, one event type's days, or pushes."""
    if field.startswith("event:"):
        return f"event-{field.split(':')[1]}"
    return "pushes" if field.startswith(("received:", "opened:")) else "features"


def event_field(event_type: str, item: str | None) -> str:
    """Return the field that counts one type of event (of one item)."""
    return f"event:{event_type}" if item is None else f"event:{event_type}:{item}"


class Rows:
    """Rows of bitmap_index of one block, collected by group."""

    def __init__(self, block: int, block_bits: int) -> None:
        self.block, self.width, self.base = block, 1 << block_bits, block << block_bits
        self.groups: dict[str, list[Row]] = defaultdict(list)

    def positions(self, ordinals: pa.ChunkedArray | pa.Array) -> Positions:
        """Return ordinals as positions in the block."""
        found: Positions = ordinals.to_numpy().astype(np.int64) - self.base
        return found

    def add(self, field: str, kind: str, found: Set, *, value: str | None = None, bit: int | None = None, offset: int | None = None) -> None:
        """Add one set."""
        self.groups[group_of(field)].append(Row(field, kind, found, value, bit, offset))

    def add_positions(self, field: str, kind: str, positions: Positions, value: str | None = None) -> None:
        """Add the set of some positions."""
        self.add(field, kind, of_positions(positions, self.width), value=value)

    def add_number(self, field: str, positions: Positions, keys: Codes) -> None:
        """Add the slices of one integer per position."""
        if len(positions):
            offset, slices = slice_numbers(positions, keys, self.width)
            # Everyone has the same number: one empty slice carries the offset.
            for bit, found in enumerate(slices or [NOBODY]):
                self.add(field, "slice", found, bit=bit, offset=offset)


def add_features(rows: Rows, read: Features) -> int:
    """Add the sets of user_features rows of a block and return the number of NaN values, which become NULLs.

    Args:
        read: returns the named columns of the block's rows, always in the same row order; columns are taken one by one, so that a
            wide block needs no more memory than its widest column.
    """
    positions = rows.positions(read(["ordinal"])["ordinal"])
    rows.add_positions(EVERYONE, "known", positions)
    n_nan = 0
    for field in FIELDS.values():
        if field.kind is Kind.DATE:  # answered by the number of days behind it
            continue
        column = read([field.column])[field.column].combine_chunks()
        known = np.asarray(pc.is_valid(column))
        if field.kind is Kind.REAL:
            not_nan = ~np.isnan(column.to_numpy(zero_copy_only=False).astype(np.float64))
            n_nan += int((known & ~not_nan).sum())
            known &= not_nan
        if field.nullable or not known.all():
            rows.add_positions(field.name, "known", positions[known])
        here, column = positions[known], column.filter(pa.array(known))
        if field.kind is Kind.REAL:
            rows.add_number(field.name, here, real_keys(column.to_numpy(zero_copy_only=False)))
        elif field.kind is Kind.INTEGER:
            rows.add_number(field.name, here, column.to_numpy(zero_copy_only=False).astype(np.int64))
        elif field.kind is Kind.FLAG:
            rows.add_positions(field.name, "value", here[column.to_numpy(zero_copy_only=False).astype(bool)], value="true")
        elif field.kind is Kind.SET:
            _add_values(rows, field.name, here[np.asarray(pc.list_parent_indices(column))], pc.list_flatten(column))
        else:
            _add_values(rows, field.name, here, column)
    suppressed = np.asarray(read(["is_suppressed"])["is_suppressed"].combine_chunks().to_numpy(zero_copy_only=False)).astype(bool)
    for name, source in (("reachable", "channels"), ("opted_out", "opted_out_topics")):
        column = read([source])[source].combine_chunks()
        owner = np.asarray(pc.list_parent_indices(column))
        values = pc.list_flatten(column)
        if name == "reachable":
            allowed = ~suppressed[owner]
            owner, values = owner[allowed], values.filter(pa.array(allowed))
        _add_values(rows, name, positions[owner], values)
    return n_nan


def add_events(rows: Rows, days: pa.Table, items: Collection[tuple[str, str]]) -> None:
    """Add daily presence and counts of every event type, and of the (type, item) pairs named.

    Args:
        days: user_days rows of the block's people with `day` (text), any order; a call a day, or one for all.
        items: pairs that get bitmaps of their own; the others are answered from user_days.
    """
    if not days.num_rows:
        return
    day_names, day = _codes(days["day"])
    types, kind = _codes(days["event_type"])
    ordinals = rows.positions(days["ordinal"])
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
    """Add who received, and who opened, which campaign on which day; user_pushes rows of the block's people with `day` (text)."""
    if not pushes.num_rows:
        return
    days, day = _codes(pushes["day"])
    campaigns, campaign = _codes(pushes["campaign_id"])
    ordinals = rows.positions(pushes["ordinal"])
    sent = np.asarray(pc.equal(pushes["kind"], "sent").combine_chunks())
    for field, mask in (("received", sent), ("opened", ~sent)):
        for code, name in enumerate(campaigns):
            mine = mask & (campaign == code)
            for when in np.unique(day[mine]):
                rows.add_positions(f"{field}:{name}", "value", ordinals[mine & (day == when)], value=days[when])


def _add_days(rows: Rows, field: str, day_names: Sequence[str], day: Codes, ordinals: Positions, counts: Codes) -> None:
    edges = np.flatnonzero(np.diff(day, prepend=-1, append=-1))
    for begin, end in itertools.pairwise(edges.tolist()):
        name, who, n = day_names[int(day[begin])], ordinals[begin:end], counts[begin:end]
        rows.add_positions(field, "value", who, value=name)
        top = int(n.max())
        if top > 1:  # else the presence bitmap is the count
            for bit in range(top.bit_length()):
                rows.add(field, "slice", of_positions(who[(n >> bit & 1).astype(bool)], rows.width), value=name, bit=bit, offset=0)


def _sum_per_day(day: Codes, ordinals: Positions, counts: Codes) -> tuple[Positions, Codes, Codes]:
    """Return (ordinals, days, counts) with one row per day and person, sorted by day, then ordinal."""
    key = day.astype(np.int64) << 32 | ordinals
    order = np.argsort(key, kind="stable")
    key = key[order]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    return key[starts] & 0xFFFFFFFF, key[starts] >> 32, np.add.reduceat(counts[order], starts)


def _add_values(rows: Rows, field: str, ordinals: Positions, values: pa.Array) -> None:
    if not len(values):
        return
    valid = np.asarray(pc.is_valid(values))
    names, codes = _codes(values.filter(pa.array(valid)))
    ordinals = ordinals[valid]
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(names) + 1))
    for code, name in enumerate(names):
        rows.add_positions(field, "value", ordinals[order[bounds[code] : bounds[code + 1]]], value=name)


def _codes(values: pa.ChunkedArray | pa.Array) -> tuple[list[str], Codes]:
    """Return the distinct texts and each row's place among them."""
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], pa.string())
    encoded = whole.dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)
