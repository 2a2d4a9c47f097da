"""Features of an earlier release: columns that came since are null."""

import duckdb
import pyarrow.parquet as pq
import pytest

from angelia.audience.bitmaps.build import build_index
from angelia.audience.query import AudienceQuery
from angelia.contracts.rows import valid_rows
from angelia.effects.drift.stability import compare_nights
from angelia.effects.sources import view
from angelia.errors import InvalidInput
from angelia.lake import Lake
from angelia.users.index import append_users, require_index

DS, BEFORE = "2026-11-14", "2026-11-13"
N = 40


@pytest.fixture
def older(lake: Lake) -> Lake:
    """Return a lake whose night before has features without `uplift_score`."""
    rows = valid_rows("user_features", N).sort_by("ordinal")
    append_users(lake, rows.select(["user_id"]), seen=None, shard_bits=8)
    for ds in (BEFORE, DS):
        with lake.attempt("user_features", ds=ds) as attempt:
            attempt.write(rows, "part-0000.parquet", shards=(0, 0))
            attempt.publish(inputs=[require_index(lake)])
    path = lake.path_of(lake.require("user_features", ds=BEFORE).files[0])
    pq.write_table(rows.drop_columns(["uplift_score"]), path)
    return lake


def test_a_column_that_came_since_is_null(older: Lake) -> None:
    commit = older.require("user_features", ds=BEFORE)
    rows = older.read(commit, ["uplift_score", "ordinal"])
    assert rows.column_names == ["uplift_score", "ordinal"]
    assert (rows.num_rows, rows["uplift_score"].null_count) == (N, N)
    assert older.read(commit, ["uplift_score"]).num_rows == N
    newer = older.read(older.require("user_features", ds=DS), ["uplift_score"])
    assert newer["uplift_score"].null_count < N
    with pytest.raises(InvalidInput, match="has no column no_such"):
        older.read(commit, ["no_such"])


def test_a_view_of_an_old_night_and_a_new_one_has_all_columns(older: Lake) -> None:
    with duckdb.connect() as connection:
        for nights, known in (([BEFORE], 0), ([BEFORE, DS], N)):
            view(connection, older, "user_features", [older.require("user_features", ds=ds) for ds in nights])
            counts = connection.execute(
                "SELECT count(*), count(ordinal), count(uplift_score) > 0 FROM user_features"
            ).fetchone()
            assert counts == (N * len(nights), N * len(nights), known > 0)


def test_an_old_night_is_indexed_and_compared(older: Lake) -> None:
    build_index(older, BEFORE, history_days=28, spread=lambda n, work: [work(k) for k in range(n)])
    audience = AudienceQuery(older, BEFORE)
    assert audience.count("uplift_score > 0 OR uplift_score <= 0") == 0
    assert audience.count("uplift_score IS NULL") == audience.count("TRUE") == N
    shifts, _ = compare_nights(older, BEFORE, DS)
    (score,) = (shift for shift in shifts if shift.column == "uplift_score")
    assert score.null_before_pct == 100.0
