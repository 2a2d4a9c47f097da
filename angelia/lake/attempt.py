"""Write, audit, publish: files in a fresh folder, then one conditional create.

The audit looks at every file; the create puts the commit file in place, which makes all of them visible at
once.
"""

from __future__ import annotations

import functools
import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

import angelia
from angelia import logs
from angelia.contracts import arrow, dataset
from angelia.errors import AngeliaError, Conflict, Corrupt, InvalidInput, NotFound
from angelia.lake.commit import Commit, FileEntry, leaf_folder, plain
from angelia.lake.failpoint import failpoint
from angelia.lake.store import Store

AUDIT_THREADS = 8
# A row group is what a reader of one person's rows takes in, so datasets that lie by shard have small ones: a
# sixteenth of a shard, for one to six per cent more bytes.
GROUP_ROWS, PERSONS_GROUP_ROWS = 131_072, 16_384
TAIL_BYTES = 65_536  # holds the footer of nearly every file; a longer one is fetched in a second read


@functools.cache
def code_version() -> str:
    """Return the version written into commits: the package's, and a hash of its source.

    So a change of code is a change of input.
    """
    digest = hashlib.sha256()
    root = Path(angelia.__file__).parent
    for folder in (root, root.parent / "models", root.parent / "spark_jobs"):
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.relative_to(root.parent).as_posix().encode() + path.read_bytes())
    return f"{angelia.__version__}+{digest.hexdigest()[:12]}"


def write_file(
    store: Store,
    name: str,
    folder: str,
    table: pa.Table,
    file_name: str,
    shards: tuple[int, int] | None,
    keys: Mapping[str, str] | None,
    conform: bool,
    plain: Sequence[str] = (),
    row_group_size: int | None = None,
    notes: Mapping[str, str] | None = None,
) -> FileEntry:
    """Write one Parquet file below an attempt folder; see `Lake.write_file`."""
    contract = dataset(name)
    if conform:
        table = arrow.conform(table, contract)
    if row_group_size is None:
        row_group_size = PERSONS_GROUP_ROWS if contract.layout == ("shards",) else GROUP_ROWS
    sink = pa.BufferOutputStream()
    # `plain` columns stand in one uncompressed page a row group, so that readers can compute where a value
    # begins.
    layout: dict[str, Any] = {"compression": "zstd"}
    if plain:
        names = table.column_names
        layout = {
            "compression": {column: "NONE" if column in plain else "ZSTD" for column in names},
            "use_dictionary": [column for column in names if column not in plain],
            "write_statistics": [column for column in names if column not in plain],
            "data_page_size": 1 << 30,
            "max_rows_per_page": 1 << 30,
        }
    with pq.ParquetWriter(
        sink, table.schema, write_page_checksum=True, store_schema=True, **layout
    ) as writer:
        writer.write_table(table, row_group_size=row_group_size)
        if notes:
            writer.add_key_value_metadata(dict(notes))
    data = sink.getvalue().to_pybytes()
    key = f"{folder}/{file_name}"
    store.put(key, data)
    failpoint("write.file")
    return FileEntry(
        key, len(data), hashlib.sha256(data).hexdigest(), table.num_rows, shards, dict(keys or {}), conform
    )


def footer(store: Store, entry: FileEntry) -> pq.FileMetaData:
    """Return a file's Parquet footer after comparing its size and row count with the entry.

    Raises:
        Corrupt: the file is missing, differs in size or rows, or is not Parquet.
    """
    try:
        size, tail = store.tail(entry.path, TAIL_BYTES)
        if size != entry.bytes:
            raise Corrupt(f"{entry.path}: {size} bytes, its commit says {entry.bytes}")
        length = int.from_bytes(tail[-8:-4], "little") + 8
        if len(tail) < length <= size:
            size, tail = store.tail(entry.path, length)
        metadata = pq.read_metadata(pa.BufferReader(tail))
    except NotFound:
        raise Corrupt(f"{entry.path}: missing") from None
    except (pa.ArrowInvalid, OSError):
        raise Corrupt(f"{entry.path}: its Parquet footer cannot be read") from None
    if metadata.num_rows != entry.rows:
        raise Corrupt(f"{entry.path}: {metadata.num_rows} rows, its commit says {entry.rows}")
    return metadata


def check_schema(name: str, entry: FileEntry, metadata: pq.FileMetaData) -> None:
    """Compare a file's columns with the contract's, unless it was taken as it came.

    Raises:
        Corrupt: a column is missing that is not optional, unknown, or of another type.
    """
    if not entry.conforms:
        return
    contract = dataset(name)
    wanted, actual = arrow.schema(contract), metadata.schema.to_arrow_schema()
    differences = [
        f"{column}: {_type(actual, column)}, contract {_type(wanted, column)}"
        for column in dict.fromkeys([*wanted.names, *actual.names])
        if _type(actual, column) != _type(wanted, column)
        and not (column not in actual.names and contract[column].optional)
    ]
    if differences:
        raise Corrupt(f"{entry.path}: columns differ from the contract of {name}: {'; '.join(differences)}")


def _type(schema: pa.Schema, column: str) -> str:
    index = schema.get_field_index(column)
    return "absent" if index < 0 else str(schema.field(index).type).replace("element: ", "item: ")


class Book(Protocol):
    """What an attempt asks of the lake that began it.

    A protocol, so that the lake imports attempts and not the reverse.
    """

    store: Store
    branch: str
    clock: Callable[[], datetime]

    def last_number(self, name: str, **leaf: str) -> int:
        """Return the newest commit number of a leaf partition, 0 for none."""

    def load(self, branch: str, name: str, leaf: Mapping[str, str], number: int) -> Commit:
        """Return one commit, by its number."""

    def cited(self, citation: str) -> Commit:
        """Return the commit that a citation names."""


class Attempt:
    """One try at writing a leaf partition: files in a folder of its own, then one create."""

    def __init__(self, lake: Book, name: str, partition: Mapping[str, str]) -> None:
        self.lake, self.name, self.partition = lake, name, dict(partition)
        self.nonce = secrets.token_hex(8)
        self.folder = f"{leaf_folder(lake.branch, name, partition)}/attempt-{self.nonce}"
        self.files: list[FileEntry] = []
        self._keep = False  # a commit names these files, or may

    def __enter__(self) -> Attempt:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._keep:
            with suppress(AngeliaError):  # what is left here is invisible, and `expire` collects it
                self.lake.store.delete_folder(self.folder)

    def write(
        self,
        table: pa.Table,
        file_name: str,
        *,
        shards: tuple[int, int] | None = None,
        keys: Mapping[str, str] | None = None,
        conform: bool = True,
        row_group_size: int | None = None,
    ) -> FileEntry:
        """Write one file of this attempt; small row groups are for readers of single rows."""
        entry = write_file(
            self.lake.store,
            self.name,
            self.folder,
            table,
            file_name,
            shards,
            keys,
            conform,
            (),
            row_group_size,
        )
        self.files.append(entry)
        return entry

    def add(self, entry: FileEntry) -> None:
        """Include a file that a worker wrote below `folder`, or one of an earlier commit (chains)."""
        self.files.append(entry)

    def audit(self) -> None:
        """Check that every file exists with the size, rows and columns promised; make them durable.

        Raises:
            Corrupt: a file differs from what its writer reported.
            InvalidInput: a file is named twice, or lies outside this leaf.
        """
        leaf = leaf_folder(self.lake.branch, self.name, self.partition) + "/attempt-"
        paths = [entry.path for entry in self.files]
        foreign = [path for path in paths if not path.startswith(leaf)]
        if foreign or len(set(paths)) != len(paths):
            fault = f"{foreign[0]} is not of this partition" if foreign else "a file is named twice"
            raise InvalidInput(f"{self.name}: {fault}")

        def look(entry: FileEntry) -> None:
            check_schema(self.name, entry, footer(self.lake.store, entry))

        with ThreadPoolExecutor(AUDIT_THREADS) as pool:
            list(pool.map(look, self.files))
        self.lake.store.sync(path for path in paths if path.startswith(self.folder + "/"))

    def publish(
        self,
        *,
        inputs: Iterable[Commit | str] = (),
        params: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
        rejects: Mapping[str, int] | None = None,
        expected: int | None = None,
    ) -> Commit:
        """Audit this attempt and make it the newest commit; return it.

        If another writer won the race with equal inputs, code and parameters, its commit is returned instead.
        A rerun makes the next commit, even from the same inputs: that is how a damaged one is repaired.

        Args:
            inputs: commits it was made from (cited with their content hash).
            expected: for chains: the number of the head that was read (0 = none); moved heads are refused.

        Raises:
            Conflict: `expected` is given and another writer committed meanwhile.
            Corrupt: a file differs from what its writer reported; nothing was published.
        """
        lake, made_from = self.lake, list(inputs)
        failpoint("publish.before_audit")
        self.audit()
        commit = Commit(
            branch=lake.branch,
            dataset=self.name,
            contract_version=dataset(self.name).version,
            partition=self.partition,
            number=lake.last_number(self.name, **self.partition) + 1,
            files=tuple(sorted(self.files, key=lambda entry: (entry.name, entry.path))),
            inputs=tuple(sorted({item if isinstance(item, str) else item.citation() for item in made_from})),
            params=plain(params),
            meta=plain(meta),
            rejects={reason: int(n) for reason, n in sorted((rejects or {}).items())},
            code_version=code_version(),
            created_ts=lake.clock().isoformat(timespec="seconds"),
            nonce=self.nonce,
        )
        # Checked before the create too: a chain that has moved must not get this attempt under a later
        # number.
        if expected is not None and commit.number != expected + 1:
            raise self._moved(commit.number - 1)
        failpoint("publish.before_create")
        while True:
            # From here on a commit may name the files, whatever happens to this process or its connection.
            self._keep = True
            if lake.store.create(commit.key, commit.to_bytes()):
                return self._counted(commit, made_from)
            winner = lake.load(commit.branch, commit.dataset, commit.partition, commit.number)
            # The store may report our own success as a loss; the nonce tells whose commit stands.
            if winner.nonce == self.nonce:
                return self._counted(commit, made_from)
            self._keep = False
            if expected is not None:
                raise self._moved(winner.number)
            # Equal inputs, code and parameters: adopt the winner. Otherwise take the next number and try
            # again.
            if winner.made_by == commit.made_by and not winner.erased:
                return winner
            commit = commit.renumbered(commit.number + 1)

    def _counted(self, commit: Commit, made_from: Iterable[Commit | str]) -> Commit:
        if logs.is_step():
            sources = [self.lake.cited(item) if isinstance(item, str) else item for item in made_from]
            logs.published(
                commit.dataset,
                commit.rows,
                commit.rejects,
                [(source.ref, source.dataset, source.rows) for source in sources],
            )
        return commit

    def _moved(self, number: int) -> Conflict:
        return Conflict(
            f"{self.name}: the head moved to {number} meanwhile", fix="read the head again and append to it"
        )
