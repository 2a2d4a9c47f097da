"""Commits as DuckDB views: the newest, all of a log, the head of a chain, and none at all."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from angelia.contracts.rows import valid_rows
from angelia.lake import Commit, Lake
from angelia.lake.views import newest, open_views
from tests.user_index import append_people

DS = "2026-11-14"


def publish(lake: Lake, name: str, n: int, **leaf: str) -> Commit:
    with lake.attempt(name, **leaf) as attempt:
        attempt.write(valid_rows(name, n), "part-0000.parquet")
        attempt.publish()
        return lake.require(name, **leaf)


def rows(views: Any, name: str) -> int:
    return int(views.connection.execute(f'SELECT count(*) FROM "{name}"').fetchall()[0][0])


def test_the_newest_of_a_day_is_seen_and_no_earlier_state(lake: Lake) -> None:
    publish(lake, "user_days", 20, ds=DS)
    standing = publish(lake, "user_days", 7, ds=DS)
    publish(lake, "user_days", 5, ds="2026-11-13")
    assert newest(lake, "user_days", DS) == (standing,)
    assert newest(lake, "user_days", "2026-11-12") == ()
    with open_views(lake) as views:
        view = views.add("user_days", newest(lake, "user_days", DS))
        assert rows(views, "user_days") == 7
        assert (view.citations, [n for _, n in view.parts]) == ([standing.citation()], [7])


def test_a_log_is_all_its_entries_and_a_chain_its_head(lake: Lake) -> None:
    for seed in (1, 2):
        lake.append_log("stops", valid_rows("stops", 3, seed=seed))
    head = None
    for first in (0, 10):
        names = [f"u{i}" for i in range(first, first + 10)]
        table = pa.table({"user_id": names, "ordinal": pa.array(range(first, first + 10), pa.uint32())})
        head = append_people(lake, [table], expected=head, shard_bits=8)
    with open_views(lake) as views:
        for name in ("stops", "user_index"):
            views.add(name, newest(lake, name, DS))
        assert (rows(views, "stops"), rows(views, "user_index")) == (6, 20)
    assert newest(lake, "user_index", DS) == (head,)


def test_every_leaf_of_a_day_is_in_one_view(lake: Lake) -> None:
    for part in ("a", "b"):
        publish(lake, "delivery_ledger", 4, ds=DS, send_hour="2026-11-15T04", part=part)
    with open_views(lake) as views:
        views.add("delivery_ledger", newest(lake, "delivery_ledger", DS))
        assert rows(views, "delivery_ledger") == 8


def test_a_dataset_without_commits_is_an_empty_view(lake: Lake) -> None:
    with open_views(lake) as views:
        assert views.add("user_days", ()).parts == ()
        described = views.connection.execute('DESCRIBE "user_days"').fetchall()
        assert [row[0] for row in described] == valid_rows("user_days", 1).column_names
        assert rows(views, "user_days") == 0


def test_the_connection_is_closed_with_its_views(lake: Lake) -> None:
    with open_views(lake) as views:
        assert views.connection.execute("SELECT 1").fetchall() == [(1,)]
    with pytest.raises(Exception, match="closed"):
        views.connection.execute("SELECT 1")
