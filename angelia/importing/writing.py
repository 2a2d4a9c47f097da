"""Publish staged rows: one commit per partition, sorted by key.

The same files give the same bytes. Writes the source datasets through the lake. An import replaces the
partitions it has rows for; a second import of the same files finds its own commits and adds none.
`suppressions` is a log: entries already in it were left out before (`known`). All files are written before
the first commit is made.
"""
# ruff: noqa: S608 - statements are made of quoted identifiers of contracts and names of our own; every value is a parameter.

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from angelia.contracts import arrow, dataset
from angelia.contracts.core import LOG
from angelia.errors import AngeliaError, Corrupt
from angelia.importing.inputs import quote
from angelia.importing.staged import BROKEN_LINE, Staged, Window
from angelia.lake import Commit, FileEntry, Lake

ROWS_PER_FILE = 1_000_000


@dataclass(frozen=True)
class Lineage:
    """What a commit says about where it came from; equal for equal imports."""

    mapping: str
    mapping_sha256: str
    files: Mapping[str, str]  # name -> sha256
    window: Window

    @property
    def params(self) -> dict[str, object]:
        """Parameters of the commit."""
        return {
            "mapping": self.mapping,
            "mapping_sha256": self.mapping_sha256,
            "ds": self.window.ds,
            "shift_days": self.window.shift_days,
        }


@dataclass(frozen=True)
class _Written:
    """One partition whose files are written and audited.

    A commit that stands already, or one to be made.
    """

    name: str
    standing: Commit | None
    publish: Callable[[], Commit]


def publish(
    connection: duckdb.DuckDBPyConnection, lake: Lake, staged: list[Staged], lineage: Lineage
) -> dict[str, tuple[list[Commit], int]]:
    """Write and publish every dataset.

    Returns dataset -> (commits that now stand, how many of them are new). All files of all datasets are
    written and audited before the first commit is made, so what fails fails before anything can be seen.
    Logs come first: whoever must not be contacted is known before an address is.

    Raises:
        AngeliaError: nothing was published; or, where the store failed between two commits, how many were.
    """
    names = list(dict.fromkeys(item.output.dataset for item in staged))
    names.sort(key=lambda name: dataset(name).partition != ("log",))
    results: dict[str, tuple[list[Commit], int]] = {name: ([], 0) for name in names}
    with ExitStack() as attempts:
        written = [
            partition
            for name in names
            for partition in _dataset(
                connection,
                lake,
                name,
                [item for item in staged if item.output.dataset == name],
                lineage,
                attempts,
            )
        ]
        for n_done, partition in enumerate(written):
            try:
                # Equal content stands already after a run that failed: only the rest is published.
                commit = partition.standing or partition.publish()
            except AngeliaError as error:
                raise AngeliaError(
                    f"{error.message}; {n_done} of {len(written)} partitions are published",
                    fix="run the same command again: it publishes the others",
                ) from None
            commits, n_new = results[partition.name]
            results[partition.name] = ([*commits, commit], n_new + (partition.standing is None))
    return results


def _dataset(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    name: str,
    staged: list[Staged],
    lineage: Lineage,
    attempts: ExitStack,
) -> list[_Written]:
    """Write the files of a dataset, one attempt a partition."""
    contract = dataset(name)
    if any(item.output.empty for item in staged):
        table = arrow.schema(contract).empty_table()
        return [_write(lake, name, lineage.window.ds, [table], {}, lineage, attempts)]
    union = " UNION ALL BY NAME ".join(f"SELECT * FROM {item.table}" for item in staged)
    connection.execute(f"CREATE OR REPLACE TEMP VIEW every_row AS {union}")
    if contract.partition == ("log",):
        return _log(connection, lake, name, attempts)
    days = connection.sql(
        "SELECT CAST(__day AS VARCHAR), count(*) FROM every_row WHERE __filtered IS NULL AND "
        "__rejected IS NULL GROUP BY 1 ORDER BY 1"
    ).fetchall()
    rejects = _rejects_by_day(connection, [day for day, _ in days])
    for item in staged:
        if days and BROKEN_LINE in item.rejected:
            # A line that could not be read has no day; it counts with the newest, so none is lost unseen.
            last = rejects.setdefault(days[-1][0], {})
            last[BROKEN_LINE] = last.get(BROKEN_LINE, 0) + item.rejected[BROKEN_LINE]
    columns = ", ".join(quote(column) for column in contract.names)
    order = ", ".join(quote(column) for column in contract.key)
    written = []
    for day, n_rows in days:
        query = (
            f"SELECT {columns} FROM every_row WHERE __filtered IS NULL AND __rejected IS NULL AND "
            f"__day = CAST($day AS DATE) ORDER BY {order} LIMIT {ROWS_PER_FILE}"
        )
        tables = (
            connection.sql(f"{query} OFFSET {offset}", params={"day": day}).to_arrow_table()
            for offset in range(0, n_rows, ROWS_PER_FILE)
        )
        written.append(_write(lake, name, day, tables, rejects.get(day, {}), lineage, attempts))
    return written


def _rejects_by_day(connection: duckdb.DuckDBPyConnection, days: list[str]) -> dict[str, dict[str, int]]:
    """Count rejects under the day they belong to.

    Those without a day that is written count under the last one.
    """
    by_day: dict[str, dict[str, int]] = {}
    rows = connection.sql(
        "SELECT CAST(__day AS VARCHAR), __rejected, count(*) FROM every_row WHERE __filtered IS "
        "NULL AND __rejected IS NOT NULL "
        "GROUP BY 1, 2 ORDER BY 1, 2"
    ).fetchall()
    for day, reason, n in rows:
        if days:
            counted = by_day.setdefault(day if day in days else days[-1], {})
            counted[reason] = counted.get(reason, 0) + n
    return by_day


def _write(
    lake: Lake,
    name: str,
    day: str,
    tables: Iterable[pa.Table],
    rejects: Mapping[str, int],
    lineage: Lineage,
    attempts: ExitStack,
) -> _Written:
    partition = {"ds": day}
    if dataset(name).partition != ("ds",):
        partition |= {"source": "import", "part": lineage.mapping}
    standing = lake.head(name, **partition)
    meta = {"files": dict(sorted(lineage.files.items()))}
    attempt = attempts.enter_context(lake.attempt(name, **partition))
    for number, table in enumerate(tables):
        attempt.write(_cast(table, name), f"part-{number:04d}.parquet")
    if standing is None or not _says_the_same(lake, standing, attempt.files, lineage, meta, rejects):
        standing = None
        attempt.audit()
    return _Written(
        name, standing, lambda: attempt.publish(params=lineage.params, meta=meta, rejects=rejects)
    )


def _says_the_same(
    lake: Lake,
    standing: Commit,
    files: list[FileEntry],
    lineage: Lineage,
    meta: Mapping[str, object],
    rejects: Mapping[str, int],
) -> bool:
    """Return whether a commit holds the same bytes from the same source, undamaged.

    Then there is nothing new to say.
    """
    same = (
        standing.branch == lake.branch
        and not standing.erased
        and [entry.sha256 for entry in standing.files]
        == [entry.sha256 for entry in sorted(files, key=lambda entry: entry.path)]
        and dict(standing.params) == lineage.params
        and dict(standing.meta) == dict(meta)
        and dict(standing.rejects) == dict(rejects)
    )
    if not same:
        return False
    try:
        for entry in standing.files:
            lake.check_bytes(entry)
    except Corrupt:
        return False
    return True


def _cast(table: pa.Table, name: str) -> pa.Table:
    return table.cast(pa.schema([pa.field(c.name, c.type) for c in dataset(name).columns]))


def _log(connection: duckdb.DuckDBPyConnection, lake: Lake, name: str, attempts: ExitStack) -> list[_Written]:
    contract = dataset(name)
    columns = ", ".join(quote(column) for column in contract.names)
    table = connection.sql(
        f"SELECT {columns} FROM every_row WHERE __filtered IS NULL AND __rejected IS NULL ORDER "
        f"BY {quote(contract.key[0])}"
    ).to_arrow_table()
    if not table.num_rows:
        return []
    attempt = attempts.enter_context(lake.attempt(name, log=LOG))
    attempt.write(_cast(table, name), "entries.parquet")
    attempt.audit()
    return [_Written(name, None, lambda: attempt.publish(params={"entry": attempt.nonce}))]
