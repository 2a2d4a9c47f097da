"""The global holdout as sets of a block's people: written by the night, else hashed here.

Grain: block. Reads `holdout_members`, else the ids of `user_index`. Whether somebody is held out depends on
their id, the salt and the share alone, so the bitmaps of one user index hold until either changes. Surprise:
without a bitmap only the people asked about are hashed, at about a second a million; `keep` hashes a whole
block once and remembers it, for a process that is asked again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyroaring import BitMap

from angelia.audience.bitmaps.block import Block
from angelia.audience.bitmaps.index import Index, holds_any
from angelia.audience.bitmaps.sets import NOBODY, Set, intersect, of_positions, ordinals_of
from angelia.audience.lists import user_ids
from angelia.contracts import arrow, dataset
from angelia.contracts.ids import uniform, user_keys
from angelia.lake import Commit


@dataclass(frozen=True)
class Holdout:
    """The share of all people who get no marketing, and the salt that draws them."""

    share_pct: float
    salt: str

    def holds(self, ids: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return whether each person is held out, shape (n,)."""
        return np.asarray(uniform(user_keys(ids), "bucket", self.salt) * 100.0 < self.share_pct)

    def as_params(self) -> dict[str, float | str]:
        """Return what a commit of its members is written under."""
        return {"share_pct": self.share_pct, "salt": self.salt}


def user_index_of(index: Index) -> Commit | None:
    """Return the commit of user_index that the bitmaps were made from."""
    names = (name for name in index.commit.inputs if name.split(":")[-1].startswith("user_index/"))
    return next((index.lake.cited(name) for name in names), None)


def block_holdout(index: Index, number: int, holdout: Holdout, users: Commit) -> pa.Table:
    """Return a block's holdout_members rows, one a shard; shards without any have an empty set."""
    block, shards = Block(index, number), index.shards_of(number)
    held = _hashed(block, holdout, users, block.everyone())
    ordinals = ordinals_of(block.ordinals(held))
    edges = np.searchsorted(ordinals, [shard << index.shard_bits for shard in (*shards, shards.stop)])
    members = [BitMap(ordinals[edges[i] : edges[i + 1]]) for i in range(len(shards))]
    for bitmap in members:
        bitmap.run_optimize()
    rows = {
        "shard": list(shards),
        "cardinality": [len(one) for one in members],
        "bitmap": [one.serialize() for one in members],
    }
    return pa.Table.from_pydict(rows, schema=arrow.schema(dataset("holdout_members")))


def _hashed(block: Block, holdout: Holdout, users: Commit, people: Set) -> Set:
    if not len(people):
        return NOBODY
    ordinals = block.ordinals(people)
    ids = user_ids(block.index.lake, users, block.shards, ordinals)
    held = ordinals_of(ordinals)[holdout.holds(ids.to_pylist())] - np.uint32(block.base)
    return of_positions(held, block.width)


@dataclass
class HeldOut:
    """Who is held out among the people of an index.

    Args:
        index: the day's index.
        holdout: of its night's policy.
        keep: remember each block's set for the next question.
    """

    index: Index
    holdout: Holdout
    keep: bool = False
    _kept: dict[int, Set] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._users = user_index_of(self.index)
        self._written = self._head()

    @property
    def is_known(self) -> bool:
        """Whether it can be told: the index says whose ids its ordinals stand for."""
        return self._users is not None

    @property
    def is_written(self) -> bool:
        """Whether the night left bitmaps of it, so that nobody is hashed here."""
        return self._written is not None

    def _head(self) -> Commit | None:
        """Return the night's bitmaps, if they are of this holdout and of these ordinals."""
        commit = self.index.lake.head("holdout_members", ds=self.index.ds)
        if commit is None or self._users is None or self._users.citation() not in commit.inputs:
            return None
        given = {name: commit.params.get(name) for name in self.holdout.as_params()}
        return commit if given == self.holdout.as_params() else None

    def among(self, block: Block, people: Set) -> Set:
        """Return those of a block's people who are held out."""
        if self._users is None or not len(people):
            return NOBODY
        if self._written is None and not self.keep:
            return _hashed(block, self.holdout, self._users, people)
        held = self._kept.get(block.number)
        if held is None:
            held = self._read(block, self._written) if self._written else self._all(block)
            if self.keep:
                self._kept[block.number] = held
        return intersect([people, held], [], block.width)

    def _all(self, block: Block) -> Set:
        assert self._users is not None
        return _hashed(block, self.holdout, self._users, block.everyone())

    def _read(self, block: Block, commit: Commit) -> Set:
        shards = block.shards
        rows = self.index.lake.read(commit, ["shard", "bitmap"], where=holds_any(shards))
        pairs = zip(rows["shard"].to_pylist(), rows["bitmap"].to_pylist(), strict=True)
        data = [BitMap.deserialize(blob) for shard, blob in pairs if shard in shards]
        members = BitMap.union(*data) if data else BitMap()
        return of_positions(ordinals_of(members) - np.uint32(block.base), block.width)
