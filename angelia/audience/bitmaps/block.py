"""One block of the bitmap index, read lazily: a file is mapped for the first set asked.

A block is a whole number of shards, up to 2^23 people wide: the unit by which sets are computed. Surprise:
positions count from the block's first ordinal; a packed set is used in place in the file, and only roaring
sets are deserialised, once. Days may know people whom the index lacks; they are removed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from angelia.audience.bitmaps.arrays import Numbers
from angelia.audience.bitmaps.bitmaps import EVERYONE
from angelia.audience.bitmaps.blobs import Blobs, Key
from angelia.audience.bitmaps.daily import event_field, find_item
from angelia.audience.bitmaps.index import Index, check_version, holds_any, no_list
from angelia.audience.bitmaps.sets import (
    NOBODY,
    Set,
    bitmap_of,
    intersect,
    of_positions,
    ordinals_of,
    positions_of,
    to_bitmap,
)
from angelia.audience.bitmaps.slices import add

U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]


@dataclass
class Reads:
    """What a query read."""

    bitmaps: int = 0
    bytes: int = 0
    rows: int = 0
    fields: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, size: int) -> None:
        """Count one bitmap."""
        self.bitmaps += 1
        self.bytes += size
        self.fields[name] = self.fields.get(name, 0) + 1

    def merge(self, other: Reads) -> None:
        """Add what another reader read."""
        self.bitmaps += other.bitmaps
        self.bytes += other.bytes
        self.rows += other.rows
        for name, n in other.fields.items():
            self.fields[name] = self.fields.get(name, 0) + n


class Block:
    """One block's sets, read on demand, counted in `reads` and kept."""

    def __init__(self, index: Index, number: int, reads: Reads | None = None) -> None:
        self.index, self.number, self.width = index, number, index.width
        self.base = number << index.block_bits
        self.reads = reads if reads is not None else Reads()
        self.audiences: dict[str, Set] = {}
        self._fields: dict[tuple[str, str | None], tuple[Blobs | None, dict[Key, int], bool]] = {}
        self._sets: dict[tuple[str, str | None, Key], Set] = {}

    @property
    def shards(self) -> range:
        """The shards of the block."""
        return self.index.shards_of(self.number)

    def ordinals(self, members: Set) -> BitMap:
        """Return the ordinals of a set of the block's people."""
        return bitmap_of(positions_of(members) + np.uint32(self.base))

    def everyone(self) -> Set:
        """Return all users of the block."""
        return self.get(EVERYONE, "known")

    def known(self, field_name: str) -> Set | None:
        """Return the users whose field is not NULL; None = everyone (the field has no NULLs)."""
        return (
            self.get(field_name, "known")
            if ("known", None, None) in self._rows(field_name, None)[1]
            else None
        )

    def values(self, field_name: str) -> list[str]:
        """Return the values that a field has for anybody in the block."""
        return [
            value
            for kind, value, _ in self._rows(field_name, None)[1]
            if kind == "value" and value is not None
        ]

    def get(self, field_name: str, kind: str, value: str | None = None, bit: int | None = None) -> Set:
        """Return one set of a field; empty if there is none. Callers must not change it."""
        return self._get(field_name, None, (kind, value, bit))

    def slices(self, field_name: str) -> tuple[int, list[Set]]:
        """Return (offset, slices, lowest first) of a number; no slices if nobody has one."""
        return self._slices(field_name, None)

    def levels(self, field_name: str) -> Numbers | None:
        """Return the distinct numbers, ascending, whose ranks the slices hold.

        None where the slices hold the numbers themselves.
        """
        blobs, keys, _ = self._rows(field_name, None)
        row = keys.get(("levels", None, None))
        if row is None:
            return None
        assert blobs is not None
        return blobs.arrays(row)[0]

    def fields_on(self, day: str) -> set[str]:
        """Return the fields that anybody in the block has on a day."""
        blobs, _ = self.index.file_of_day(day, self.number)
        return {name for block, name in blobs.spans if block == self.number} if blobs is not None else set()

    def on_day(self, field_name: str, day: str) -> Set:
        """Return who did something (of a field of `daily`) on a day. Callers must not change it."""
        return self._get(field_name, day, ("value", None, None))

    def did(self, event_type: str, item: str | None, day: str) -> Set:
        """Return who did it on a day."""
        common = self.on_day(event_field(event_type, item), day)
        # Rare items have no set of their own: they stand in the type's list.
        if len(common) or item is None:
            return common
        return bitmap_of(self._rare(event_type, item, day)[0])

    def day_counts(self, event_type: str, item: str | None, day: str) -> list[Set]:
        """Return the slices of how often each person did it on a day; none if nobody did."""
        field_name = event_field(event_type, item)
        present = self.on_day(field_name, day)
        if len(present):
            _, more = self._slices(field_name, day)
            return add([present], more, self.width) if more else [present]
        if item is None:
            return []
        positions, counts = self._rare(event_type, item, day)
        return [
            of_positions(positions[counts >> bit & 1 == 1], self.width)
            for bit in range(int(counts.max(initial=0)).bit_length())
        ]

    def amounts(self, event_type: str, days: Sequence[str]) -> tuple[I64, I64]:
        """Return (positions, millionths) of all whose values of an event type do not sum to 0.

        One row a day and person.
        """
        parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
        for day in days:
            arrays, may_have_unindexed = self._arrays(event_field(event_type, None), "amounts", day)
            if arrays:
                unit, positions, amounts = arrays
                micros = amounts.astype(np.int64) * int(unit[0])
                keep = self._known(positions) if may_have_unindexed else slice(None)
                parts.append((positions[keep].astype(np.int64), micros[keep]))
        positions, micros = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return positions, micros

    def list_members(self, name: str) -> Set:
        """Return this block's people on an explicit list.

        Raises:
            NotFound: no list has this name.
        """
        commit = self.index.lake.head("user_lists", list=name)
        if commit is None:
            raise no_list(name, self.index.list_names)
        check_version(commit, f"make the list again: `angelia audience list {name} FILE`")
        shards = self.shards
        rows = self.index.lake.read(commit, where=holds_any(shards))
        data = [
            blob
            for shard, blob in zip(rows["shard"].to_pylist(), rows["bitmap"].to_pylist(), strict=True)
            if shard in shards
        ]
        for blob in data:
            self.reads.add(f"list:{name}", len(blob))
        if not data:
            return NOBODY
        listed = ordinals_of(BitMap.union(*(BitMap.deserialize(blob) for blob in data))) - np.uint32(
            self.base
        )
        # A list may be younger than the index: only people the index knows can be selected.
        return intersect([bitmap_of(listed), self.everyone()], [], self.width)

    def _rows(self, field_name: str, day: str | None) -> tuple[Blobs | None, dict[Key, int], bool]:
        """Return (a field's file, the row of each set, whether unindexed people may be in it).

        With `day`, the sets of that day.
        """
        known = self._fields.get((field_name, day))
        if known is None:
            blobs, may_have_unindexed = (
                (self.index.file(self.number), False)
                if day is None
                else self.index.file_of_day(day, self.number)
            )
            known = self._fields[field_name, day] = (
                blobs,
                blobs.keys(self.number, field_name) if blobs is not None else {},
                may_have_unindexed,
            )
        return known

    def _get(self, field_name: str, day: str | None, key: Key) -> Set:
        members = self._sets.get((field_name, day, key))
        if members is None:
            blobs, keys, may_have_unindexed = self._rows(field_name, day)
            row = keys.get(key)
            if row is None:
                return NOBODY
            assert blobs is not None
            members = blobs.get(row)
            if may_have_unindexed:
                members = intersect([members, self.everyone()], [], self.width)
            self._sets[field_name, day, key] = members
            self.reads.add(field_name, int(blobs.sizes[row]))
        return members

    def _slices(self, field_name: str, day: str | None) -> tuple[int, list[Set]]:
        blobs, keys, _ = self._rows(field_name, day)
        bits = sorted(bit for kind, _, bit in keys if kind == "slice" and bit is not None)
        if not bits or blobs is None:
            return 0, []
        offset = blobs.rows["offset"][keys["slice", None, bits[0]]].as_py()
        return int(offset), [self._get(field_name, day, ("slice", None, bit)) for bit in bits]

    def _arrays(self, field_name: str, kind: str, day: str) -> tuple[list[Numbers], bool]:
        """Return (a day's list as arrays, or none; whether unindexed people may be in it)."""
        blobs, keys, may_have_unindexed = self._rows(field_name, day)
        row = keys.get((kind, None, None))
        if row is None:
            return [], False
        assert blobs is not None
        self.reads.rows += int(blobs.cardinalities[row])
        self.reads.bytes += int(blobs.sizes[row])
        return blobs.arrays(row), may_have_unindexed

    def _rare(self, event_type: str, item: str, day: str) -> tuple[U32, Numbers]:
        """Return (positions, how often) of an item that has no set of its own on a day."""
        arrays, may_have_unindexed = self._arrays(event_field(event_type, None), "items", day)
        if not arrays:
            return np.zeros(0, np.uint32), np.zeros(0, np.int64)
        positions, counts = find_item(arrays, item)
        if may_have_unindexed:
            keep = self._known(positions)
            positions, counts = positions[keep], counts[keep]
        return positions, counts

    def _known(self, positions: U32) -> npt.NDArray[np.bool_]:
        """Return which positions are people of the index, shape (n,)."""
        return np.isin(positions, ordinals_of(to_bitmap(self.everyone())))
