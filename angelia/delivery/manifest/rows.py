"""A part's rows in fixed ranges, streamed: memory is a few ranges, however large the part.

Reads one verified manifest file, front to back. Grain: one message. Surprise: asking for a range behind the
last one begins the file again. Everything is read without threads and pre-buffering: for a part of 100,000
rows they cost 100 MiB, and gain nothing at the pace of a provider.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType, TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from angelia.contracts import Dataset, arrow
from angelia.errors import Corrupt, NotFound
from angelia.lake import FileEntry, Lake

_RANGE = 4_096
_M_ARENA_MAX, _M_MMAP_THRESHOLD = -8, -3  # malloc.h


def spare_memory() -> None:
    """Keep this process small: 65 MiB less by the system's allocator, 48 MiB without pandas.

    Arrow's own allocator keeps what is freed. All threads share two arenas, and what is larger than 256 KiB
    is a mapping of its own, which freeing gives back: glibc would soon take blocks of many MiB from the
    arenas, between small ones that stay.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    with contextlib.suppress(AttributeError, OSError):  # glibc only; before the first thread starts
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, 2)
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 18)
    finder = _WithoutPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([0])  # Arrow looks for pandas at the first list it is given, and never again
    finally:
        sys.meta_path.remove(finder)


class _WithoutPandas(MetaPathFinder):
    """Says that pandas is not installed."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Find everything elsewhere, and pandas nowhere."""
        if fullname == "pandas":
            raise ImportError(fullname)


class PartRows:
    """Rows of one file by position; use as a context manager."""

    def __init__(self, lake: Lake, entry: FileEntry, columns: Sequence[str]) -> None:
        self._lake, self._entry, self._columns = lake, entry, list(columns)
        self._file: pq.ParquetFile | None = None
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._held: pa.RecordBatch | None = None
        self._first = 0  # position of the first row in `_held`

    def __enter__(self) -> PartRows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file, and give the memory back to the system; the allocator would keep it."""
        self._held, self._batches = None, iter(())
        if self._file is not None:
            self._file.close()
            self._file = None
        pa.default_memory_pool().release_unused()

    def read(self, rows: Sequence[int]) -> pa.Table:
        """Return the rows at these positions (ascending).

        Raises:
            Corrupt: the file ends early, or a page's checksum is wrong.
        """
        pieces: list[pa.RecordBatch] = []
        done = 0
        try:
            # The file is read front to back: rows before what is held need it from its beginning.
            if self._file is None or (rows and rows[0] < self._first):
                self._open()
            while done < len(rows):
                batch = self._held
                if batch is None or rows[done] >= self._first + batch.num_rows:
                    self._first += batch.num_rows if batch is not None else 0
                    self._held = next(self._batches)
                    continue
                end = bisect_left(rows, self._first + batch.num_rows, done)
                start, n = rows[done] - self._first, end - done
                # Positions without gaps are a slice, which copies nothing.
                if rows[end - 1] - rows[done] == n - 1:
                    pieces.append(batch.slice(start, n))
                else:
                    pieces.append(batch.take(pa.array([row - self._first for row in rows[done:end]])))
                done = end
        except (OSError, NotFound, StopIteration, pa.ArrowInvalid) as error:
            raise Corrupt(
                f"{self._entry.path}: {type(error).__name__} while reading rows",
                fix="run `angelia lake verify`",
            ) from None
        if not pieces:
            assert self._file is not None
            return pa.schema([self._file.schema_arrow.field(name) for name in self._columns]).empty_table()
        return pa.Table.from_batches(pieces)

    def _open(self) -> None:
        self.close()
        self._file, self._first, self._held = _parquet(self._lake, self._entry), 0, None
        self._batches = self._file.iter_batches(_RANGE, columns=self._columns, use_threads=False)


def _parquet(lake: Lake, entry: FileEntry) -> pq.ParquetFile:
    local = lake.store.local_path(entry.path)
    source = str(local) if local else pa.BufferReader(lake.store.read(entry.path))
    return pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=False, buffer_size=1 << 16)


def batches_of(
    lake: Lake, entry: FileEntry, columns: Sequence[str], contract: Dataset
) -> Iterator[pa.RecordBatch]:
    """Yield some columns of a whole file, a few thousand rows at a time.

    Raises:
        Corrupt: the file is unreadable.
        InvalidInput: it lacks a column that its contract does not call optional.
    """
    try:
        with _parquet(lake, entry) as file:
            names = arrow.names_in(file.schema_arrow.names, columns, contract, entry.path)
            for batch in file.iter_batches(_RANGE, columns=names, use_threads=False):
                yield arrow.filled(batch, columns, contract)
    except (OSError, NotFound, pa.ArrowInvalid) as error:
        raise Corrupt(
            f"{entry.path}: {type(error).__name__} while reading rows", fix="run `angelia lake verify`"
        ) from None


def rows_by_id(
    lake: Lake, entry: FileEntry, columns: Sequence[str], ids: Iterable[str], key: str = "dispatch_id"
) -> list[dict[str, Any]]:
    """Return a file's rows with one of these ids, from the row groups that may hold one.

    Files are sorted by their key, so an id costs one group; in a file that is not, all groups may hold it.

    Raises:
        Corrupt: the file is unreadable.
    """
    wanted = sorted(set(ids))
    rows: list[dict[str, Any]] = []
    try:
        source = lake.path_of(entry)
        with pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=False) as file:
            column = file.schema_arrow.get_field_index(key)
            for group in range(file.metadata.num_row_groups):
                bounds = file.metadata.row_group(group).column(column).statistics
                own = wanted
                if bounds is not None and bounds.has_min_max:
                    own = wanted[bisect_left(wanted, bounds.min) : bisect_right(wanted, bounds.max)]
                if own:
                    table = file.read_row_group(group, columns=list(columns), use_threads=False)
                    hits = pc.is_in(table[key], pa.array(own, pa.string()))
                    rows += table.filter(hits).select(list(columns)).to_pylist()
    except (OSError, NotFound, pa.ArrowInvalid) as error:
        raise Corrupt(
            f"{entry.path}: {type(error).__name__} while reading rows", fix="run `angelia lake verify`"
        ) from None
    return rows


def columns_of(lake: Lake, entry: FileEntry, columns: Sequence[str]) -> pa.Table:
    """Return some columns of a whole part.

    Raises:
        Corrupt: the file is unreadable.
    """
    try:
        with _parquet(lake, entry) as file:
            batches = list(file.iter_batches(_RANGE, columns=list(columns), use_threads=False))
            return pa.Table.from_batches(
                batches, schema=pa.schema([file.schema_arrow.field(name) for name in columns])
            ).select(list(columns))
    except (OSError, NotFound, pa.ArrowInvalid) as error:
        raise Corrupt(
            f"{entry.path}: {type(error).__name__} while reading rows", fix="run `angelia lake verify`"
        ) from None


def repeated_dispatches(lake: Lake, entry: FileEntry) -> set[int]:
    """Return the rows whose dispatch_id already stands earlier in the file."""
    ids = columns_of(lake, entry, ["dispatch_id"])["dispatch_id"]
    if pc.count_distinct(ids).as_py() == len(ids):
        return set()
    seen: set[str] = set()
    repeated = set()
    for row, dispatch in enumerate(ids.to_pylist()):
        if dispatch in seen:
            repeated.add(row)
        seen.add(dispatch)
    return repeated
