"""One person in the lake: the number behind an id, and a lake that shows their rows only.

Grain: person. Reads `user_index`, and whatever is asked of a `PersonLake`; writes nothing. Code that works on
a shard works on one person when it is handed a `PersonLake`, so that an explanation comes from the very code
that decided. Surprise: a file is read by row group, of which the footer says which ordinals it holds; the
cost of a read is that of a row group, whatever the number of people.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyroaring import BitMap

from angelia.contracts import Dataset, arrow
from angelia.errors import Corrupt, NotFound
from angelia.lake import Commit, FileEntry, Lake
from angelia.lake.commit import MEND

PREFETCH_THREADS = 4
BATCH_ROWS = 2_048  # decoded at a time on the way to a person's rows: fewer a batch cost more than they save
FOOTERS_AT_MOST = 1_024  # some tens of kilobytes each: the files of about fifteen shards of a night
_MOST = 0xFFFFFFFF
_MEMBERS = {"shard", "bitmap", "cardinality"}


def find_ordinal(lake: Lake, index: Commit, user: str) -> int:
    """Return the ordinal of a person in an index commit.

    Raises:
        NotFound: the index holds no such id; the message does not repeat it.
    """
    # The newest file first: who is asked about is often who came last, and the first load is the largest.
    for entry in sorted(index.files, key=lambda entry: entry.name, reverse=True):
        with pq.ParquetFile(lake.path_of(entry), memory_map=True) as file:
            for group in range(file.num_row_groups):
                ids = file.read_row_group(group, ["user_id"])["user_id"]
                at = pc.index(ids, pa.scalar(user, ids.type)).as_py()
                if at >= 0:
                    return int(file.read_row_group(group, ["ordinal"])["ordinal"][at].as_py())
    raise NotFound(
        f"nobody of this id is among the {index.meta.get('n_users', index.rows):,} people of {index.ref}",
        fix="compare the id with those of user_profiles; an erased person has none any more",
    )


def rows_of_user(lake: Lake, commit: Commit, user: str, columns: Sequence[str]) -> pa.Table:
    """Return a person's rows of a dataset that knows ids alone, such as a source.

    Only row groups whose ids can hold it are read, and of these the ids first.

    Raises:
        Corrupt: a file is missing or damaged.
    """

    def look(entry: FileEntry) -> list[pa.Table]:
        try:
            with pq.ParquetFile(lake.path_of(entry), memory_map=True) as file:
                return [
                    file.read_row_group(group, list(columns)).take(pa.array(rows))
                    for group in range(file.num_row_groups)
                    if (rows := _rows_of(file, group, user)) is not None
                ]
        except (OSError, NotFound, pa.ArrowInvalid) as error:
            raise Corrupt(f"{entry.path}: {type(error).__name__}", fix=MEND) from None

    with ThreadPoolExecutor(PREFETCH_THREADS) as pool:
        parts = [table for tables in pool.map(look, commit.files) for table in tables]
    return pa.concat_tables(parts) if parts else pa.table({name: [] for name in columns})


def _rows_of(file: pq.ParquetFile, group: int, user: str) -> npt.NDArray[np.int64] | None:
    """Return the rows of a row group that are the person's; None if it has none."""
    leaf = next(n for n in range(len(file.schema)) if file.schema.column(n).path == "user_id")
    statistics = file.metadata.row_group(group).column(leaf).statistics
    # Of ids that are no texts to Parquet, the bounds are bytes and say nothing here.
    is_bounded = statistics is not None and statistics.has_min_max and isinstance(statistics.min, str)
    if is_bounded and not statistics.min <= user <= statistics.max:
        return None
    ids = file.read_row_group(group, ["user_id"])["user_id"].cast(pa.string())
    rows = np.flatnonzero(pc.fill_null(pc.equal(ids, user), False).to_numpy())
    return rows if len(rows) else None


@dataclass(frozen=True)
class Footer:
    """A file's Parquet footer, and which ordinals each of its row groups may hold.

    Of a file without ordinals the bounds are None.
    """

    metadata: pq.FileMetaData
    schema: pa.Schema
    bounds: tuple[tuple[int, int], ...] | None

    @classmethod
    def of(cls, file: pq.ParquetFile) -> Footer:
        """Return the footer of an open file."""
        metadata = file.metadata
        paths = [file.schema.column(n).path for n in range(len(file.schema))]
        if "ordinal" not in paths:
            return cls(metadata, file.schema_arrow, None)
        leaf = paths.index("ordinal")
        groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
        return cls(
            metadata, file.schema_arrow, tuple(_bounds(group.column(leaf).statistics) for group in groups)
        )

    def groups_of(self, ordinal: int) -> list[int]:
        """Return the row groups that may hold an ordinal."""
        return [n for n, (low, high) in enumerate(self.bounds or ()) if low <= ordinal <= high]


class Footers:
    """Footers of the files that were read last; files never change, so neither do they."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Footer] = OrderedDict()

    def get(self, name: str) -> Footer | None:
        """Return a file's footer if it is known."""
        with self._lock:
            footer = self._kept.get(name)
            if footer is not None:
                self._kept.move_to_end(name)
            return footer

    def put(self, name: str, footer: Footer) -> None:
        """Keep a file's footer; the one that was not asked for longest is forgotten."""
        with self._lock:
            self._kept[name] = footer
            while len(self._kept) > FOOTERS_AT_MOST:
                self._kept.popitem(last=False)


def _bounds(statistics: pq.Statistics | None) -> tuple[int, int]:
    """Return the least and the greatest ordinal that a row group may hold."""
    if statistics is None or not statistics.has_min_max:
        return 0, _MOST
    low, high = _unsigned(statistics.min), _unsigned(statistics.max)
    # Statistics that wrapped say nothing: the group is read.
    return (low, high) if low <= high else (0, _MOST)


class PersonLake(Lake):
    """A lake of which every file holds the rows of one person only; it is never written."""

    def __init__(self, lake: Lake, ordinal: int, shard_bits: int, footers: Footers | None = None) -> None:
        super().__init__(lake.store, lake.branch, lake.clock)
        self.footers = footers or Footers()
        self.ordinal, self.shard, self.shard_bits = ordinal, ordinal >> shard_bits, shard_bits
        self._read: dict[str, pa.Table] = {}  # the person's rows by file: few, and asked for again
        self._narrow: set[str] = set()  # files of which some columns were read only

    def prefetch(self, commits: Iterable[Commit], columns: Mapping[str, Sequence[str]] | None = None) -> None:
        """Read the person's rows of many commits side by side, to be asked for later.

        Args:
            commits: what is asked for later.
            columns: all that is asked for of a dataset; others are read whole. Whoever asks for more later
                reads the file once more.

        Raises:
            Corrupt: a file is missing or damaged.
        """
        wanted = [
            (entry, (columns or {}).get(commit.dataset))
            for commit in commits
            for entry in commit.files
            if entry.shards is None or entry.shards[0] <= self.shard <= entry.shards[1]
        ]

        def read(first: int) -> None:
            for entry, names in wanted[first::PREFETCH_THREADS]:
                if entry.path not in self._read:
                    self._keep(entry, names)

        # A thread takes its share of the files at once: a hundred tasks of a millisecond each cost as much to
        # hand out as a tenth of the reading.
        with ThreadPoolExecutor(PREFETCH_THREADS) as pool:
            list(pool.map(read, range(min(PREFETCH_THREADS, len(wanted)))))

    def read(
        self,
        commit: Commit,
        columns: Sequence[str] | None = None,
        where: Callable[[FileEntry], bool] = lambda _: True,
        codes: Sequence[str] = (),
        keep: Callable[[pa.Table], pa.Table] = lambda rows: rows,
    ) -> pa.Table:
        """Return the person's rows of a commit; files of other shards are not opened."""

        def is_mine(entry: FileEntry) -> bool:
            return where(entry) and (entry.shards is None or entry.shards[0] <= self.shard <= entry.shards[1])

        return super().read(commit, columns, is_mine, codes, keep)

    def read_file(
        self,
        entry: FileEntry,
        columns: Sequence[str] | None = None,
        codes: Sequence[str] = (),
        contract: Dataset | None = None,
    ) -> pa.Table:
        """Return one file's rows of the person; of a file without ordinals all, or their audiences.

        Texts come as texts, whatever is in `codes`: of so few rows dictionaries save nothing.

        Raises:
            Corrupt: the file is missing, a page's checksum is wrong, or it is not Parquet any more.
            InvalidInput: the file lacks one of the columns.
        """
        table = self._read.get(entry.path)
        # Of a file that was read in part, a column that is missing here may be there.
        is_short = entry.path in self._narrow and (
            columns is None or table is None or not set(columns) <= set(table.column_names)
        )
        if table is None or is_short:
            table = self._keep(entry, None)
        if columns is None:
            return table
        arrow.names_in(table.column_names, columns, contract, entry.path)
        return arrow.filled(table, columns, contract)

    def _keep(self, entry: FileEntry, columns: Sequence[str] | None) -> pa.Table:
        """Read the person's rows of a file, of all columns or these, and keep them."""
        # Bytes and all: an erasure writes a file anew.
        known = f"{entry.path}@{entry.sha256}"
        footer = self.footers.get(known)
        try:
            if footer and footer.bounds is not None and not footer.groups_of(self.ordinal):
                table = footer.schema.empty_table()
            else:
                with pq.ParquetFile(
                    self.path_of(entry),
                    memory_map=True,
                    page_checksum_verification=True,
                    metadata=footer.metadata if footer else None,
                ) as file:
                    if footer is None:
                        footer = Footer.of(file)
                        self.footers.put(known, footer)
                    names = footer.schema.names if columns is None else self._known(columns, footer)
                    table = file.read(names) if footer.bounds is None else self._rows(file, footer, names)
                    if len(names) < len(footer.schema.names):
                        self._narrow.add(entry.path)
                    else:
                        self._narrow.discard(entry.path)
        except (OSError, NotFound, pa.ArrowInvalid) as error:
            raise Corrupt(f"{entry.path}: {error}", fix=MEND) from None
        if set(table.column_names) >= _MEMBERS:
            table = self._memberships(table)
        self._read[entry.path] = table
        return table

    @staticmethod
    def _known(columns: Sequence[str], footer: Footer) -> list[str]:
        """Return the columns that a file has: one of an older version may lack some."""
        return [name for name in footer.schema.names if name in columns]

    def _rows(self, file: pq.ParquetFile, footer: Footer, columns: list[str]) -> pa.Table:
        parts = [footer.schema.empty_table().select(columns)]
        for number in footer.groups_of(self.ordinal):
            ordinals = file.read_row_group(number, ["ordinal"], use_threads=False)["ordinal"].to_numpy()
            rows = np.flatnonzero(ordinals == self.ordinal)
            if len(rows):
                parts.append(_rows_at(file, number, columns, rows))
        return pa.concat_tables(parts, promote_options="permissive").combine_chunks()

    def _memberships(self, table: pa.Table) -> pa.Table:
        """Return an audience's rows of the person's shard, the bitmaps cut down to the person."""
        table = table.filter(pc.equal(table["shard"], self.shard))
        only = [
            (BitMap([self.ordinal]) if self.ordinal in BitMap.deserialize(data) else BitMap()).serialize()
            for data in table["bitmap"].to_pylist()
        ]
        at = table.schema.get_field_index("bitmap")
        return table.set_column(at, table.schema.field(at), pa.array(only, table.schema.field(at).type))


def _rows_at(file: pq.ParquetFile, group: int, columns: list[str], rows: npt.NDArray[np.int64]) -> pa.Table:
    """Return rows of a row group by their ascending places; nothing behind the last is decoded."""
    parts, first = [], 0
    for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns, use_threads=False):
        inside = rows[(rows >= first) & (rows < first + batch.num_rows)] - first
        if len(inside):
            parts.append(batch.take(pa.array(inside)))
        first += batch.num_rows
        if first > rows[-1]:
            break
    return pa.Table.from_batches(parts)


def _unsigned(value: int) -> int:
    """Return an ordinal of the footer: some writers give the signed form of the 32 bits."""
    return int(value) & 0xFFFFFFFF
