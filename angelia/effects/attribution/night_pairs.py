"""A planned night's pairs by number, as the DuckDB relation `decided_pairs`.

Reads decided_pairs, else decisions: a plan of before that dataset came, or one whose job was killed between
its two commits. Grain: person.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa

from angelia.contracts import dataset
from angelia.contracts.duckdb import identifier, sql_type
from angelia.contracts.planned.pairs import DECIDED_PAIRS, PairWords, number_pairs
from angelia.effects.sources import view
from angelia.lake import Commit, Lake
from angelia.lake.commit import FileEntry

_FROM_PLAN = "pairs_of_plan"  # a temporary table, so that a large night may leave memory


def find_pairs(lake: Lake, plan: Commit) -> Commit | None:
    """Return the commit of the plan's pairs, if there is one.

    It need not be the newest: a plan may be made again, and not sent.
    """
    made = lake.history(DECIDED_PAIRS.name, ds=plan.partition["ds"])
    return next((commit for commit in reversed(made) if plan.citation() in commit.inputs), None)


def register_pairs(connection: duckdb.DuckDBPyConnection, lake: Lake, plan: Commit) -> dict[str, list[str]]:
    """Make `decided_pairs` of a plan; return the words behind its numbers, by kind."""
    pairs = find_pairs(lake, plan)
    if pairs is not None:
        view(connection, lake, DECIDED_PAIRS.name, [pairs])
        words = PairWords.of(pairs.meta)
    else:
        words = _from_plan(connection, lake, plan)
    return words.by_kind()


def _from_plan(connection: duckdb.DuckDBPyConnection, lake: Lake, plan: Commit) -> PairWords:
    # Numbers count arms, so all words are known before the first is numbered.
    words = PairWords()
    for entry in plan.files:
        words = words.with_words_of(_decided(lake, entry))
    columns = ", ".join(f"{identifier(c.name)} {sql_type(c.type)}" for c in DECIDED_PAIRS.columns)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {_FROM_PLAN} ({columns})")
    for entry in plan.files:
        # A file at a time: numbers are small, but the lists they are read from are not.
        connection.register("numbered_pairs", number_pairs(_decided(lake, entry), words))
        connection.execute(f"INSERT INTO {_FROM_PLAN} BY NAME SELECT * FROM numbered_pairs")  # noqa: S608
        connection.unregister("numbered_pairs")
    connection.execute(f"CREATE OR REPLACE VIEW {DECIDED_PAIRS.name} AS SELECT * FROM {_FROM_PLAN}")  # noqa: S608
    return words


def _decided(lake: Lake, entry: FileEntry) -> pa.Table:
    return lake.read_file(entry, ["ordinal", "choices"], contract=dataset("decisions"))
