"""Build the bitmap index of one day. Grain: field x value (or bit slice) x block.

Reads user_features, user_days, user_pushes; writes bitmap_days (what happened, a commit a UTC day) and
bitmap_index (the fields of people; it cites the days of its window). A day is built once and cited by every
index of the nights that follow; it is built again when its rows have changed, as late ones do to the last
three days, or when blocks have grown wider. So a night reads one new day, and the index equals one built from
nothing. Surprise: `spread` decides where pieces run (Spark, processes, or a loop); pieces travel to them, and
only file entries come back.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from typing import Any

import pyarrow as pa

from angelia.audience.bitmaps.bitmaps import block_bits_for, blocks_a_file, feature_rows
from angelia.audience.bitmaps.blobs import write_rows
from angelia.audience.bitmaps.columns import numbers, of_mask
from angelia.audience.bitmaps.daily import MAX_ITEMS, event_rows, push_rows
from angelia.audience.bitmaps.index import holds_any
from angelia.contracts import dataset
from angelia.lake import Attempt, Commit, FileEntry, Lake
from angelia.lake.cache import HeldStore
from angelia.lake.citing import input_of
from angelia.users.index import require_index

# A day's file holds this many people, in blocks, because opening a file costs as much as reading a thousand
# small sets from it.
DAY_FILE_BITS = 25
CODES = (
    "event_type",
    "item",
    "campaign_id",
    "kind",
    "gender",
    "country",
    "province",
    "locale",
    "timezone",
    "device_vendor",
)


@dataclass(frozen=True)
class Piece:
    """Some blocks of one day (`ds` given) or of people's fields, and where their file goes."""

    ds: str | None
    blocks: range
    folder: str


@dataclass(frozen=True)
class BuiltPiece:
    """The result of one piece: files, and counts."""

    files: list[FileEntry]
    stats: dict[str, int]


Spread = Callable[[int, Callable[[int], BuiltPiece]], list[BuiltPiece]]


@dataclass(frozen=True)
class BuildSources:
    """The inputs of all pieces; travels to the workers."""

    lake: Lake
    features: Commit
    days: dict[str, list[Commit]]  # user_days and user_pushes of the days that are built
    shard_bits: int
    block_bits: int
    n_shards: int
    pieces: Sequence[Piece]

    def rows(self, commit: Commit, columns: Sequence[str], blocks: range) -> pa.Table:
        """Return columns of a commit's rows in some blocks, texts as dictionaries."""
        names = ["ordinal", *(column for column in columns if column != "ordinal")]
        # Features may be of an earlier release, when an old night is indexed again.
        rows = self.lake.read(
            commit,
            names,
            where=holds_any(self.shards_of(blocks)),
            codes=[name for name in names if name in CODES],
        )
        ordinals = numbers(rows["ordinal"])
        mine = (ordinals >= blocks.start << self.block_bits) & (ordinals < blocks.stop << self.block_bits)
        return rows if mine.all() else rows.filter(of_mask(mine))

    def shards_of(self, blocks: range) -> range:
        """Return the shards of some blocks."""
        per_block = self.block_bits - self.shard_bits
        return range(blocks.start << per_block, blocks.stop << per_block)

    def _features(self, blocks: range, columns: Sequence[str]) -> pa.Table:
        return self.rows(self.features, columns, blocks)

    def build(self, number: int) -> BuiltPiece:
        """Write one piece's file."""
        piece = self.pieces[number]
        if piece.ds is None:
            rows, name, stats = [], "bitmap_index", {"users": 0, "nan": 0}
            for block in piece.blocks:
                # Columns are read one at a time, for the sake of memory; their file is fetched once a block.
                held = replace(self, lake=Lake(HeldStore(self.lake.store), self.lake.branch))
                of_block, n_users, n_nan = feature_rows(
                    block, self.block_bits, partial(held._features, range(block, block + 1))
                )
                rows += of_block
                stats = {"users": stats["users"] + n_users, "nan": stats["nan"] + n_nan}
        else:
            rows, name, stats = [], "bitmap_days", {"top": 0}
            # Block by block, because a file's people may be many and their rows more.
            for block, commit in itertools.product(piece.blocks, self.days[piece.ds]):
                is_events = commit.dataset == "user_days"
                columns = (
                    ("event_type", "item", "n_events", "value_sum") if is_events else ("campaign_id", "kind")
                )
                table = self.rows(commit, columns, range(block, block + 1))
                rows += event_rows(table, self.block_bits) if is_events else push_rows(table, self.block_bits)
                stats["top"] = max(
                    stats["top"], int(numbers(table["ordinal"]).max()) + 1 if table.num_rows else 0
                )
        shards = self.shards_of(piece.blocks)
        entry = (
            write_rows(
                self.lake,
                name,
                piece.folder,
                rows,
                blocks=piece.blocks,
                shards=(shards.start, shards.stop - 1),
            )
            if rows
            else None
        )
        return BuiltPiece([entry] if entry else [], stats)


def build_index(lake: Lake, ds: str, *, history_days: int, spread: Spread) -> tuple[Commit, list[str]]:
    """Build the index of `ds`; return its commit, and the days of its window that were built.

    Args:
        spread: calls the given function for 0 … n - 1, anywhere, and returns the results in that order.

    Raises:
        NotFound: there are no user_features of that day, or they cite no user_index.
    """
    features = lake.require("user_features", ds=ds)
    index = input_of(lake, features, "user_index")
    shard_bits, n_ordinals = int(index.meta["shard_bits"]), int(index.meta["n_users"])
    block_bits = block_bits_for(n_ordinals, shard_bits)
    blocks = range(-(-n_ordinals >> block_bits))
    params = {"block_bits": block_bits, "shard_bits": shard_bits, "max_items": MAX_ITEMS}
    made, sources = days_of(lake, ds, history_days, params)
    # Days may know people who joined the index since. Their blocks are built too, or a later night would miss
    # them.
    newest = require_index(lake)
    day_blocks = range(-(-max(n_ordinals, int(newest.meta["n_users"])) >> block_bits))
    step = 1 << max(0, DAY_FILE_BITS - block_bits)
    with ExitStack() as stack:
        # One attempt for the index and one per changed day; the days are published first, because the index
        # cites them.
        attempt = stack.enter_context(lake.attempt("bitmap_index", ds=ds))
        attempts = {day: stack.enter_context(lake.attempt("bitmap_days", ds=day)) for day in sources}
        together = blocks_a_file(len(blocks))
        pieces = [
            Piece(None, blocks[first : first + together], attempt.folder)
            for first in range(0, len(blocks), together)
        ]
        pieces += [
            Piece(day, day_blocks[first : first + step], attempts[day].folder)
            for day in sources
            for first in range(0, len(day_blocks), step)
        ]
        work = BuildSources(
            lake, features, sources, shard_bits, block_bits, len(blocks) << (block_bits - shard_bits), pieces
        )
        built = spread(len(pieces), work.build)
        for day, commits in sources.items():
            mine = [piece_built for piece, piece_built in zip(pieces, built, strict=True) if piece.ds == day]
            meta = {"n_ordinals": max((piece_built.stats["top"] for piece_built in mine), default=0)}
            made[day] = _publish(attempts[day], mine, inputs=commits, params=params, meta=meta)
        mine = [piece_built for piece, piece_built in zip(pieces, built, strict=True) if piece.ds is None]
        n_nan = sum(piece_built.stats["nan"] for piece_built in mine)
        commit = _publish(
            attempt,
            mine,
            inputs=[index, features, *(made[day] for day in sorted(made))],
            params={"history_days": history_days, **params},
            meta={
                "shard_bits": shard_bits,
                "block_bits": block_bits,
                "n_ordinals": n_ordinals,
                "n_shards": -(-n_ordinals >> shard_bits),
                "n_users": sum(piece_built.stats["users"] for piece_built in mine),
                "history_days": history_days,
            },
            rejects={"nan_value": n_nan} if n_nan else {},
        )
    return commit, sorted(sources)


def days_of(
    lake: Lake, ds: str, history_days: int, params: dict[str, Any]
) -> tuple[dict[str, Commit], dict[str, list[Commit]]]:
    """Return the standing commits of the window's days, and the sources of days to build.

    Only days that have rows count.
    """
    stand: dict[str, Commit] = {}
    changed: dict[str, list[Commit]] = {}
    days = [(date.fromisoformat(ds) - timedelta(days=back)).isoformat() for back in range(history_days)]
    # In a bucket one listing a dataset stands for a look a day.
    lookers = {name: lake.listed(name, days[-1]) for name in ("user_days", "user_pushes", "bitmap_days")}
    for day in days:
        sources = [
            commit
            for name in ("user_days", "user_pushes")
            if (commit := lookers[name].head(name, ds=day)) is not None
        ]
        if not sources:
            continue
        old = lookers["bitmap_days"].head("bitmap_days", ds=day)
        is_same = (
            old is not None
            and old.contract_version == dataset("bitmap_days").version
            and set(old.inputs) == {commit.citation() for commit in sources}
            and dict(old.params) == params
        )
        if old is not None and is_same:
            stand[day] = old
        else:
            changed[day] = sources
    return stand, changed


def one_by_one(n: int, work: Callable[[int], BuiltPiece]) -> list[BuiltPiece]:
    """Do all pieces here, one after the other."""
    return [work(number) for number in range(n)]


def _publish(attempt: Attempt, built: Sequence[BuiltPiece], **facts: Any) -> Commit:
    for piece in built:
        for entry in piece.files:
            attempt.add(entry)
    return attempt.publish(**facts)
