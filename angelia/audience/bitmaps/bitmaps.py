"""Build the sets of one block's fields. Grain: field x value (or bit slice) x block.

Pure: tables in, rows of sets out. Fields: every text, flag and number column of user_features under its own
name; `tag`, `reachable` (channel), `opted_out` (topic); `user`, whose known set is everyone. Positions count
from the block's first ordinal. Columns become sets as a whole: rows nearly always stand in ordinal order
without gaps, so a packed mask of rows is the set. Surprise: a NaN is a NULL. Fractions are sliced by their
rank among the block's distinct values (kind `levels`) where these are few (a rate, an amount of money), and
by the number's own bits in order-preserving form where they are not. Either way comparisons are exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from angelia.audience.bitmaps.arrays import encode
from angelia.audience.bitmaps.blobs import BitmapRow
from angelia.audience.bitmaps.columns import Flags, numbers, of_mask, of_reals, texts, true, valid
from angelia.audience.bitmaps.sets import NOBODY, SPARSE, Set, of_flags, of_positions
from angelia.audience.bitmaps.slices import real_keys, slice_numbers
from angelia.audience.language.fields import FIELDS, FieldKind

EVERYONE = "user"
BLOCKS = 16
MIN_BLOCK_BITS, MAX_BLOCK_BITS = 16, 23
I64 = npt.NDArray[np.int64]
Features = Callable[[Sequence[str]], pa.Table]


def block_bits_for(n_ordinals: int, shard_bits: int) -> int:
    """Return log2 of a block's width: a whole number of shards, at most 2^23 people.

    An index has about BLOCKS of them. Each block costs a query about 0.5 ms of opening, and building wants
    several for every core; a packed set of 2^23 people is 1 MiB, about the size of a core's cache.
    """
    return max(
        shard_bits, MIN_BLOCK_BITS, min(MAX_BLOCK_BITS, math.ceil(math.log2(max(1, n_ordinals / BLOCKS))))
    )


def blocks_a_file(n_blocks: int) -> int:
    """Return how many blocks a file holds: up to 4 where there are many.

    A cold query spends most of its time opening files.
    """
    return max(1, min(4, n_blocks // BLOCKS))


class BlockPeople:
    """The people of a block in row order, and the rows of the index made of their columns."""

    def __init__(self, block: int, block_bits: int, ordinals: pa.ChunkedArray | pa.Array) -> None:
        self.block, self.width = block, 1 << block_bits
        self.positions: I64 = numbers(ordinals).astype(np.int64) - (block << block_bits)
        self.rows: list[BitmapRow] = []
        # No gaps: a mask of rows is a mask of positions, but for the end of the last block.
        self.is_whole = bool(len(self.positions)) and bool(
            (self.positions == np.arange(len(self.positions))).all()
        )
        self.add(EVERYONE, "known", np.ones(len(self.positions), dtype=bool))

    def add(self, field: str, kind: str, members: Flags, value: str | None = None) -> None:
        """Add the set of the people for whom `members` is true, shape (people,)."""
        self.rows.append(BitmapRow(self.block, field, kind, self._set(members), value))

    def add_texts(self, field: str, values: pa.Array, owners: I64 | None = None) -> None:
        """Add a set for each distinct text; nulls belong to no set.

        `owners` are the rows the texts belong to, where a person may have several texts or none.
        """
        names, codes = texts(values)
        codes = codes.astype(np.min_scalar_type(len(names)))  # the null's code is their number
        counts = np.bincount(codes, minlength=len(names) + 1)
        common = counts[: len(names)] >= SPARSE * self.width
        for code in np.flatnonzero(common).tolist():
            if owners is None:
                self.add(field, "value", codes == code, names[code])
            else:
                members = np.zeros(len(self.positions), dtype=bool)
                members[owners[codes == code]] = True
                self.add(field, "value", members, names[code])
        few = np.flatnonzero(~np.append(common, True)[codes])
        few = few[np.argsort(codes[few], kind="stable")]  # a radix sort, of 65,536 texts or fewer
        ends = np.searchsorted(codes[few], np.arange(len(names)), side="right")
        whose = self.positions[few if owners is None else owners[few]]
        for code in np.flatnonzero(~common).tolist():
            mine = whose[int(ends[code]) - int(counts[code]) : int(ends[code])]
            self.rows.append(
                BitmapRow(self.block, field, "value", of_positions(mine, self.width), names[code])
            )

    def add_numbers(self, field: str, known: Flags, keys: npt.NDArray[np.integer]) -> None:
        """Add the slices of one whole number for each known person, shapes (people,), (known,)."""
        if len(keys):
            offset, slices = slice_numbers(
                self.positions if known.all() else self.positions[known], keys, self.width
            )
            # Everyone has the same number: one empty slice carries the offset.
            self.rows += [
                BitmapRow(self.block, field, "slice", members, bit=bit, offset=offset)
                for bit, members in enumerate(slices or [NOBODY])
            ]

    def add_reals(self, field: str, known: Flags, values: npt.NDArray[np.float64]) -> None:
        """Add the slices of one fraction for each known person, shapes (people,), (known,).

        None of them may be NaN.
        """
        if not len(values):
            return
        encoded = of_reals(values + 0.0).dictionary_encode()  # -0.0 and 0.0 are one number
        # A level takes 8 bytes, and saves half of the 64 slices.
        if len(encoded.dictionary) > max(64, len(values) // 2):
            self.add_numbers(field, known, real_keys(values))
            return
        levels = numbers(encoded.dictionary)
        order = np.argsort(levels)
        place = np.empty(len(levels), np.int64)
        place[order] = np.arange(len(levels))
        self.rows.append(BitmapRow(self.block, field, "levels", (len(levels), encode(levels[order]))))
        self.add_numbers(field, known, place[numbers(encoded.indices)])

    def _set(self, members: Flags) -> Set:
        n = int(np.count_nonzero(members))
        if n < SPARSE * self.width:
            return of_positions(self.positions[members], self.width)
        if self.is_whole and len(members) == max(64, self.width):
            return of_flags(members)
        whole = np.zeros(max(64, self.width), dtype=bool)
        if self.is_whole:
            whole[: len(members)] = members
        else:
            whole[self.positions[members]] = True
        return of_flags(whole)


def feature_rows(block: int, block_bits: int, read: Features) -> tuple[list[BitmapRow], int, int]:
    """Return (sets, number of people, number of NaN values) of a block's user_features rows.

    NaN values become NULLs.

    Args:
        read: returns the named columns of the block's rows, always in the same row order; columns are taken
            one at a time, so that a wide block needs no more memory than its widest column. Texts may come as
            dictionaries.
    """
    people = BlockPeople(block, block_bits, read(["ordinal"])["ordinal"])
    n_nan = 0
    for field in FIELDS.values():
        if field.kind is FieldKind.DATE:  # answered by the number of days behind it
            continue
        column = _one(read([field.column])[field.column])
        known = valid(column)
        if field.kind is FieldKind.REAL:
            values = numbers(column).astype(np.float64)
            is_nan = known & np.isnan(values)
            n_nan += int(is_nan.sum())
            known &= ~is_nan
        all_known = bool(known.all())
        # Without NULLs everyone is known, and a set of everyone would only cost bytes.
        if field.nullable or not all_known:
            people.add(field.name, "known", known)
        if field.kind is FieldKind.REAL:
            people.add_reals(field.name, known, values if all_known else values[known])
        elif field.kind is FieldKind.INTEGER:
            whole = numbers(column)
            people.add_numbers(field.name, known, whole if all_known else whole[known])
        elif field.kind is FieldKind.FLAG:
            people.add(field.name, "value", true(column), "true")
        elif field.kind is FieldKind.SET:
            people.add_texts(field.name, pc.list_flatten(column), numbers(pc.list_parent_indices(column)))
        else:
            people.add_texts(field.name, column)
    is_suppressed = true(_one(read(["is_suppressed"])["is_suppressed"]))
    for name, source in (("reachable", "channels"), ("opted_out", "opted_out_topics")):
        column = _one(read([source])[source])
        owners, values = numbers(pc.list_parent_indices(column)), pc.list_flatten(column)
        # A suppressed person is reachable on no channel, but keeps the topics refused.
        if name == "reachable":
            allowed = ~is_suppressed[owners]
            owners, values = owners[allowed], values.filter(of_mask(allowed))
        people.add_texts(name, values, owners)
    return people.rows, len(people.positions), n_nan


def _one(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array."""
    if column.num_chunks == 1:
        return column.chunk(0)
    whole = (column.unify_dictionaries() if pa.types.is_dictionary(column.type) else column).combine_chunks()
    return (
        whole
        if isinstance(whole, pa.Array)
        else pa.concat_arrays(whole.chunks)
        if whole.num_chunks
        else pa.array([], column.type)
    )
