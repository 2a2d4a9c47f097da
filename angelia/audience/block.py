"""One block of the bitmap index, read lazily: a group's file is mapped when the first of its fields is asked for.

Reads bitmap_index (and user_days for what has no bitmap). A block is a whole number of shards, and up to 2^23 people wide:
the unit that files are written and sets are computed by. What would surprise: positions count from the block's first ordinal; a packed set is
used where it stands in the file, and only roaring sets are deserialised, once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyroaring import BitMap

from angelia.audience.bitmaps import EVERYONE, event_field, group_of
from angelia.audience.blobs import Blobs, numbers
from angelia.audience.sets import NOBODY, Set, bitmap_of, intersect, ordinals_of
from angelia.contracts import dataset
from angelia.errors import InvalidInput, NotFound
from angelia.lake import Commit, FileEntry, Lake

DayRows = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Index:
    """The index of one day: its commit and what that says about itself. Cheap; bitmaps are read shard by shard."""

    lake: Lake
    ds: str
    commit: Commit
    shard_bits: int
    block_bits: int
    n_ordinals: int
    history_days: int
    event_items: frozenset[tuple[str, str]]

    @classmethod
    def open(cls, lake: Lake, ds: str, number: int | None = None) -> Index:
        """Return the index of a day: its newest commit, or a given one.

        Raises:
            NotFound: there is none.
            InvalidInput: it was written for another contract version.
        """
        commit = lake.require("bitmap_index", ds=ds) if number is None else lake.as_of("bitmap_index", number, ds=ds)
        if commit.contract_version != dataset("bitmap_index").version:
            raise InvalidInput(
                f"{commit.ref} has contract version {commit.contract_version}, this code reads {dataset('bitmap_index').version}",
                fix=f"run build_bitmaps --ds {ds} again",
            )
        meta = commit.meta
        items = frozenset((pair[0], pair[1]) for pair in meta["event_items"])
        return cls(lake, ds, commit, int(meta["shard_bits"]), int(meta["block_bits"]), int(meta["n_ordinals"]), int(meta["history_days"]), items)

    @property
    def width(self) -> int:
        """Ordinals in a block."""
        return 1 << self.block_bits

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return -(-self.n_ordinals // self.width)

    @property
    def n_shards(self) -> int:
        """Number of shards."""
        return -(-self.n_ordinals // (1 << self.shard_bits))

    def shards_of(self, block: int) -> range:
        """Return the shards of a block."""
        per_block = self.block_bits - self.shard_bits
        return range(block << per_block, min((block + 1) << per_block, self.n_shards))

    @cached_property
    def entries(self) -> Mapping[tuple[str, int], FileEntry]:
        """The index's files, by group of fields and block."""
        return {(entry.keys["group"], int(entry.keys["block"])): entry for entry in self.commit.files}

    @property
    def day(self) -> date:
        """The closed UTC day the index is of."""
        return date.fromisoformat(self.ds)

    def last_days(self, days: int) -> list[str]:
        """Return the last `days` UTC days up to and with ds, newest first.

        Raises:
            InvalidInput: more than the index's history.
        """
        if days > self.history_days:
            raise InvalidInput(
                f"the index of {self.ds} knows {self.history_days} days, not {days}",
                fix="ask for fewer days, or raise ANGELIA_HISTORY_DAYS and rebuild",
            )
        return [(self.day - timedelta(days=back)).isoformat() for back in range(days)]

    def has_bitmaps(self, event_type: str, item: str | None) -> bool:
        """Tell whether events of this type (and item) have bitmaps; else they are counted from user_days."""
        return item is None or (event_type, item) in self.event_items

    @cached_property
    def day_commits(self) -> Mapping[str, Commit]:
        """The user_days commits the index was made from, by day: an audience is answered from the same rows as its bitmaps."""
        cited = [self.lake.cited(name) for name in self.commit.inputs if name.split(":")[-1].startswith("user_days/")]
        return {commit.partition["ds"]: commit for commit in cited}

    @cached_property
    def list_names(self) -> list[str]:
        """The explicit user lists there are."""
        return [leaf["list"] for leaf in self.lake.partitions("user_lists")]


@dataclass
class Reads:
    """What a query read."""

    bitmaps: int = 0
    bytes: int = 0
    user_days_rows: int = 0
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
        self.user_days_rows += other.user_days_rows
        for name, n in other.fields.items():
            self.fields[name] = self.fields.get(name, 0) + n


class Block:
    """One block's sets, read on demand and counted in `reads`; what was read once stays."""

    def __init__(self, index: Index, number: int, reads: Reads | None = None) -> None:
        self.index, self.number, self.width = index, number, index.width
        self.base = number << index.block_bits
        self.reads = reads if reads is not None else Reads()
        self.audiences: dict[str, Set] = {}
        self._groups: dict[str, Blobs | None] = {}
        self._fields: dict[str, dict[tuple[str, str | None, int | None], int]] = {}
        self._sets: dict[tuple[str, str, str | None, int | None], Set] = {}

    def everyone(self) -> Set:
        """Return all users of the block."""
        return self.get(EVERYONE, "known")

    def known(self, field_name: str) -> Set | None:
        """Return the users whose field is not NULL; None = everyone (the field has no NULLs)."""
        return self.get(field_name, "known") if ("known", None, None) in self._keys(field_name) else None

    def values(self, field_name: str) -> list[str]:
        """Return the values of a field that somebody in the block has."""
        return [value for kind, value, _ in self._keys(field_name) if kind == "value" and value is not None]

    def get(self, field_name: str, kind: str, value: str | None = None, bit: int | None = None) -> Set:
        """Return one set; empty if there is none. Callers must not change it."""
        key = (field_name, kind, value, bit)
        found = self._sets.get(key)
        if found is None:
            row = self._keys(field_name).get((kind, value, bit))
            if row is None:
                return NOBODY
            blobs = self._blobs(field_name)
            assert blobs is not None
            found = self._sets[key] = blobs.get(row)
            self.reads.add(field_name, int(blobs.sizes[row]))
        return found

    def slices(self, field_name: str, value: str | None = None) -> tuple[int, list[Set]]:
        """Return (offset, slices, lowest first) of a number; no slices if nobody has one."""
        keys = self._keys(field_name)
        bits = sorted(bit for kind, name, bit in keys if kind == "slice" and name == value and bit is not None)
        blobs = self._blobs(field_name)
        if not bits or blobs is None:
            return 0, []
        offset = blobs.rows["offset"][keys["slice", value, bits[0]]].as_py()
        return int(offset), [self.get(field_name, "slice", value, bit) for bit in bits]

    def day_counts(self, event_type: str, item: str | None, day: str) -> list[Set]:
        """Return the slices of how often each person did it on a day."""
        _, slices = self.slices(event_field(event_type, item), day)
        return slices or [present for present in (self.get(event_field(event_type, item), "value", day),) if len(present)]

    def user_days(self, event_type: str, item: str | None, days: Sequence[str]) -> DayRows:
        """Return (positions, n_events, value_sum) of the matching user_days rows of these days."""
        parts: list[DayRows] = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float64))]
        shards = self.index.shards_of(self.number)
        for day in days:
            commit = self.index.day_commits.get(day)
            if commit is None:
                continue
            columns = ["ordinal", "event_type", "n_events", "value_sum", *(["item"] if item is not None else [])]
            rows = self.index.lake.read(commit, columns, where=holds_any(shards))
            self.reads.user_days_rows += rows.num_rows
            positions = numbers(rows["ordinal"]).astype(np.int64) - self.base
            keep = (positions >= 0) & (positions < self.width) & _is(rows["event_type"], event_type)
            if item is not None:
                keep &= _is(rows["item"], item)
            parts.append((positions[keep], numbers(rows["n_events"])[keep].astype(np.int64), numbers(rows["value_sum"])[keep]))
        positions, counts, values = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return positions, counts, values

    def list_members(self, name: str) -> Set:
        """Return this block's people on an explicit list.

        Raises:
            NotFound: there is no such list.
        """
        commit = self.index.lake.head("user_lists", list=name)
        if commit is None:
            raise no_list(name, self.index.list_names)
        shards = self.index.shards_of(self.number)
        rows = self.index.lake.read(commit, where=holds_any(shards))
        data = [blob for shard, blob in zip(rows["shard"].to_pylist(), rows["bitmap"].to_pylist(), strict=True) if shard in shards]
        for blob in data:
            self.reads.add(f"list:{name}", len(blob))
        if not data:
            return NOBODY
        listed = ordinals_of(BitMap.union(*(BitMap.deserialize(blob) for blob in data))) - np.uint32(self.base)
        # A list may be younger than the index: only people the index knows can be selected.
        return intersect([bitmap_of(listed), self.everyone()], [], self.width)

    def _keys(self, field_name: str) -> dict[tuple[str, str | None, int | None], int]:
        found = self._fields.get(field_name)
        if found is None:
            blobs = self._blobs(field_name)
            first, last = blobs.spans.get(field_name, (0, 0)) if blobs is not None else (0, 0)
            if blobs is None or first == last:
                found = self._fields[field_name] = {}
            else:
                mine = blobs.rows.slice(first, last - first)
                keys = zip(mine["kind"].to_pylist(), mine["value"].to_pylist(), mine["bit"].to_pylist(), strict=True)
                found = self._fields[field_name] = {key: first + i for i, key in enumerate(keys)}
        return found

    def _blobs(self, field_name: str) -> Blobs | None:
        """Return the file that holds a field; None if this block has no such group."""
        group = group_of(field_name)
        if group not in self._groups:
            entry = self.index.entries.get((group, self.number))
            self._groups[group] = Blobs(self.index.lake, entry) if entry else None
        return self._groups[group]


def holds(shard: int) -> Callable[[FileEntry], bool]:
    """Return the filter that keeps the files that may hold a shard's rows."""
    return lambda entry: entry.shards is None or entry.shards[0] <= shard <= entry.shards[1]


def holds_any(shards: range) -> Callable[[FileEntry], bool]:
    """Return the filter that keeps the files that may hold rows of any of these shards."""
    return lambda entry: entry.shards is None or (entry.shards[0] < shards.stop and entry.shards[1] >= shards.start)


def _is(column: pa.ChunkedArray, text: str) -> npt.NDArray[np.bool_]:
    """Return where a text column holds a text (null is not it), shape (n,)."""
    # Nulls become a word of their own, so the codes have none; comparing with pyarrow.compute would import pandas, 0.8 s.
    parts = [np.zeros(0, bool)]
    for chunk in column.dictionary_encode(null_encoding="encode").chunks:
        names = chunk.dictionary.to_pylist()
        parts.append(numbers(chunk.indices) == names.index(text) if text in names else np.zeros(len(chunk), bool))
    return np.concatenate(parts)


def no_list(name: str, names: Sequence[str]) -> NotFound:
    """Return the error for a list nobody made."""
    return NotFound(f"no list {name!r}", fix=f"lists: {', '.join(names) or 'none'}; make one with `angelia audience list`")
