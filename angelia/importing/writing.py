"""Publish staged rows: one commit per partition, sorted by key, so that the same files give the same bytes.

Writes the source datasets through the lake. An import replaces the partitions it has rows for; a second
import of the same files finds its own commits and adds none. `suppressions` is a log: entries already in it
are not appended again.
"""
# ruff: noqa: S608 - statements are made of quoted identifiers of contracts and names of our own; every value is a parameter.

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts import arrow, dataset
from angelia.errors import Corrupt
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


def publish(
    connection: duckdb.DuckDBPyConnection, lake: Lake, staged: list[Staged], lineage: Lineage
) -> dict[str, tuple[list[Commit], int]]:
    """Write and publish every dataset; return dataset -> (commits that now stand, how many of them are
    new)."""
    return {
        name: _dataset(
            connection, lake, name, [item for item in staged if item.output.dataset == name], lineage
        )
        for name in dict.fromkeys(item.output.dataset for item in staged)
    }


def _dataset(
    connection: duckdb.DuckDBPyConnection, lake: Lake, name: str, staged: list[Staged], lineage: Lineage
) -> tuple[list[Commit], int]:
    contract = dataset(name)
    if any(item.output.empty for item in staged):
        commit, is_new = _commit(
            lake, name, lineage.window.ds, [arrow.schema(contract).empty_table()], {}, lineage
        )
        return [commit], int(is_new)
    union = " UNION ALL BY NAME ".join(f"SELECT * FROM {item.table}" for item in staged)
    connection.execute(f"CREATE OR REPLACE TEMP VIEW every_row AS {union}")
    if contract.partition == ("log",):
        return _log(connection, lake, name, lineage)
    days = connection.sql(
        "SELECT CAST(__day AS VARCHAR), count(*) FROM every_row WHERE __filtered IS NULL AND "
        "__rejected IS NULL GROUP BY 1 ORDER BY 1"
    ).fetchall()
    rejects = _rejects_by_day(connection, [day for day, _ in days])
    for item in staged:
        if days and BROKEN_LINE in item.rejected:
            last = rejects.setdefault(days[-1][0], {})
            last[BROKEN_LINE] = last.get(BROKEN_LINE, 0) + item.rejected[BROKEN_LINE]
    columns = ", ".join(quote(column) for column in contract.names)
    order = ", ".join(quote(column) for column in contract.key)
    commits, n_new = [], 0
    for day, n_rows in days:
        tables = []
        for offset in range(0, n_rows, ROWS_PER_FILE):
            query = (
                f"SELECT {columns} FROM every_row WHERE __filtered IS NULL AND __rejected IS NULL AND "
                f"__day = CAST($day AS DATE) ORDER BY {order}"
            )
            query += f" LIMIT {ROWS_PER_FILE} OFFSET {offset}"
            tables.append(connection.sql(query, params={"day": day}).to_arrow_table())
        commit, is_new = _commit(lake, name, day, tables, rejects.get(day, {}), lineage)
        commits.append(commit)
        n_new += is_new
    return commits, n_new


def _rejects_by_day(connection: duckdb.DuckDBPyConnection, days: list[str]) -> dict[str, dict[str, int]]:
    """Count rejects under the day they belong to; those without a day that is written, under the last one."""
    found: dict[str, dict[str, int]] = {}
    rows = connection.sql(
        "SELECT CAST(__day AS VARCHAR), __rejected, count(*) FROM every_row WHERE __filtered IS "
        "NULL AND __rejected IS NOT NULL "
        "GROUP BY 1, 2 ORDER BY 1, 2"
    ).fetchall()
    for day, reason, n in rows:
        if days:
            counted = found.setdefault(day if day in days else days[-1], {})
            counted[reason] = counted.get(reason, 0) + n
    return found


def _commit(
    lake: Lake, name: str, day: str, tables: list[pa.Table], rejects: Mapping[str, int], lineage: Lineage
) -> tuple[Commit, bool]:
    partition = {"ds": day}
    if dataset(name).partition != ("ds",):
        partition |= {"source": "import", "part": lineage.mapping}
    standing = lake.head(name, **partition)
    meta = {"files": dict(sorted(lineage.files.items()))}
    with lake.attempt(name, **partition) as attempt:
        for number, table in enumerate(tables):
            attempt.write(_cast(table, name), f"part-{number:04d}.parquet")
        if standing is not None and _says_the_same(lake, standing, attempt.files, lineage, meta, rejects):
            return standing, False
        return attempt.publish(params=lineage.params, meta=meta, rejects=rejects), True


def _says_the_same(
    lake: Lake,
    standing: Commit,
    files: list[FileEntry],
    lineage: Lineage,
    meta: Mapping[str, object],
    rejects: Mapping[str, int],
) -> bool:
    """Return whether a commit holds the same bytes from the same source, undamaged: then there is nothing new
    to say.
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


def _log(
    connection: duckdb.DuckDBPyConnection, lake: Lake, name: str, lineage: Lineage
) -> tuple[list[Commit], int]:
    contract = dataset(name)
    columns = ", ".join(quote(column) for column in contract.names)
    table = connection.sql(
        f"SELECT {columns} FROM every_row WHERE __filtered IS NULL AND __rejected IS NULL ORDER "
        f"BY {quote(contract.key[0])}"
    ).to_arrow_table()
    known = lake.read_log(name)[contract.key[0]]
    table = table.filter(pc.invert(pc.is_in(table[contract.key[0]], value_set=known.combine_chunks())))
    if not table.num_rows:
        return [], 0
    return [lake.append_log(name, _cast(table, name))], 1
