"""Committed partitions as DuckDB views, for counting and for looking at rows.

Reads the newest commits of datasets; writes nothing but DuckDB's temporary files. Surprise: files on S3 are
read from the lake's local copies (`Lake.paths`), so that much disk must be free.
"""
# ruff: noqa: S608 - the statements are made of quoted identifiers and literals; paths are those of our own commits.

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb

from angelia.contracts import dataset
from angelia.contracts.core import CHAIN, LOG
from angelia.contracts.duckdb import identifier, literal, sql_type
from angelia.lake import Commit, Lake


@dataclass(frozen=True)
class View:
    """One dataset's rows on a connection; the view bears the dataset's name.

    `parts` are (SELECT, rows) per file.
    """

    name: str
    commits: tuple[Commit, ...]
    parts: tuple[tuple[str, int], ...]

    @property
    def citations(self) -> list[str]:
        """Names and contents of the commits that were read."""
        return [commit.citation() for commit in self.commits]


def newest(lake: Lake, name: str, ds: str) -> tuple[Commit, ...]:
    """Return the newest commits that hold a dataset on a day.

    They are one, or one per leaf; all entries of a log; the head of a chain.
    """
    keys = dataset(name).partition
    if keys[0] == "log":
        return tuple(lake.history(name, log=LOG))
    leaves = (
        [{"chain": CHAIN}]
        if keys[0] == "chain"
        else [{"ds": ds}]
        if len(keys) == 1
        else lake.partitions(name, ds=ds)
    )
    return tuple(commit for leaf in leaves if (commit := lake.head(name, **leaf)) is not None)


class Views:
    """A DuckDB connection with views over commits."""

    def __init__(self, lake: Lake, connection: duckdb.DuckDBPyConnection) -> None:
        self.lake, self.connection = lake, connection

    def add(self, name: str, commits: Sequence[Commit]) -> View:
        """Make the view of a dataset over its commits' files, whatever their schemas are."""
        # hive_partitioning would add `ds` from the path; a column of that name must come from the file.
        paths = [path for commit in commits for path in self.lake.paths(commit)]
        rows = [entry.rows for commit in commits for entry in commit.files]
        parts = tuple(
            (f"SELECT * FROM read_parquet({literal(path)}, hive_partitioning=false)", n)
            for path, n in zip(paths, rows, strict=True)
        )
        if parts:
            files = ", ".join(map(literal, paths))
            body = f"SELECT * FROM read_parquet([{files}], hive_partitioning=false, union_by_name=true)"
        else:
            nothing = ", ".join(
                f"CAST(NULL AS {sql_type(column.type)}) AS {identifier(column.name)}"
                for column in dataset(name).columns
            )
            body = f"SELECT {nothing} WHERE FALSE"
        self.connection.execute(f"CREATE OR REPLACE VIEW {identifier(name)} AS {body}")
        return View(name, tuple(commits), parts)


@contextmanager
def scratch_connection(purpose: str, **settings: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a DuckDB connection with settings; its temporary files go when it closes."""
    with tempfile.TemporaryDirectory(prefix=f"angelia-{purpose}-") as folder:
        connection = duckdb.connect(config={"temp_directory": folder, **settings})
        # A bar of progress would stand in the standard output, before the JSON.
        connection.execute("SET enable_progress_bar = false")
        try:
            yield connection
        finally:
            connection.close()


@contextmanager
def open_views(lake: Lake) -> Iterator[Views]:
    """Yield views on a connection of their own."""
    with scratch_connection("quality", preserve_insertion_order="false") as connection:
        yield Views(lake, connection)
