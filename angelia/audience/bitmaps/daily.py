"""Build the sets of one day: who did what, how often, and for how much.

Pure: rows of user_days and user_pushes in, rows of sets out. Grain: event type, (type, item) or campaign x
block. Fields: `event:TYPE` and `event:TYPE:ITEM` (value: who did it; slices: how often less one, where anyone
did it twice), `received:CAMPAIGN`, `opened:CAMPAIGN`. The MAX_ITEMS commonest (type, item) pairs have sets of
their own; the others stand in one list a type and block (kind `items`), and values other than 0 in another
(kind `amounts`), in millionths. Surprise: the common pairs may differ between blocks and days; a file may
hold many blocks; people who join the index later are missing here, and need not be here: they have no events.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from angelia.audience.bitmaps.arrays import Numbers, encode, narrow
from angelia.audience.bitmaps.blobs import BitmapRow
from angelia.audience.bitmaps.columns import numbers, texts
from angelia.audience.bitmaps.sets import U32, Set, of_positions

MAX_ITEMS = 200
MICROS = 1_000_000
I64 = npt.NDArray[np.int64]


def event_field(event_type: str, item: str | None) -> str:
    """Return the field that counts one type of event (of one item)."""
    return f"event:{event_type}" if item is None else f"event:{event_type}:{item}"


def event_rows(days: pa.Table, block_bits: int, max_items: int = MAX_ITEMS) -> list[BitmapRow]:
    """Return the sets of one day's user_days rows, in any order and of any blocks.

    Columns: `ordinal`, `event_type`, `item`, `n_events`, `value_sum`.
    """
    rows: list[BitmapRow] = []
    if not days.num_rows:
        return rows
    types, kind = texts(days["event_type"])
    names, item = texts(days["item"])
    ordinals, n = numbers(days["ordinal"]).astype(np.int64), numbers(days["n_events"]).astype(np.int64)
    micros = np.rint(numbers(days["value_sum"]) * MICROS).astype(np.int64)
    for group in _groups(kind, ordinals, np.column_stack((n, micros)), block_bits):
        field = event_field(types[group.code], None)
        rows += _counted(field, group, block_bits)
        # Most events have no value: only the others are worth a list of amounts.
        paid = group.values[:, 1] != 0
        if paid.any():
            rows.append(
                BitmapRow(
                    group.block, field, "amounts", _amounts(group.positions[paid], group.values[paid, 1])
                )
            )
    # Rows without an item count for their type only. Codes of pairs are narrow, because sorting them is
    # expensive.
    named = item < len(names)
    pair = kind[named] * max(len(names), 1) + item[named]
    commonest = _commonest(pair, len(types) * max(len(names), 1), max_items)
    ordinals, n = ordinals[named], n[named]
    common = commonest[pair]
    for group in _groups(pair[common], ordinals[common], n[common, None], block_bits):
        rows += _counted(
            event_field(types[group.code // len(names)], names[group.code % len(names)]), group, block_bits
        )
    # The rare pairs share one list per block and type, so a predicate on any of them costs one read.
    if not common.all():
        rare = ~common
        rest: dict[tuple[int, int], list[_Group]] = {}
        for group in _groups(pair[rare], ordinals[rare], n[rare, None], block_bits):
            rest.setdefault((group.block, group.code // len(names)), []).append(group)
        for (block, code), groups in rest.items():
            rows.append(
                BitmapRow(
                    block,
                    event_field(types[code], None),
                    "items",
                    _items([names[group.code % len(names)] for group in groups], groups),
                )
            )
    return rows


def push_rows(pushes: pa.Table, block_bits: int) -> list[BitmapRow]:
    """Return the sets of one day's user_pushes rows: who received or opened which campaign.

    Columns: `ordinal`, `campaign_id`, `kind`.
    """
    rows: list[BitmapRow] = []
    if pushes.num_rows:
        campaigns, campaign = texts(pushes["campaign_id"])
        kinds, kind = texts(pushes["kind"])
        fields = [
            f"{'received' if name == 'sent' else 'opened'}:{campaign_id}"
            for campaign_id in campaigns
            for name in kinds
        ]
        ordinals = numbers(pushes["ordinal"]).astype(np.int64)
        for group in _groups(
            campaign * len(kinds) + kind, ordinals, np.ones((len(ordinals), 1), np.int64), block_bits
        ):
            rows.append(
                BitmapRow(group.block, fields[group.code], "value", _set(group.positions, block_bits))
            )
    return rows


def find_item(arrays: Sequence[Numbers], item: str) -> tuple[U32, Numbers]:
    """Return (positions, how often) of an item in a list by `event_rows`; empty if absent."""
    text, name_ends, row_ends, positions, counts = arrays
    wanted, low, high = item.encode(), 0, len(name_ends)
    while low < high:
        middle = (low + high) // 2
        name = text[name_ends[middle - 1] if middle else 0 : name_ends[middle]].tobytes()
        if name == wanted:
            mine = slice(int(row_ends[middle - 1]) if middle else 0, int(row_ends[middle]))
            return positions[mine], counts[mine]
        low, high = (middle + 1, high) if name < wanted else (low, middle)
    return np.zeros(0, np.uint32), np.zeros(0, np.int64)


@dataclass(frozen=True)
class _Group:
    """One code's rows in one block: distinct positions, ascending, and their summed values.

    Shapes (n,), (n, number of values).
    """

    code: int
    block: int
    positions: I64
    values: I64


def _groups(codes: I64, ordinals: I64, values: I64, block_bits: int) -> Iterator[_Group]:
    """Yield the rows by code and block, with one row a person."""
    if not len(codes):
        return
    if np.any(ordinals[1:] < ordinals[:-1]):
        order = np.argsort(ordinals, kind="stable")
        codes, ordinals, values = codes[order], ordinals[order], values[order]
    # NumPy's stable sort of 16 bits or fewer is a radix sort.
    order = np.argsort(codes.astype(np.min_scalar_type(int(codes.max()))), kind="stable")
    codes, ordinals, values = codes[order], ordinals[order], values[order]
    is_first = np.ones(len(codes), dtype=bool)
    is_first[1:] = (codes[1:] != codes[:-1]) | (ordinals[1:] != ordinals[:-1])
    if not is_first.all():
        starts = np.flatnonzero(is_first)
        codes, ordinals, values = codes[starts], ordinals[starts], np.add.reduceat(values, starts, axis=0)
    blocks = ordinals >> block_bits
    positions = ordinals & ((1 << block_bits) - 1)
    edges = np.flatnonzero((codes[1:] != codes[:-1]) | (blocks[1:] != blocks[:-1])) + 1
    for begin, end in itertools.pairwise([0, *edges.tolist(), len(codes)]):
        yield _Group(int(codes[begin]), int(blocks[begin]), positions[begin:end], values[begin:end])


def _counted(field: str, group: _Group, block_bits: int) -> Iterator[BitmapRow]:
    """Yield who did it, and the slices of how often beyond once."""
    yield BitmapRow(group.block, field, "value", _set(group.positions, block_bits))
    more = group.values[:, 0] - 1
    for bit in range(int(more.max()).bit_length()):
        yield BitmapRow(
            group.block,
            field,
            "slice",
            _set(group.positions[more >> bit & 1 == 1], block_bits),
            bit=bit,
            offset=1,
        )


def _set(positions: I64, block_bits: int) -> Set:
    # Days are many and their sets are mostly united, which roaring does well, so the smaller form is better.
    return of_positions(positions, 1 << block_bits, worth=1)


def _commonest(pair: I64, n_pairs: int, limit: int) -> npt.NDArray[np.bool_]:
    """Mark the pairs with the most rows, shape (n_pairs,); of equally common ones the first."""
    counts = np.bincount(pair, minlength=n_pairs)
    chosen = np.zeros(n_pairs, dtype=bool)
    chosen[np.argsort(-counts, kind="stable")[:limit]] = True
    return chosen


def _amounts(positions: I64, micros: I64) -> tuple[int, bytes]:
    unit = int(np.gcd.reduce(micros))
    return len(positions), encode(np.array([unit]), positions.astype(np.uint32), narrow(micros // unit))


def _items(names: Sequence[str], groups: Sequence[_Group]) -> tuple[int, bytes]:
    order = sorted(range(len(names)), key=lambda i: names[i].encode())
    encoded = [names[i].encode() for i in order]
    name_ends, row_ends = (
        np.cumsum([len(name) for name in encoded]),
        np.cumsum([len(groups[i].positions) for i in order]),
    )
    positions = np.concatenate([groups[i].positions for i in order]).astype(np.uint32)
    counts = narrow(np.concatenate([groups[i].values[:, 0] for i in order]))
    text = np.frombuffer(b"".join(encoded), np.uint8)
    return len(positions), encode(
        text, name_ends.astype(np.uint32), row_ends.astype(np.uint32), positions, counts
    )
