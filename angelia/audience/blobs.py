"""Sets as rows of bitmap_index, and a file of them as a memory map: rows are Parquet, and their bitmaps can be used where they stand.

The bitmap column is written plain: no dictionary, no compression, one page a row group. In such a page each value is 4 bytes of length and
then its bytes, so the row's `n_bytes` and the footer say where in the file each bitmap begins. Any Parquet reader reads these files; this one
parses the directory columns and takes packed words straight from the page cache.
What would surprise: page checksums cover only what is read as Parquet; a bitmap that rots on disk is found by `angelia lake verify`, not here.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pyroaring import BitMap

from angelia.audience.sets import NOBODY, Dense, Set
from angelia.contracts import arrow, dataset
from angelia.errors import Corrupt
from angelia.lake import FileEntry, Lake

DIRECTORY = ("field", "kind", "value", "bit", "offset", "cardinality", "encoding", "n_bytes")
PLAIN = ("bitmap",)
# A page's size is an int32, and pages are written from memory: row groups stay far below 2 GiB.
ROW_GROUP_BYTES = 1 << 28
MEND = "run `angelia lake verify`, then build_bitmaps again"


@dataclass(frozen=True)
class Row:
    """One row of bitmap_index, before it is bytes."""

    field: str
    kind: str
    found: Set
    value: str | None = None
    bit: int | None = None
    offset: int | None = None


def encode(found: Set) -> tuple[str, bytes]:
    """Return (encoding, bytes) of a set."""
    return ("words", found.bits.tobytes()) if isinstance(found, Dense) else ("roaring", found.serialize())


def to_table(rows: Sequence[Row], block: int) -> pa.Table:
    """Return bitmap_index rows of one block, sorted by field, kind, value, bit."""
    rows = sorted(rows, key=lambda row: (row.field, row.kind, row.value or "", row.bit or 0))
    blobs = [encode(row.found) for row in rows]
    columns = {name: [getattr(row, name) for row in rows] for name in ("field", "kind", "value", "bit", "offset")}
    columns |= {
        "block": [block] * len(rows),
        "cardinality": [len(row.found) for row in rows],
        "encoding": [encoding for encoding, _ in blobs],
        "n_bytes": [len(data) for _, data in blobs],
        "bitmap": [data for _, data in blobs],
    }
    schema = arrow.schema(dataset("bitmap_index"))
    return pa.Table.from_pydict({name: columns[name] for name in schema.names}, schema=schema)


def write_rows(lake: Lake, folder: str, rows: Sequence[Row], *, group: str, block: int, shards: tuple[int, int]) -> FileEntry:
    """Write one group's rows of one block as a file below an attempt folder and return its entry."""
    table = to_table(rows, block)
    largest = max(table["n_bytes"].to_pylist(), default=1)
    return lake.write_file(
        "bitmap_index",
        folder,
        table,
        f"{group}-block-{block:05d}.parquet",
        shards=shards,
        keys={"group": group, "block": str(block)},
        plain=PLAIN,
        row_group_size=max(1, min(131_072, ROW_GROUP_BYTES // max(1, largest))),
    )


def numbers(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return a column of numbers without nulls as an array, shape (n,).

    Not `to_numpy`: that imports pandas, 0.8 s that a count does not have.
    """
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    dtype = np.dtype(column.type.to_pandas_dtype())
    parts = [np.frombuffer(chunk.buffers()[1], dtype)[chunk.offset : chunk.offset + len(chunk)] for chunk in chunks if len(chunk)]
    return np.concatenate(parts) if len(parts) > 1 else parts[0] if parts else np.zeros(0, dtype)


class Blobs:
    """One file of bitmap_index: its directory, and its bitmaps where they stand."""

    def __init__(self, lake: Lake, entry: FileEntry) -> None:
        self.path = entry.path
        try:
            local = lake.path_of(entry)
            with pa.memory_map(local) as source:
                self.data = source.read_buffer()  # a view of the map, which lives as long as the buffer
            if self.data.size != entry.bytes:
                raise Corrupt(f"{entry.path}: {self.data.size} bytes, its commit says {entry.bytes}", fix=MEND)
            with pq.ParquetFile(pa.BufferReader(self.data), read_dictionary=["field"], page_checksum_verification=True) as file:
                self.metadata = file.metadata
                self.rows = file.read(columns=list(DIRECTORY), use_threads=False)
        except (OSError, pa.ArrowInvalid) as error:
            raise Corrupt(f"{entry.path}: {error}", fix=MEND) from None
        self.bytes = np.frombuffer(self.data, np.uint8)

    @cached_property
    def sizes(self) -> list[int]:
        """The bytes of each row's bitmap."""
        return [int(size) for size in self.rows["n_bytes"].to_pylist()]

    @cached_property
    def cardinalities(self) -> list[int]:
        """The people in each row's bitmap."""
        return [int(size) for size in self.rows["cardinality"].to_pylist()]

    @cached_property
    def encodings(self) -> list[str]:
        """How each row's bitmap is written."""
        return [str(name) for name in self.rows["encoding"].to_pylist()]

    @cached_property
    def spans(self) -> dict[str, tuple[int, int]]:
        """The rows of each field."""
        found: dict[str, tuple[int, int]] = {}
        start = 0
        for chunk in self.rows["field"].chunks:
            codes = numbers(chunk.indices)
            edges = [*np.flatnonzero(np.diff(codes, prepend=-1)).tolist(), len(codes)]
            names = chunk.dictionary.to_pylist()
            for first, last in itertools.pairwise(edges):
                name = names[codes[first]]
                found[name] = (found[name][0] if name in found else start + first, start + last)
            start += len(codes)
        return found

    @cached_property
    def starts(self) -> list[int]:
        """Where in the file each row's bitmap begins.

        Raises:
            Corrupt: the file was not written by `write_rows`.
        """
        found: list[int] = []
        position = self.metadata.schema.names.index("bitmap")
        for number in range(self.metadata.num_row_groups):
            group = self.metadata.row_group(number)
            column = group.column(position)
            sizes = self.sizes[len(found) : len(found) + group.num_rows]
            at = column.data_page_offset + column.total_compressed_size - sum(sizes) - 4 * len(sizes)
            if column.compression != "UNCOMPRESSED" or column.has_dictionary_page or not 0 < at - column.data_page_offset < 256:
                raise Corrupt(f"{self.path}: its bitmaps are not one plain page", fix=MEND)
            for size in sizes:
                found.append(at + 4)
                at += 4 + size
        return found

    def get(self, row: int) -> Set:
        """Return the set of a row: packed words in place, roaring read from its bytes.

        Raises:
            Corrupt: the bytes there are no bitmap of the size that the row says.
        """
        at, size, n = self.starts[row], self.sizes[row], self.cardinalities[row]
        if int.from_bytes(self.data[at - 4 : at], "little") != size:
            raise Corrupt(f"{self.path}: bitmap {row} is not where the footer says", fix=MEND)
        if not n:
            return NOBODY
        if self.encodings[row] == "words":
            return Dense(self.bytes[at : at + size], n)
        try:
            found = BitMap.deserialize(self.data[at : at + size].to_pybytes())
        except (ValueError, MemoryError) as error:
            raise Corrupt(f"{self.path}: bitmap {row}: {error}", fix=MEND) from None
        if len(found) != n:
            raise Corrupt(f"{self.path}: bitmap {row} holds {len(found)} people, its row says {n}", fix=MEND)
        return found
