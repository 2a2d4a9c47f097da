"""The lake: reading newest commits, beginning attempts, and logs.

Readers see the newest commit of a leaf partition, whole, or the one before it. On a replay branch they see
the branch's commits where it has any, else main's; logs and chains are always main's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from angelia.contracts import Dataset, arrow, dataset
from angelia.contracts.core import LOG
from angelia.errors import Corrupt, InvalidInput, NotFound
from angelia.lake import cache
from angelia.lake.attempt import Attempt, write_file
from angelia.lake.commit import MEND, Commit, FileEntry, leaf_folder
from angelia.lake.opening import open_store
from angelia.lake.store import Store, each

MAIN = "main"
BRANCH = r"main|replay-[A-Za-z0-9_.-]{1,64}"
LIST_THREADS = 8
_VALUE = re.compile(r"^[A-Za-z0-9_.:-]{1,128}$")
_COMMIT = re.compile(r"^(\d{8})\.(json|expired)$")
_CITATION = re.compile(r"^(?:([^:/]+):)?([a-z0-9_]+)/([^@]+)@(\d{1,8})(?:#([0-9a-f]{16}))?$")


def utc_now() -> datetime:
    """Return the instant that commits are stamped with."""
    return datetime.now(UTC)


class Lake:
    """All datasets on one branch of one store; cheap to open or to pickle."""

    def __init__(self, store: Store, branch: str = MAIN, clock: Callable[[], datetime] = utc_now) -> None:
        if not re.fullmatch(BRANCH, branch):
            raise InvalidInput(f"branch {branch!r} is neither main nor replay-<id>")
        self.store = store
        self.branch = branch
        self.clock = clock
        # A log's entries change only when somebody is erased, so each is read once until then.
        self._log_entries: tuple[int, dict[tuple[str, int], pa.Table]] = (0, {})

    @classmethod
    def open(cls, url: str, branch: str = MAIN, endpoint: str | None = None) -> Lake:
        """Open the lake at a folder or s3://bucket/prefix."""
        return cls(open_store(url, endpoint), branch)

    # ---- reading

    def head(self, name: str, **partition: str) -> Commit | None:
        """Return a leaf partition's newest commit, or None; a replay branch falls back to main."""
        leaf = self._leaf(name, partition)
        branch, numbers = self._live(name, leaf)
        return self.load(branch, name, leaf, numbers[-1]) if numbers else None

    def require(self, name: str, **partition: str) -> Commit:
        """Return the newest commit.

        Raises:
            NotFound: nothing is committed there; the fix names who writes the dataset.
        """
        commit = self.head(name, **partition)
        if commit is None:
            where = "/".join(f"{key}={value}" for key, value in partition.items())
            raise NotFound(
                f"{name} has no commit for {where}",
                fix=f"it is written by: {', '.join(dataset(name).written_by)}",
            )
        return commit

    def as_of(self, name: str, number: int, **partition: str) -> Commit:
        """Return a given commit of a leaf partition.

        It is this branch's if the branch has any commit there, else main's.

        Raises:
            NotFound: the leaf has no such commit, or it expired.
        """
        leaf = self._leaf(name, partition)
        branch, numbers = self._live(name, leaf)
        if number not in numbers:
            raise NotFound(
                f"{leaf_folder(branch, name, leaf)} has no commit {number}",
                fix=f"`angelia lake log {name}` lists them",
            )
        return self.load(branch, name, leaf, number)

    def cited(self, citation: str) -> Commit:
        """Return the commit that a citation (or ref) names, even if its files expired.

        Raises:
            NotFound: the lake has no such commit.
            Corrupt: its content is not what was cited.
        """
        match = _CITATION.fullmatch(citation)
        if not match or any("=" not in part for part in match[3].split("/")):
            raise InvalidInput(f"{citation!r} is not a commit", fix="write it as user_events/ds=2026-11-14@7")
        branch, name, parts, number, content = match.groups()
        leaf = self._leaf(name, dict(part.split("=", 1) for part in parts.split("/")))
        commit = self.load(branch or MAIN, name, leaf, int(number))
        if content and not commit.sha256.startswith(content) and not commit.erased:
            raise Corrupt(
                f"{commit.ref} is not the commit that was cited (content {commit.sha256[:16]}, "
                f"cited {content})"
            )
        return commit

    def history(self, name: str, **partition: str) -> list[Commit]:
        """Return all unexpired commits of a leaf partition, oldest first.

        They are this branch's if it has any there, else main's.
        """
        leaf = self._leaf(name, partition)
        branch, numbers = self._live(name, leaf)
        return [self.load(branch, name, leaf, number) for number in numbers]

    def listed(self, name: str, since: str = "") -> Self:
        """Return this lake for many looks at a dataset from a day on, as one listing shows it."""
        folders = [f"{branch}/{name}" for branch in dict.fromkeys((self.branch, MAIN))]
        return cache.with_listing(self, folders, f"ds={since}" if since else "")

    def partitions(self, name: str, **prefix: str) -> list[dict[str, str]]:
        """Return the leaf partitions with a commit, sorted; `prefix` fixes leading keys.

        A replay branch sees main's too.
        """
        leaves = {
            tuple(leaf.values()): leaf
            for branch in dict.fromkeys((self.branch, MAIN))
            for leaf in self.leaves(branch, name, prefix)
        }
        return [leaves[values] for values in sorted(leaves)]

    def paths(self, commit: Commit, where: Callable[[FileEntry], bool] = lambda _: True) -> list[str]:
        """Return local paths of the files that `where` keeps, for DuckDB and Spark.

        Objects on S3 are first copied into a checked, bounded cache. Tell DuckDB `hive_partitioning = false`:
        it would add the path's keys as columns on local disk, and not on S3.
        """
        entries = [entry for entry in commit.files if where(entry)]
        local = [self.store.local_path(entry.path) for entry in entries]
        return [str(path) for path in local if path] if all(local) else cache.fetch(self.store, entries)

    def path_of(self, entry: FileEntry) -> str:
        """Return the local path of one file, copied into the cache first if the store has none.

        Raises:
            Corrupt: the object is missing, or its bytes are not those of its commit.
        """
        local = self.store.local_path(entry.path)
        return str(local) if local else cache.fetch(self.store, [entry])[0]

    def read(
        self,
        commit: Commit,
        columns: Sequence[str] | None = None,
        where: Callable[[FileEntry], bool] = lambda _: True,
        codes: Sequence[str] = (),
        keep: Callable[[pa.Table], pa.Table] = lambda rows: rows,
    ) -> pa.Table:
        """Return the rows of a commit's files, in file order, each file's as `keep` leaves them.

        Texts of the columns `codes` come as dictionaries."""
        contract = dataset(commit.dataset)
        files = filter(where, commit.files)
        tables = [keep(self.read_file(entry, columns, codes, contract)) for entry in files]
        if tables:
            return pa.concat_tables(tables, promote_options="permissive")
        named = arrow.schema(contract)
        named = named if columns is None else pa.schema([named.field(name) for name in columns])
        return keep(named.empty_table())

    def read_file(
        self,
        entry: FileEntry,
        columns: Sequence[str] | None = None,
        codes: Sequence[str] = (),
        contract: Dataset | None = None,
    ) -> pa.Table:
        """Return one file's rows; the texts of the columns `codes` as the file's dictionaries.

        Raises:
            Corrupt: the file is missing, a page's checksum is wrong, or it is not Parquet any more.
            InvalidInput: the file lacks one of the columns that the contract does not call optional.
        """
        try:
            local = self.store.local_path(entry.path)
            source = pa.memory_map(str(local)) if local else pa.BufferReader(self.store.read(entry.path))
            # ParquetFile, not read_table: the latter would add hive columns from the path.
            with (
                source,
                pq.ParquetFile(
                    source, page_checksum_verification=True, read_dictionary=list(codes) or None
                ) as file,
            ):
                if columns is None:
                    return file.read()
                names = arrow.names_in(file.schema_arrow.names, columns, contract, entry.path)
                return arrow.filled(file.read(columns=names), columns, contract)
        except (OSError, NotFound, pa.ArrowInvalid) as error:
            raise Corrupt(f"{entry.path}: {error}", fix=MEND) from None

    def check_bytes(self, entry: FileEntry) -> None:
        """Compare a file's size and sha256 with its commit's.

        Raises:
            Corrupt: they differ, or the file is gone.
        """
        try:
            data = self.store.read(entry.path)
        except NotFound:
            raise Corrupt(f"{entry.path}: missing", fix=MEND) from None
        if len(data) != entry.bytes:
            raise Corrupt(f"{entry.path}: {len(data)} bytes, its commit says {entry.bytes}", fix=MEND)
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise Corrupt(f"{entry.path}: bytes differ from its commit's sha256", fix=MEND)

    # ---- writing

    def attempt(self, name: str, **partition: str) -> Attempt:
        """Begin writing a leaf partition; nothing is visible before `publish`."""
        leaf = self._leaf(name, partition)
        if self.branch != MAIN and set(leaf) & {"log", "chain"}:
            raise InvalidInput(
                f"{name} is main's, and never written on {self.branch}", fix="a replay reads main's"
            )
        return Attempt(self, name, leaf)

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
        plain: Sequence[str] = (),
        row_group_size: int | None = None,
        notes: Mapping[str, str] | None = None,
    ) -> FileEntry:
        """Write one Parquet file below an attempt folder and return its entry.

        Also called from Spark workers. Same rows, same bytes.

        Args:
            plain: columns stored uncompressed, one page a row group, so that their values can be used in
                place in the file.
            notes: texts for the file's footer, for readers that know of them.

        Raises:
            InvalidInput: the table breaks the contract (`conform=False`, for files from the outside, leaves
                that to the gate).
        """
        return write_file(
            self.store, name, folder, table, file_name, shards, keys, conform, plain, row_group_size, notes
        )

    # ---- logs

    def append_log(self, name: str, table: pa.Table) -> Commit:
        """Append rows to an append-only log (`suppressions`, `stops`).

        Every commit holds its own rows only.
        """
        with self.attempt(name, log=LOG) as attempt:
            attempt.write(table, "entries.parquet")
            return attempt.publish(params={"entry": attempt.nonce})

    def read_log(self, name: str) -> pa.Table:
        """Return all rows of an append-only log of main, oldest first.

        Entries that this lake object has read before are not read again, unless somebody was erased since.
        """
        leaf = self._leaf(name, {"log": LOG})
        # Counted before the entries are read: an erasure that ends meanwhile has them read again next time.
        erasures = self.erasures()
        if erasures != self._log_entries[0]:
            self._log_entries = erasures, {}
        kept, numbers = self._log_entries[1], self.numbers(MAIN, name, leaf)
        unread = [number for number in numbers if (name, number) not in kept]
        with ThreadPoolExecutor(LIST_THREADS) as pool:
            tables = pool.map(lambda number: self.read(self.load(MAIN, name, leaf, number)), unread)
            kept.update(((name, number), table) for number, table in zip(unread, tables, strict=True))
        # The empty one has every column; entries of an older version may lack some, which are null then.
        empty = arrow.schema(dataset(name)).empty_table()
        entries = [kept[name, number] for number in numbers]
        return pa.concat_tables([empty, *entries], promote_options="default")

    def erasures(self) -> int:
        """Return how many erasures have ended; each rewrote rows below numbers and names that stay."""
        return len(self.store.children("erasures"))

    # ---- commit files (for this package)

    def leaves(
        self, branch: str, name: str, prefix: Mapping[str, str], *, expired: bool = False
    ) -> list[dict[str, str]]:
        """Return a branch's own leaf partitions with a commit, sorted.

        With `expired`, also those that keep only a trace of one.
        """
        keys = dataset(name).partition
        if tuple(prefix) != keys[: len(prefix)]:
            raise InvalidInput(f"{name} is partitioned by {', '.join(keys)}, not by {', '.join(prefix)}")
        level = [dict(prefix)]
        # An expired partition may be large and many: those are looked at one level at a time.
        looker = self if expired else cache.with_listing(self, [leaf_folder(branch, name, prefix)])
        with ThreadPoolExecutor(LIST_THREADS) as pool:
            for key in keys[len(prefix) :]:
                folders = [leaf_folder(branch, name, part) for part in level]
                children = each(pool, looker.store.children, folders)
                level = [
                    {**part, key: child.split("=", 1)[1]}
                    for part, names in zip(level, children, strict=True)
                    for child in names
                    if child.startswith(f"{key}=") and _is_value(key, child.split("=", 1)[1])
                ]
            if expired:
                return level
            return [
                leaf
                for leaf, numbers in zip(
                    level, each(pool, lambda leaf: looker.numbers(branch, name, leaf), level), strict=True
                )
                if numbers
            ]

    def numbers(self, branch: str, name: str, leaf: Mapping[str, str], *, expired: bool = False) -> list[int]:
        """Return the numbers of a leaf's commits, sorted; expired ones only on request."""
        files = self.store.children(leaf_folder(branch, name, leaf) + "/_commits")
        names = [match.groups() for match in map(_COMMIT.match, files) if match]
        gone = set() if expired else {number for number, kind in names if kind == "expired"}
        return sorted(int(number) for number, kind in names if kind == "json" and number not in gone)

    def last_number(self, name: str, **leaf: str) -> int:
        """Return the highest number ever given in a leaf of this branch.

        Expired commits count, so that no number ever means two commits.
        """
        return max(self.numbers(self.branch, name, leaf, expired=True), default=0)

    def load(self, branch: str, name: str, leaf: Mapping[str, str], number: int) -> Commit:
        """Return a commit, expired or not.

        Raises:
            NotFound: there is none of this number.
            Corrupt: its file cannot be understood, or describes another commit.
        """
        key = f"{leaf_folder(branch, name, leaf)}/_commits/{number:08d}.json"
        try:
            commit = Commit.from_bytes(self.store.read(key))
        except (ValueError, KeyError, TypeError, AttributeError, json.JSONDecodeError):
            raise Corrupt(f"{key}: not a commit file", fix=MEND) from None
        if commit.key != key:
            raise Corrupt(f"{key}: speaks of {commit.ref}", fix=MEND)
        return commit

    def _live(self, name: str, leaf: Mapping[str, str]) -> tuple[str, list[int]]:
        """Return the branch that readers see for a leaf, and the numbers of its commits."""
        numbers = self.numbers(self.branch, name, leaf)
        if numbers or self.branch == MAIN:
            return self.branch, numbers
        return MAIN, self.numbers(MAIN, name, leaf)

    def _leaf(self, name: str, partition: Mapping[str, str]) -> dict[str, str]:
        """Return the partition in the contract's order, its values checked."""
        keys = dataset(name).partition
        if set(partition) != set(keys):
            raise InvalidInput(
                f"{name} is partitioned by {', '.join(keys)}, not by {', '.join(partition) or 'nothing'}"
            )
        for key, value in partition.items():
            if not isinstance(value, str) or not _is_value(key, value):
                raise InvalidInput(
                    f"{name}: {key}={value!r} cannot be a partition value",
                    fix="days are written as 2026-11-14" if key == "ds" else None,
                )
        return {key: partition[key] for key in keys}


def _is_value(key: str, value: str) -> bool:
    if key != "ds":
        return bool(_VALUE.fullmatch(value))
    try:
        return date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False
