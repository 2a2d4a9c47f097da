"""The lake: reading newest commits, and write-audit-publish."""

from __future__ import annotations

import functools
import hashlib
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import angelia
from angelia.contracts import arrow, dataset
from angelia.errors import Conflict, Corrupt, InvalidInput, NotFound
from angelia.lake import chain
from angelia.lake.commit import Commit, FileEntry, leaf_folder
from angelia.lake.store import Store, open_store

MAIN = "main"
_VALUE = re.compile(r"^[A-Za-z0-9_.:-]{1,128}$")
_COMMIT = re.compile(r"^(\d{8})\.json$")


@functools.cache
def code_version() -> str:
    """Return the version written into commits: the package's, and a hash of its source, so that a change of code is a change of input."""
    digest = hashlib.sha256()
    root = Path(angelia.__file__).parent
    for folder in (root, root.parent / "models", root.parent / "spark_jobs"):
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.relative_to(root.parent).as_posix().encode() + path.read_bytes())
    return f"{angelia.__version__}+{digest.hexdigest()[:12]}"


class Lake:
    """All datasets on one branch of one store. Cheap to open; also opened inside Spark workers."""

    def __init__(self, store: Store, branch: str = MAIN) -> None:
        if not re.fullmatch(r"main|replay-[A-Za-z0-9_.-]{1,64}", branch):
            raise InvalidInput(f"branch {branch!r} is neither main nor replay-<id>")
        self.store = store
        self.branch = branch

    @classmethod
    def open(cls, url: str, branch: str = MAIN, endpoint: str | None = None) -> Lake:
        """Open the lake at a folder or s3://bucket/prefix."""
        return cls(open_store(url, endpoint), branch)

    # ---- reading

    def head(self, name: str, **partition: str) -> Commit | None:
        """Return the newest commit of a leaf partition, or None; a replay branch falls back to main."""
        for branch in dict.fromkeys((self.branch, MAIN)):
            number = self._newest(branch, name, partition)
            if number:
                return self._load(branch, name, partition, number)
        return None

    def require(self, name: str, **partition: str) -> Commit:
        """Return the newest commit.

        Raises:
            NotFound: nothing is committed there; the fix names who writes the dataset.
        """
        commit = self.head(name, **partition)
        if commit is None:
            where = "/".join(f"{key}={value}" for key, value in partition.items())
            raise NotFound(f"{name} has no commit for {where}", fix=f"it is written by: {', '.join(dataset(name).written_by)}")
        return commit

    def as_of(self, name: str, number: int, **partition: str) -> Commit:
        """Return a given commit of a leaf partition on this branch.

        Raises:
            NotFound: there is no such commit.
        """
        return self._load(self.branch, name, partition, number)

    def cited(self, citation: str) -> Commit:
        """Return the commit that a citation (or ref) of another commit names.

        Raises:
            NotFound: there is no such commit.
            Corrupt: it is there, and its content is not the one that was cited.
        """
        match = re.fullmatch(r"(?:([^:/]+):)?([a-z_]+)/([^@]+)@(\d+)(?:#([0-9a-f]{16}))?", citation)
        if not match:
            raise InvalidInput(f"{citation!r} is no commit", fix="write it as user_events/ds=2026-11-14@7")
        branch, name, leaf, number, content = match.groups()
        commit = self._load(branch or MAIN, name, dict(part.split("=", 1) for part in leaf.split("/")), int(number))
        if content and not commit.sha256.startswith(content) and not commit.erased:
            raise Corrupt(f"{commit.ref} is not the commit that was cited (content {commit.sha256[:16]}, cited {content})")
        return commit

    def history(self, name: str, **partition: str) -> list[Commit]:
        """Return all commits of a leaf partition, oldest first."""
        numbers = self._numbers(self.branch, name, partition)
        return [self._load(self.branch, name, partition, number) for number in numbers]

    def partitions(self, name: str, **prefix: str) -> list[dict[str, str]]:
        """Return the leaf partitions with a commit, sorted; `prefix` fixes leading keys. A replay branch sees main's too."""
        keys = dataset(name).partition
        if tuple(prefix) != keys[: len(prefix)]:
            raise InvalidInput(f"{name} is partitioned by {keys}, not by {tuple(prefix)}")
        found: dict[tuple[str, ...], dict[str, str]] = {}
        for branch in dict.fromkeys((self.branch, MAIN)):
            level = [dict(prefix)]
            for key in keys[len(prefix) :]:
                level = [
                    {**part, key: child.split("=", 1)[1]}
                    for part in level
                    for child in self.store.children(leaf_folder(branch, name, part))
                    if child.startswith(f"{key}=")
                ]
            for part in level:
                if self._numbers(branch, name, part):
                    found[tuple(part.values())] = part
        return [found[values] for values in sorted(found)]

    def paths(self, commit: Commit, where: Callable[[FileEntry], bool] = lambda _: True) -> list[str]:
        """Return what DuckDB, Spark and pyarrow open, for the files that `where` keeps."""
        return [self.store.uri(entry.path) for entry in commit.files if where(entry)]

    def read(self, commit: Commit, columns: Sequence[str] | None = None, where: Callable[[FileEntry], bool] = lambda _: True) -> pa.Table:
        """Return the rows of a commit's files, in file order."""
        contract = dataset(commit.dataset)
        tables = [self.read_file(entry, columns) for entry in commit.files if where(entry)]
        if tables:
            return pa.concat_tables(tables, promote_options="permissive")
        wanted = arrow.schema(contract)
        return (wanted if columns is None else pa.schema([wanted.field(name) for name in columns])).empty_table()

    def read_file(self, entry: FileEntry, columns: Sequence[str] | None = None) -> pa.Table:
        """Return one file's rows.

        Raises:
            Corrupt: the file is missing or is no Parquet any more.
        """
        try:
            local = self.store.local_path(entry.path)
            source = pa.memory_map(str(local)) if local else pa.BufferReader(self.store.read(entry.path))
            # ParquetFile, not read_table: the latter would add hive columns from the path.
            return pq.ParquetFile(source, page_checksum_verification=True).read(columns=list(columns) if columns is not None else None)
        except (OSError, NotFound, pa.ArrowInvalid) as error:
            raise Corrupt(f"{entry.path}: {error}", fix="run `angelia lake verify`, then rerun the job that wrote it") from None

    def check_bytes(self, entry: FileEntry) -> None:
        """Compare a file's size and sha256 with its commit's.

        Raises:
            Corrupt: they differ, or the file is gone.
        """
        try:
            data = self.store.read(entry.path)
        except NotFound:
            raise Corrupt(f"{entry.path}: missing") from None
        if len(data) != entry.bytes:
            raise Corrupt(f"{entry.path}: {len(data)} bytes, its commit says {entry.bytes}")
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise Corrupt(f"{entry.path}: bytes differ from its commit's sha256")

    # ---- writing

    def attempt(self, name: str, **partition: str) -> Attempt:
        """Begin writing a leaf partition; nothing is visible before `publish`."""
        contract = dataset(name)
        if tuple(partition) != contract.partition:
            raise InvalidInput(f"{name} is partitioned by {contract.partition}, not by {tuple(partition)}")
        for key, value in partition.items():
            if not _VALUE.fullmatch(value):
                raise InvalidInput(f"{name}: {key}={value!r} cannot be a partition value")
        return Attempt(self, name, partition)

    def write_file(
        self,
        name: str,
        folder: str,
        table: pa.Table,
        file_name: str,
        *,
        shards: tuple[int, int] | None = None,
        keys: Mapping[str, str] | None = None,
        conform: bool = True,
    ) -> FileEntry:
        """Write one Parquet file below an attempt folder (also from a Spark worker) and return its entry; same rows, same bytes.

        Raises:
            InvalidInput: the table breaks the contract (`conform=False`, for files from the outside, leaves that to the gate).
        """
        if conform:
            table = arrow.conform(table, dataset(name))
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", write_page_checksum=True, row_group_size=131_072, store_schema=True)
        buffer = sink.getvalue()
        key = f"{folder}/{file_name}"
        data = buffer.to_pybytes()
        self.store.put(key, data)
        return FileEntry(key, len(data), hashlib.sha256(data).hexdigest(), table.num_rows, shards, dict(keys or {}))

    # ---- chains and logs

    def append_chain(
        self,
        name: str,
        tables: Sequence[pa.Table],
        *,
        expected: Commit | None,
        shard_bits: int,
        inputs: Iterable[Commit | str] = (),
        params: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
        rejects: Mapping[str, int] | None = None,
    ) -> Commit:
        """Append to the chain whose head (`expected`) the caller read; see `angelia.lake.chain.append_chain`.

        Raises:
            Conflict: somebody else appended meanwhile: read the head again.
        """
        return chain.append_chain(
            self, name, tables, expected=expected, shard_bits=shard_bits, inputs=inputs, params=params, meta=meta, rejects=rejects
        )

    def append_log(self, name: str, table: pa.Table) -> Commit:
        """Append rows to an append-only log (`suppressions`, `stops`): every commit holds its own rows only."""
        with self.attempt(name, log="0") as attempt:
            attempt.write(table, "entries.parquet")
            return attempt.publish(params={"entry": attempt.nonce})

    def read_log(self, name: str) -> pa.Table:
        """Return all rows of an append-only log, oldest first."""
        lake = Lake(self.store, MAIN)
        tables = [lake.read(commit) for commit in lake.history(name, log="0")]
        return pa.concat_tables(tables) if tables else arrow.schema(dataset(name)).empty_table()

    # ---- inside

    def _numbers(self, branch: str, name: str, partition: Mapping[str, str]) -> list[int]:
        names = self.store.children(leaf_folder(branch, name, partition) + "/_commits")
        return [int(match.group(1)) for match in map(_COMMIT.match, names) if match]

    def _newest(self, branch: str, name: str, partition: Mapping[str, str]) -> int:
        return max(self._numbers(branch, name, partition), default=0)

    def _load(self, branch: str, name: str, partition: Mapping[str, str], number: int) -> Commit:
        key = f"{leaf_folder(branch, name, partition)}/_commits/{number:08d}.json"
        try:
            return Commit.from_bytes(self.store.read(key))
        except (ValueError, KeyError, TypeError):
            raise Corrupt(f"{key}: not a commit file") from None


class Attempt:
    """One try at writing a leaf partition: files under a folder of its own, then one conditional create."""

    def __init__(self, lake: Lake, name: str, partition: Mapping[str, str]) -> None:
        self.lake, self.name, self.partition = lake, name, dict(partition)
        self.nonce = secrets.token_hex(8)
        self.folder = f"{leaf_folder(lake.branch, name, partition)}/attempt-{self.nonce}"
        self.files: list[FileEntry] = []
        self._published = False

    def __enter__(self) -> Attempt:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self._published:
            for key in list(self.lake.store.list(self.folder)):
                self.lake.store.delete(key)

    def write(
        self,
        table: pa.Table,
        file_name: str,
        *,
        shards: tuple[int, int] | None = None,
        keys: Mapping[str, str] | None = None,
        conform: bool = True,
    ) -> FileEntry:
        """Write one file of this attempt."""
        entry = self.lake.write_file(self.name, self.folder, table, file_name, shards=shards, keys=keys, conform=conform)
        self.files.append(entry)
        return entry

    def add(self, entry: FileEntry) -> None:
        """Take over a file that a worker wrote below `folder`, or one of an earlier commit (chains)."""
        self.files.append(entry)

    def publish(
        self,
        *,
        inputs: Iterable[Commit | str] = (),
        params: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
        rejects: Mapping[str, int] | None = None,
        expected: int | None = None,
    ) -> Commit:
        """Make this attempt the newest commit; return it, or the equal one of a racer.

        Args:
            inputs: commits it was made from (cited with their content hash).
            expected: for chains: the number of the head that was read (0 = none); moved heads are refused.

        Raises:
            Conflict: `expected` is given and somebody else committed meanwhile.
        """
        lake = self.lake
        first = lake._newest(lake.branch, self.name, self.partition) if expected is None else expected
        number = first + 1
        while True:
            commit = Commit(
                branch=lake.branch,
                dataset=self.name,
                contract_version=dataset(self.name).version,
                partition=self.partition,
                number=number,
                files=tuple(sorted(self.files, key=lambda entry: (entry.path.rsplit("/", 1)[-1], entry.path))),
                inputs=tuple(sorted({item if isinstance(item, str) else item.citation() for item in inputs})),
                params=dict(params or {}),
                meta=dict(meta or {}),
                rejects=dict(rejects or {}),
                code_version=code_version(),
                created_ts=datetime.now(UTC).isoformat(timespec="seconds"),
                nonce=self.nonce,
            )
            if number == first + 1 and expected is None and first:
                standing = lake._load(lake.branch, self.name, self.partition, first)
                if standing.sha256 == commit.sha256 and not standing.erased:
                    return standing  # a rerun that wrote the same bytes from the same inputs: nothing new to say
            if lake.store.create(f"{commit.folder}/_commits/{number:08d}.json", commit.to_bytes()):
                self._published = True
                return commit
            winner = lake._load(lake.branch, self.name, self.partition, number)
            if winner.nonce == self.nonce:
                self._published = True
                return commit
            if expected is not None:
                raise Conflict(f"{self.name}: the head moved to {winner.ref} meanwhile", fix="read the head again and append to it")
            if winner.made_by == commit.made_by:
                return winner
            number += 1
