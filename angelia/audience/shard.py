"""One shard of the bitmap index, read lazily: a group's file is opened when the first of its fields is asked for.

Reads bitmap_index (and user_days for what has no bitmap). What would surprise: opening costs a read and a decompression of the group's
file; a bitmap is deserialised only when a plan names it, once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyroaring import BitMap

from angelia.audience.bitmaps import EVERYONE, event_field, group_of
from angelia.contracts import dataset
from angelia.errors import InvalidInput, NotFound
from angelia.lake import Commit, FileEntry, Lake

NOBODY = BitMap()
DayRows = tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Index:
    """The index of one day: its commit and what that says about itself. Cheap; bitmaps are read shard by shard."""

    lake: Lake
    ds: str
    commit: Commit
    shard_bits: int
    n_shards: int
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
        return cls(lake, ds, commit, int(meta["shard_bits"]), int(meta["n_shards"]), int(meta["history_days"]), items)

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


class Shard:
    """One shard's bitmaps, deserialised on demand and counted in `reads`."""

    def __init__(self, index: Index, number: int, reads: Reads | None = None) -> None:
        self.index, self.number = index, number
        self.reads = reads if reads is not None else Reads()
        self.audiences: dict[str, BitMap] = {}
        self._groups: dict[str, pa.Table] = {}
        self._fields: dict[str, dict[tuple[str, str | None, int | None], int]] = {}
        self._bitmaps: dict[tuple[str, str, str | None, int | None], BitMap] = {}

    def everyone(self) -> BitMap:
        """Return all users of the shard."""
        return self.get(EVERYONE, "known")

    def known(self, field_name: str) -> BitMap | None:
        """Return the users whose field is not NULL; None = everyone (the field has no NULLs)."""
        return self.get(field_name, "known") if ("known", None, None) in self._keys(field_name) else None

    def values(self, field_name: str) -> list[str]:
        """Return the values of a field that somebody in the shard has."""
        return [value for kind, value, _ in self._keys(field_name) if kind == "value" and value is not None]

    def get(self, field_name: str, kind: str, value: str | None = None, bit: int | None = None) -> BitMap:
        """Return one bitmap; empty if there is none. Callers must not change it."""
        key = (field_name, kind, value, bit)
        found = self._bitmaps.get(key)
        if found is None:
            row = self._keys(field_name).get((kind, value, bit))
            if row is None:
                return NOBODY
            data = self._groups[group_of(field_name)]["bitmap"][row].as_py()
            found = self._bitmaps[key] = BitMap.deserialize(data)
            self.reads.add(field_name, len(data))
        return found

    def slices(self, field_name: str, value: str | None = None) -> tuple[int, list[BitMap]]:
        """Return (offset, slices, lowest first) of a number; no slices if nobody has one."""
        keys = self._keys(field_name)
        bits = sorted(bit for kind, name, bit in keys if kind == "slice" and name == value and bit is not None)
        if not bits:
            return 0, []
        offset = self._groups[group_of(field_name)]["offset"][keys["slice", value, bits[0]]].as_py()
        return int(offset), [self.get(field_name, "slice", value, bit) for bit in bits]

    def day_counts(self, event_type: str, item: str | None, day: str) -> list[BitMap]:
        """Return the slices of how often each person did it on a day."""
        _, slices = self.slices(event_field(event_type, item), day)
        return slices or [present for present in (self.get(event_field(event_type, item), "value", day),) if present]

    def user_days(self, event_type: str, item: str | None, days: Sequence[str]) -> DayRows:
        """Return (ordinals, n_events, value_sum) of the matching user_days rows of these days."""
        low, high = self.number << self.index.shard_bits, (self.number + 1) << self.index.shard_bits
        empty = pa.table({"ordinal": pa.array([], pa.uint32()), "n_events": pa.array([], pa.int32()), "value_sum": pa.array([], pa.float64())})
        tables = [empty]
        for day in days:
            commit = self.index.day_commits.get(day)
            if commit is None:
                continue
            rows = self.index.lake.read(commit, ["ordinal", "event_type", "item", "n_events", "value_sum"], where=holds(self.number))
            self.reads.user_days_rows += rows.num_rows
            keep = pc.and_(pc.equal(rows["event_type"], event_type), pc.and_(pc.greater_equal(rows["ordinal"], low), pc.less(rows["ordinal"], high)))
            if item is not None:
                keep = pc.and_kleene(keep, pc.equal(rows["item"], item))
            tables.append(rows.filter(keep).select(["ordinal", "n_events", "value_sum"]))
        whole = pa.concat_tables(tables, promote_options="permissive")
        return whole["ordinal"].to_numpy(), whole["n_events"].to_numpy().astype(np.int64), whole["value_sum"].to_numpy()

    def list_members(self, name: str) -> BitMap:
        """Return this shard's people on an explicit list.

        Raises:
            NotFound: there is no such list.
        """
        commit = self.index.lake.head("user_lists", list=name)
        if commit is None:
            raise no_list(name, self.index.list_names)
        rows = self.index.lake.read(commit, where=holds(self.number))
        data = rows.filter(pc.equal(rows["shard"], self.number))["bitmap"].to_pylist()
        for blob in data:
            self.reads.add(f"list:{name}", len(blob))
        # A list may be younger than the index: only people the index knows can be selected.
        return BitMap.union(*(BitMap.deserialize(blob) for blob in data)) & self.everyone() if data else NOBODY

    def _keys(self, field_name: str) -> dict[tuple[str, str | None, int | None], int]:
        found = self._fields.get(field_name)
        if found is None:
            rows = self._group(group_of(field_name))
            here = pc.indices_nonzero(pc.equal(rows["field"], field_name))
            mine = rows.select(["kind", "value", "bit"]).take(here)
            keys = zip(mine["kind"].to_pylist(), mine["value"].to_pylist(), mine["bit"].to_pylist(), strict=True)
            found = self._fields[field_name] = dict(zip(keys, here.to_pylist(), strict=True))
        return found

    def _group(self, group: str) -> pa.Table:
        rows = self._groups.get(group)
        if rows is None:
            mine = holds(self.number)
            rows = self.index.lake.read(self.index.commit, where=lambda entry: entry.keys.get("group") == group and mine(entry))
            if rows["shard"].num_chunks and not pc.all(pc.equal(rows["shard"], self.number)).as_py():
                rows = rows.filter(pc.equal(rows["shard"], self.number))
            self._groups[group] = rows = rows.combine_chunks()
        return rows


def holds(shard: int) -> Callable[[FileEntry], bool]:
    """Return the filter that keeps the files that may hold a shard's rows."""
    return lambda entry: entry.shards is None or entry.shards[0] <= shard <= entry.shards[1]


def no_list(name: str, names: Sequence[str]) -> NotFound:
    """Return the error for a list nobody made."""
    return NotFound(f"no list {name!r}", fix=f"lists: {', '.join(names) or 'none'}; make one with `angelia audience list`")
