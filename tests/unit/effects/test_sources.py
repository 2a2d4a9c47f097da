"""What a report reads: the night's instants, and one commit a partition."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import duckdb

from angelia.contracts.rows import valid_rows
from angelia.effects.sources import NightScope, find_sources, view
from angelia.lake import Lake

DS = "2026-11-14"


def test_a_night_is_the_plans_own_or_the_settings() -> None:
    night = NightScope.of(DS, 28, None)
    assert night.plan_start == datetime(2026, 11, 15, 4, tzinfo=UTC)
    assert (night.plan_end, night.window_end) == (
        datetime(2026, 11, 16, 4, tzinfo=UTC),
        datetime(2026, 11, 17, 4, tzinfo=UTC),
    )
    plan: Any = SimpleNamespace(meta={"start": "2026-11-15T08:00:00+02:00"})
    assert NightScope.of(DS, 28, plan).plan_start == datetime(2026, 11, 15, 6, tzinfo=UTC)


def test_events_may_arrive_for_three_days_after_the_window() -> None:
    days = NightScope.of(DS, 28, None).event_days()
    assert (days[0], days[-1], len(days)) == ("2026-11-15", "2026-11-20", 6)


def test_a_view_holds_its_commits_and_is_empty_without_any(lake: Lake) -> None:
    commits = []
    for ds, n in (("2026-11-15", 3), ("2026-11-16", 4)):
        with lake.attempt("user_events", ds=ds) as attempt:
            attempt.write(valid_rows("user_events", n, ds=ds), "part-0000.parquet")
            commits.append(attempt.publish())
    with duckdb.connect() as connection:
        view(connection, lake, "user_events", commits)
        assert connection.sql("SELECT count(*) FROM user_events").fetchall() == [(7,)]
        view(connection, lake, "push_receipts", [])
        assert connection.sql("SELECT count(*), count(user_id) FROM push_receipts").fetchall() == [(0, 0)]


def test_a_night_without_a_plan_has_sources_of_nothing(lake: Lake) -> None:
    sources = find_sources(lake, DS, 28)
    assert sources.observed_until() is None
    assert sources.only("decisions") is None
