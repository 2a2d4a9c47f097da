"""A log by person: a request reads the commits that came since the last one.

Grain: entry of one person. Reads one append-only log (`preference_choices`, `suppressions`); writes nothing.
Surprise: commits of a log have consecutive numbers, so the next one is asked for by its name and nothing is
listed. Threads that share an object wait for one reader.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from typing import Any

import pyarrow as pa

from angelia.contracts.core import LOG
from angelia.lake import Lake
from angelia.lake.commit import leaf_folder
from angelia.lake.lake import MAIN

_LEAF = {"log": LOG}
_LEAST = 1_000  # so many new entries are held beside the sorted ones


class PersonLog:
    """The entries of one log, sorted by person; the first question reads all of it."""

    def __init__(self, lake: Lake, name: str) -> None:
        self._lake, self._name = lake, name
        self._folder = leaf_folder(MAIN, name, _LEAF)
        self._sorted: pa.Table | None = None
        self._users = pa.array([], pa.string())
        self._new: dict[str, list[dict[str, Any]]] = {}
        self._tables: list[pa.Table] = []  # of the entries in `_new`
        self._read_until = self._erasures = 0
        self._lock = threading.Lock()

    def of(self, user: str) -> list[dict[str, Any]]:
        """Return a person's entries, oldest first."""
        with self._lock:
            table = self._refreshed()
            # Texts are sorted by their UTF-8 bytes, which is the order of code points, as here.
            first, last = (
                side(range(len(self._users)), user, key=lambda row: self._users[row].as_py())
                for side in (bisect_left, bisect_right)
            )
            return [*table.slice(first, last - first).to_pylist(), *self._new.get(user, ())]

    def _refreshed(self) -> pa.Table:
        # An erasure rewrites entries below the numbers that they have: what was read before names the person.
        if (erasures := self._lake.erasures()) != self._erasures:
            self._sorted, self._new, self._tables, self._erasures = None, {}, [], erasures
        if self._sorted is None:
            # What comes between the two is read twice, and says the same twice.
            self._read_until = self._lake.last_number(self._name, **_LEAF)
            self._sorted = self._sort([self._lake.read_log(self._name)])
        while self._lake.store.exists(f"{self._folder}/_commits/{self._read_until + 1:08d}.json"):
            table = self._lake.read(self._lake.load(MAIN, self._name, _LEAF, self._read_until + 1))
            for row in table.to_pylist():
                self._new.setdefault(str(row["user_id"]), []).append(row)
            self._tables.append(table)
            self._read_until += 1
        if sum(table.num_rows for table in self._tables) > max(_LEAST, self._sorted.num_rows // 8):
            self._sorted = self._sort([self._sorted, *self._tables])
            self._new, self._tables = {}, []
        return self._sorted

    def _sort(self, tables: list[pa.Table]) -> pa.Table:
        table = pa.concat_tables(tables, promote_options="default")
        # By the entries' order, too: of two words at one time the later entry is the later word.
        table = table.append_column("entry", pa.array(range(table.num_rows), pa.int64()))
        ordered = table.sort_by([("user_id", "ascending"), ("entry", "ascending")]).drop_columns(["entry"])
        self._users = ordered["user_id"].combine_chunks()
        return ordered
