"""The bitmap index of one day: its commit, its blocks' files, and the days it cites.

Reads bitmap_index, and the commits of bitmap_days that it cites; opens no file before a block asks for it.
Surprise: a file holds several blocks, so it is opened once and kept until `release` of its last block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

from angelia.audience.bitmaps.blobs import Blobs
from angelia.contracts import dataset
from angelia.errors import InvalidInput, NotFound
from angelia.lake import Commit, FileEntry, Lake


@dataclass(frozen=True)
class Index:
    """The index of one day: its commit and that commit's meta. Cheap; blocks read the bitmaps."""

    lake: Lake
    ds: str
    commit: Commit
    shard_bits: int
    block_bits: int
    n_ordinals: int
    history_days: int

    @classmethod
    def open(cls, lake: Lake, ds: str, number: int | None = None) -> Index:
        """Return the index of a day: its newest commit, or a given one.

        Raises:
            NotFound: there is none.
            InvalidInput: it was written for another contract version.
        """
        commit = (
            lake.require("bitmap_index", ds=ds)
            if number is None
            else lake.as_of("bitmap_index", number, ds=ds)
        )
        check_version(commit, f"run build_bitmaps --ds {ds} again")
        meta = commit.meta
        return cls(
            lake,
            ds,
            commit,
            int(meta["shard_bits"]),
            int(meta["block_bits"]),
            int(meta["n_ordinals"]),
            int(meta["history_days"]),
        )

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

    def file(self, block: int) -> Blobs | None:
        """Return the file with the fields of a block's people; None if the block is empty."""
        return self._open(self.commit, block)

    def file_of_day(self, day: str, block: int) -> tuple[Blobs | None, bool]:
        """Return a block's file of a day (or None), and whether it may hold unindexed people."""
        commit = self._day_commit(day)
        if commit is None:
            return None, False
        is_dense = int(self.commit.meta["n_users"]) == self.n_ordinals
        return self._open(commit, block), not is_dense or int(commit.meta["n_ordinals"]) > self.n_ordinals

    def _open(self, commit: Commit, block: int) -> Blobs | None:
        places = self._places.get(commit.ref)
        if places is None:
            places = self._places[commit.ref] = dict(self._placed(commit))
        entry = places.get(block)
        if entry is None:
            return None
        if places.get(block + 1) is not entry and places.get(block - 1) is not entry:
            return Blobs(self.lake, entry)
        # A file of several blocks is opened once. Two threads may both open it; either copy will do.
        blobs = self._files.get(entry.path)
        if blobs is None:
            blobs = self._files[entry.path] = Blobs(self.lake, entry)
        return blobs

    def release(self, block: int) -> None:
        """Release the files that no later block stands in.

        A set that is still held keeps its file mapped.
        """
        for places in self._places.values():
            entry = places.get(block)
            if entry is not None and places.get(block + 1) is not entry:
                self._files.pop(entry.path, None)

    def _placed(self, commit: Commit) -> Iterator[tuple[int, FileEntry]]:
        """Yield (block, the file it stands in)."""
        per_block = self.block_bits - self.shard_bits
        for entry in commit.files:
            if entry.shards is not None:
                yield from (
                    (block, entry)
                    for block in range(entry.shards[0] >> per_block, (entry.shards[1] >> per_block) + 1)
                )

    @cached_property
    def _places(self) -> dict[str, dict[int, FileEntry]]:
        return {}

    @cached_property
    def _files(self) -> dict[str, Blobs]:
        return {}

    @cached_property
    def _days(self) -> dict[str, str | Commit]:
        """Day -> its commit, as cited, or as loaded once it was asked for."""
        cited = [name for name in self.commit.inputs if name.split(":")[-1].startswith("bitmap_days/")]
        return {name.partition("ds=")[2].partition("@")[0]: name for name in cited}

    def _day_commit(self, day: str) -> Commit | None:
        commit = self._days.get(day)
        if isinstance(commit, str):
            commit = self._days[day] = self.lake.cited(commit)
            check_version(commit, f"run build_bitmaps --ds {self.ds} again")
        return commit

    @property
    def day(self) -> date:
        """The closed UTC day of the index."""
        return date.fromisoformat(self.ds)

    def last_days(self, days: int) -> list[str]:
        """Return the last `days` UTC days up to and with ds, newest first.

        Raises:
            InvalidInput: more than the index's history.
        """
        if days > self.history_days:
            raise InvalidInput(
                f"the index of {self.ds} covers {self.history_days} days, not {days}",
                fix="ask for fewer days, or raise ANGELIA_HISTORY_DAYS and rebuild",
            )
        return [(self.day - timedelta(days=back)).isoformat() for back in range(days)]

    @cached_property
    def list_names(self) -> list[str]:
        """Names of the explicit user lists."""
        return list_names(self.lake)


def check_version(commit: Commit, fix: str) -> None:
    """Refuse a commit that was written for another contract version."""
    known = dataset(commit.dataset).version
    if commit.contract_version != known:
        raise InvalidInput(
            f"{commit.ref} has contract version {commit.contract_version}, this code reads {known}", fix=fix
        )


def holds_any(shards: range) -> Callable[[FileEntry], bool]:
    """Return the filter that keeps the files that may hold rows of any of these shards."""
    return lambda entry: (
        entry.shards is None or (entry.shards[0] < shards.stop and entry.shards[1] >= shards.start)
    )


def list_names(lake: Lake) -> list[str]:
    """Return the names of the explicit user lists."""
    return [leaf["list"] for leaf in lake.partitions("user_lists")]


def no_list(name: str, names: Sequence[str]) -> NotFound:
    """Return the error for a list that does not exist."""
    return NotFound(
        f"no list {name!r}", fix=f"lists: {', '.join(names) or 'none'}; make one with `angelia audience list`"
    )
