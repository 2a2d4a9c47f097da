"""Rows of a table too large for memory, found by a hash of one of some columns.

Grain: row. Reads tables once and writes them to a nameless file of the temporary folder, which ends with the
process. Surprise: the system itself keeps in memory the parts of that file which are asked
for; the index takes 12 bytes a row for each column that is looked up.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from angelia.users.remembered import hashed, places


class MappedRows:
    """A table on disk whose rows are looked up by the texts of a column."""

    def __init__(self, tables: Iterable[pa.Table], columns: Sequence[str], schema: pa.Schema) -> None:
        hashes: dict[str, list[npt.NDArray[np.uint64]]] = {name: [np.zeros(0, np.uint64)] for name in columns}
        firsts = [0]
        handle, path = tempfile.mkstemp(prefix="angelia-rows-")
        try:
            with os.fdopen(handle, "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
                for batch in (batch for table in tables for batch in table.cast(schema).to_batches()):
                    writer.write_batch(batch)
                    firsts.append(firsts[-1] + batch.num_rows)
                    for name, parts in hashes.items():
                        parts.append(hashed(batch.column(name).to_numpy(zero_copy_only=False)))
            self._file = pa.ipc.open_file(pa.memory_map(path))
        finally:
            Path(path).unlink()  # its bytes stay until the mapping ends, and no longer, also after a kill
        self._schema, self._firsts = schema, np.array(firsts)
        self._index: dict[str, tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]] = {}
        for name in columns:
            keys = np.concatenate(hashes.pop(name))
            order = np.argsort(keys, kind="stable").astype(np.uint32)
            self._index[name] = keys[order], order

    def of(self, column: str, texts: Iterable[str]) -> pa.Table:
        """Return the rows that have any of these texts in a column, each once, in their order."""
        wanted = sorted(set(texts))
        rows = np.sort(places(*self._index[column], wanted).astype(np.int64))
        batch_of = np.searchsorted(self._firsts, rows, "right") - 1
        # Batch by batch: to take rows of all of them at once would copy their texts into one.
        taken = [
            self._file.get_batch(int(number)).take(pa.array(rows[batch_of == number] - self._firsts[number]))
            for number in np.unique(batch_of)
        ]
        table = pa.Table.from_batches(taken, self._schema)
        # Nearly always one text has a hash, but nothing keeps two from having the same.
        return table.filter(pc.is_in(table[column], pa.array(wanted, pa.string())))
