"""A planned night of few people, repeated until there are as many as asked.

Reads the lake of a home in which a night was planned and delivered; writes a lake beside nothing of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts.core import CHAIN
from angelia.lake import Commit, Lake
from angelia.lake.commit import FileEntry
from angelia.users.chain import append_files, write_users
from spark_jobs import build_bitmaps, select_audiences

PART_ROWS = 50_000  # of a ledger's file, as compaction writes them


class Tiled:
    """A lake of `users` people, each a copy of somebody of another lake."""

    def __init__(self, base: Lake, lake: Lake, ds: str, users: int, shard_bits: int) -> None:
        self.base, self.lake, self.ds, self.users, self.bits = base, lake, ds, users, shard_bits
        self.plan = base.require("decisions", ds=ds)
        self.n = int(base.require("user_index", chain=CHAIN).meta["n_users"])
        self.made: dict[str, list[Commit]] = {}

    def write(self) -> None:
        """Write all that a question about a person of the night reads."""
        cited = [self.base.cited(text) for text in self.plan.inputs]
        scores = next(commit for commit in cited if commit.dataset == "material_scores")
        index = self._index(cited)
        snapshot = next(commit for commit in cited if commit.dataset == "catalog_snapshot")
        with self.lake.attempt("catalog_snapshot", ds=self.ds) as attempt:
            attempt.write(self.base.read(snapshot), "documents.parquet")
            catalog = attempt.publish(params=snapshot.params, meta=snapshot.meta)
        of = {commit.dataset: commit for commit in cited}
        features = self._by_shard(of["user_features"], [index])
        pushes = [self._by_shard(commit) for commit in cited if commit.dataset == "user_pushes"]
        days = [
            self._by_shard(commit)
            for commit in map(self.base.cited, scores.inputs)
            if commit.dataset == "user_days"
        ]
        curves = self._by_shard(of["send_times"])
        before = os.environ.get("ANGELIA_HOME")
        os.environ["ANGELIA_HOME"] = str(self.lake.store.url).removesuffix("/lake")
        try:
            build_bitmaps.main(["--ds", self.ds])
            select_audiences.main(["--ds", self.ds])
        finally:
            os.environ.pop("ANGELIA_HOME") if before is None else os.environ.update(ANGELIA_HOME=before)
        audiences = self.lake.require("audience_members", ds=self.ds)
        scored = self._by_shard(scores, [features, audiences, *days, *pushes, catalog])
        self._by_shard(self.plan, [index, features, curves, audiences, scored, *pushes, catalog])
        self._delivered()

    def _index(self, cited: Iterable[Commit]) -> Commit:
        base = next(commit for commit in cited if commit.dataset == "user_index")
        table = self.base.read(base).select(["user_id", "ordinal"]).sort_by("ordinal")

        def write(folder: str) -> list[FileEntry]:
            tiles = (
                self._tile(table, low, min(low + (1 << 20), self.users))
                for low in range(0, self.users, 1 << 20)
            )
            return [write_users(self.lake, "user_index", folder, tile, self.bits) for tile in tiles]

        return append_files(self.lake, "user_index", write, expected=None, shard_bits=self.bits)

    def _tile(self, table: pa.Table, low: int, high: int) -> pa.Table:
        """Return the rows of the people from `low` to `high`."""
        first, last = low // self.n, (high - 1) // self.n
        ordinal = table["ordinal"].to_numpy().astype(np.int64)
        parts = []
        for copy in range(first, last + 1):
            mine = ordinal + copy * self.n
            at = table.schema.get_field_index("ordinal")
            part = table.set_column(at, table.schema.field(at), pa.array(mine.astype(np.uint32)))
            if "user_id" in table.column_names:
                at = table.schema.get_field_index("user_id")
                ids = pc.binary_join_element_wise(table["user_id"], f"{copy:06d}", "-")
                part = part.set_column(at, table.schema.field(at), ids)
            inside = (mine >= low) & (mine < high)
            parts.append(part if inside.all() else part.filter(pa.array(inside)))
        return pa.concat_tables(parts)

    def _by_shard(self, commit: Commit, inputs: Sequence[Commit] = ()) -> Commit:
        table = self.base.read(commit).sort_by("ordinal")
        size = 1 << self.bits
        with self.lake.attempt(commit.dataset, **commit.partition) as attempt:
            for shard in range(-(-self.users // size)):
                rows = self._tile(table, shard * size, min((shard + 1) * size, self.users))
                name = f"shard-{shard:06d}.parquet"
                folder = attempt.folder
                attempt.add(self.lake.write_file(commit.dataset, folder, rows, name, shards=(shard, shard)))
            return attempt.publish(inputs=inputs, params=commit.params, meta=commit.meta)

    def _delivered(self) -> None:
        """Write the ledger and the opens of as many messages as so many people get."""
        manifest = self.base.head("dispatch_manifest", ds=self.ds)
        if manifest is None:
            return
        with self.lake.attempt("dispatch_manifest", ds=self.ds) as attempt:
            attempt.publish(params=manifest.params)
        copies = -(-self.users // self.n)
        for name, wanted in (("delivery_ledger", _any), ("push_receipts", _not_of_worker)):
            for leaf in self.base.partitions(name, ds=self.ds):
                commit = self.base.head(name, **leaf)
                if commit is None or not wanted(leaf):
                    continue
                table = self.base.read(commit)
                with self.lake.attempt(name, **leaf) as attempt:
                    whole = pa.concat_tables([_renamed(table, copy) for copy in range(copies)])
                    for part, low in enumerate(range(0, max(whole.num_rows, 1), PART_ROWS)):
                        attempt.write(whole.slice(low, PART_ROWS), f"part-{part:04d}.parquet", conform=False)
                    attempt.publish()


def _any(_: Mapping[str, str]) -> bool:
    return True


def _not_of_worker(leaf: Mapping[str, str]) -> bool:
    return leaf["source"] != "worker"


def _renamed(table: pa.Table, copy: int) -> pa.Table:
    """Return messages under ids of their own; those of the first copy keep theirs."""
    if not copy:
        return table
    at = table.schema.get_field_index("message_id")
    tail = pc.utf8_slice_codeunits(table["message_id"], 8)
    return table.set_column(at, table.schema.field(at), pc.binary_join_element_wise(f"{copy:08x}", tail, ""))
