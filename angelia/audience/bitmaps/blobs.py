"""Sets as Parquet rows of bitmap_index and bitmap_days, usable in place by memory map.

The bitmap column is written plain: no dictionary, no compression, one page a row group. In such a page each
value is 4 bytes of length and then its bytes, so the row's `n_bytes` and the footer say where in the file
each bitmap begins. Any Parquet reader reads these files; this one takes the other columns from a copy in the
footer (one Arrow message instead of nine columns to open) and packed words straight from the page cache.
Surprise: page checksums cover only what is read as Parquet; `angelia lake verify`, not this module, finds a
bitmap that rots on disk.
"""

from __future__ import annotations

import base64
import itertools
import mmap
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pyroaring import BitMap

from angelia.audience.bitmaps.arrays import Numbers, decode
from angelia.audience.bitmaps.columns import numbers, of_binary, of_numbers
from angelia.audience.bitmaps.sets import NOBODY, Dense, Set
from angelia.contracts import arrow, dataset
from angelia.errors import Corrupt
from angelia.lake import FileEntry, Lake

DIRECTORY = ("block", "field", "kind", "value", "bit", "offset", "cardinality", "encoding", "n_bytes")
PLAIN = ("bitmap",)
NOTE = "angelia.directory"
# A page's size is an int32, and pages are written from memory: row groups stay far below 2 GiB.
ROW_GROUP_BYTES = 1 << 28
MEND = "run `angelia lake verify`, then build_bitmaps again"
Key = tuple[str, str | None, int | None]  # kind, value, bit


@dataclass(frozen=True)
class BitmapRow:
    """One row of bitmap_index or bitmap_days before it is bytes.

    It holds a set, or arrays that are bytes already with the number of their entries.
    """

    block: int
    field: str
    kind: str
    content: Set | tuple[int, bytes]
    value: str | None = None
    bit: int | None = None
    offset: int | None = None


def encode(content: Set | tuple[int, bytes]) -> tuple[int, str, bytes]:
    """Return (cardinality, encoding, bytes) of a set, or of arrays."""
    if isinstance(content, tuple):
        return content[0], "arrays", content[1]
    return len(content), *(
        ("words", content.bits.tobytes()) if isinstance(content, Dense) else ("roaring", content.serialize())
    )


def to_table(contract: str, rows: Sequence[BitmapRow]) -> pa.Table:
    """Return rows of bitmap_index or bitmap_days, sorted by block, field, kind, value, bit."""
    rows = sorted(rows, key=lambda row: (row.block, row.field, row.kind, row.value or "", row.bit or 0))
    blobs = [encode(row.content) for row in rows]
    encoded: dict[str, Sequence[bytes | None]] = {
        "field": [row.field.encode() for row in rows],
        "kind": [row.kind.encode() for row in rows],
        "value": [None if row.value is None else row.value.encode() for row in rows],
        "encoding": [encoding.encode() for _, encoding, _ in blobs],
        "bitmap": [data for _, _, data in blobs],
    }
    whole: dict[str, Sequence[int | None]] = {
        "block": [row.block for row in rows],
        "bit": [row.bit for row in rows],
        "offset": [row.offset for row in rows],
        "cardinality": [n for n, _, _ in blobs],
        "n_bytes": [len(data) for _, _, data in blobs],
    }
    schema = arrow.schema(dataset(contract))
    arrays = [
        of_binary(encoded[column.name], column.type)
        if column.name in encoded
        else of_numbers(whole[column.name], column.type)
        for column in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def write_rows(
    lake: Lake, name: str, folder: str, rows: Sequence[BitmapRow], *, blocks: range, shards: tuple[int, int]
) -> FileEntry:
    """Write blocks' rows as a file of an attempt folder and return its entry."""
    table = to_table(name, rows)
    largest = max(table["n_bytes"].to_pylist(), default=1)
    return lake.write_file(
        name,
        folder,
        table,
        f"blocks-{blocks.start:05d}-{blocks.stop - 1:05d}.parquet",
        shards=shards,
        plain=PLAIN,
        row_group_size=max(1, min(131_072, ROW_GROUP_BYTES // max(1, largest))),
        notes={NOTE: to_note(table)},
    )


def to_note(table: pa.Table) -> str:
    """Return the directory columns as text for the footer."""
    directory = table.select(list(DIRECTORY)).combine_chunks()
    for name in ("field", "kind", "encoding"):
        directory = directory.set_column(
            directory.column_names.index(name), name, directory[name].dictionary_encode()
        )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, directory.schema) as writer:
        writer.write_table(directory)
    # Compressed as a whole: Arrow's own compression, buffer by buffer, takes 0.8 ms to open.
    return base64.b64encode(zlib.compress(sink.getvalue(), 1)).decode()


class Blobs:
    """One file of bitmap_index: its directory, and its bitmaps in place."""

    def __init__(self, lake: Lake, entry: FileEntry) -> None:
        self.path = entry.path
        try:
            handle = os.open(lake.path_of(entry), os.O_RDONLY)
            try:
                # The map lives as long as a set that stands in it.
                self.data = pa.py_buffer(mmap.mmap(handle, 0, prot=mmap.PROT_READ))
            finally:
                os.close(handle)
            if self.data.size != entry.bytes:
                raise Corrupt(
                    f"{entry.path}: {self.data.size} bytes, its commit says {entry.bytes}", fix=MEND
                )
            note, self.footer = _note(self.data)
            rows = pa.ipc.open_file(pa.BufferReader(zlib.decompress(note))).get_batch(0)
        except (OSError, KeyError, IndexError, ValueError, zlib.error, pa.ArrowInvalid) as error:
            raise Corrupt(f"{entry.path}: {error}", fix=MEND) from None
        # The copy in the footer replaces the Parquet columns, so it must describe the same file.
        if rows.num_rows != entry.rows:
            raise Corrupt(
                f"{entry.path}: its footer lists {rows.num_rows} rows, its commit {entry.rows}",
                fix=MEND,
            )
        self.rows = rows
        self.bytes = np.frombuffer(self.data, np.uint8)
        self.sizes, self.cardinalities = numbers(rows["n_bytes"]), numbers(rows["cardinality"])
        names = rows["field"].dictionary.to_pylist()
        codes, blocks = (
            numbers(rows["field"].indices).astype(np.int64),
            numbers(rows["block"]).astype(np.int64),
        )
        both = blocks * len(names) + codes
        edges = [0, *(np.flatnonzero(both[1:] != both[:-1]) + 1).tolist(), len(both)] if len(both) else []
        # The rows of each block and field: they are sorted by both.
        self.spans = {
            (int(blocks[first]), names[codes[first]]): (first, last)
            for first, last in itertools.pairwise(edges)
        }
        # A file without packed sets has no such word in its dictionary.
        words = rows["encoding"].dictionary.to_pylist()
        self.is_words = numbers(rows["encoding"].indices) == (
            words.index("words") if "words" in words else -1
        )

    def keys(self, block: int, field: str) -> dict[Key, int]:
        """Return the row of each set of a block's field."""
        first, last = self.spans.get((block, field), (0, 0))
        if first == last:
            return {}
        mine = self.rows.slice(first, last - first)
        # By codes: `to_pylist` of a dictionary takes ten times as long.
        kinds = self.rows["kind"].dictionary.to_pylist()
        codes = numbers(mine["kind"].indices).tolist()
        keys = zip(codes, mine["value"].to_pylist(), mine["bit"].to_pylist(), strict=True)
        return {(kinds[code], value, bit): first + i for i, (code, value, bit) in enumerate(keys)}

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        """Offset in the file of each row's bitmap.

        Raises:
            Corrupt: the file was not written by `write_rows`.
        """
        # A bitmap column is the last of its row group. With a single group, its page ends where the footer
        # begins.
        ends = np.cumsum(self.sizes + 4)  # 4 bytes of length stand before each
        begins = self.footer - int(ends[-1]) + ends - self.sizes if len(ends) else ends
        if not len(begins) or self._is_length(int(begins[0]), int(self.sizes[0])):
            return begins
        metadata = pq.read_metadata(pa.BufferReader(self.data))
        # The first guess missed, so there are several groups: the Parquet metadata says where each page ends.
        first, position = 0, metadata.schema.names.index("bitmap")
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            column = group.column(position)
            ends = np.cumsum(self.sizes[first : first + group.num_rows] + 4)
            page = column.data_page_offset + column.total_compressed_size - int(ends[-1])
            if (
                column.compression != "UNCOMPRESSED"
                or column.has_dictionary_page
                or not 0 < page - column.data_page_offset < 256
            ):
                raise Corrupt(f"{self.path}: its bitmaps are not one plain page", fix=MEND)
            begins[first : first + group.num_rows] = page + ends - self.sizes[first : first + group.num_rows]
            first += group.num_rows
        return begins

    def _is_length(self, at: int, size: int) -> bool:
        return at >= 4 and int.from_bytes(self.data[at - 4 : at], "little") == size

    def get(self, row: int) -> Set:
        """Return the set of a row: packed words in place, roaring read from its bytes.

        Raises:
            Corrupt: these bytes are not a bitmap of the size that the row promises.
        """
        at, size, n = self._place(row)
        if not n:
            return NOBODY
        if self.is_words[row]:
            return Dense(self.bytes[at : at + size], n)
        try:
            bitmap = BitMap.deserialize(self.data[at : at + size].to_pybytes())
        except (ValueError, MemoryError) as error:
            raise Corrupt(f"{self.path}: bitmap {row}: {error}", fix=MEND) from None
        if len(bitmap) != n:
            raise Corrupt(f"{self.path}: bitmap {row} holds {len(bitmap)} people, its row says {n}", fix=MEND)
        return bitmap

    def arrays(self, row: int) -> list[Numbers]:
        """Return the arrays of a row, in place.

        Raises:
            Corrupt: the bytes there are none.
        """
        at, size, _ = self._place(row)
        try:
            return decode(self.bytes[at : at + size])
        except ValueError as error:
            raise Corrupt(f"{self.path}: arrays {row}: {error}", fix=MEND) from None

    def _place(self, row: int) -> tuple[int, int, int]:
        """Return (where a row's bytes begin, how many they are, its cardinality)."""
        at, size, n = int(self.starts[row]), int(self.sizes[row]), int(self.cardinalities[row])
        if not self._is_length(at, size):
            raise Corrupt(f"{self.path}: bitmap {row} is not where the footer says", fix=MEND)
        return at, size, n


def _note(data: pa.Buffer) -> tuple[bytes, int]:
    """Return (the directory that `to_note` made, where the footer begins).

    The rest of the footer is not parsed, which would take as long as everything else together. In the footer
    (Thrift, compact protocol) the note's text stands behind its key: a byte for the field, its length as a
    varint, then itself.

    Raises:
        ValueError: the file or the note does not exist.
    """
    size = data.size
    length = int.from_bytes(data[size - 8 : size - 4], "little") if size > 12 else 0
    footer = size - 8 - length
    if not length or footer < 4 or data[size - 4 :].to_pybytes() != b"PAR1":
        raise ValueError("its footer cannot be read")
    text = data[footer : size - 8].to_pybytes()
    at = text.find(NOTE.encode() + b"\x18")
    if at < 0:
        raise ValueError("it has no directory")
    at += len(NOTE) + 1
    n = shift = 0
    while True:
        byte = text[at]
        n |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            break
    return base64.b64decode(text[at : at + n], validate=True), footer
