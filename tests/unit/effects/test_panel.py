"""The panel of nights: money's cap, instants of nights, and refusals without a value."""

from __future__ import annotations

from datetime import date

import duckdb
import pytest

from angelia.effects.panel import MoneyCap, Panel, not_made
from angelia.effects.sources import NightScope
from angelia.effects.tables import make_table

DAYS = ("2026-11-14", "2026-11-15", "2026-11-18")


def panel(until: str) -> Panel:
    nights = tuple(NightScope.of(ds, 28, None) for ds in DAYS)
    return Panel(nights, date.fromisoformat(until), {}, {}, {}, MoneyCap(None, "none", 0, 0.0), None)


def test_nights_stand_at_their_distance_from_the_first() -> None:
    assert panel("2026-11-30").offsets == [0, 1, 4]


@pytest.mark.parametrize(("until", "is_growing"), [("2026-11-20", True), ("2026-11-21", False)])
def test_a_panel_grows_until_the_last_window_ends(until: str, is_growing: bool) -> None:
    # The last night's window ends on the 21st at four.
    assert panel(until).is_growing is is_growing


def refused(sql: str) -> str:
    with pytest.raises(duckdb.Error) as error:
        duckdb.sql(sql).fetchall()
    return not_made(error.value).one_line()


def test_what_the_engine_refuses_shows_no_value() -> None:
    line = refused("SELECT CAST('ada@example.org' AS INTEGER)")
    assert "ada" not in line
    assert "a value could not be converted" in line
    assert "angelia lake verify" in line
    line = refused("SELECT nothing FROM range(3)")
    assert "nothing" not in line
    assert line.startswith("the panel's tables cannot be made: Binder Error")


@pytest.mark.parametrize(("night", "n", "mean"), [(5, 0, None), (6, 3, 2 / 3), (8, 4, 1 / 2)])
def test_retention_counts_those_whose_day_has_come(night: int, n: int, mean: float | None) -> None:
    entries = {"a": 0, "b": 0, "early": 0, "late": 2, "later": 3}
    # `early` came a day before and a day after; `late` on the fifth of their own days.
    active = [("a", 7), ("b", 7), ("early", 6), ("early", 8), ("late", 7), ("later", 10)]
    with duckdb.connect() as connection:
        for name, columns, rows in (
            (
                "panel",
                "scope, user_id, is_holdout, entry",
                [("all", u, False, e) for u, e in entries.items()],
            ),
            (
                "panel_days",
                "user_id, bucket, has_converted, amount, is_active, has_unsubscribed",
                [(user, bucket, 0, 0.0, 1, 0) for user, bucket in active],
            ),
            ("panel_history", "user_id, converted, revenue, active_days", [("a", 0, 0.0, 3)]),
        ):
            marks = ", ".join(["(" + ", ".join("?" * len(rows[0])) + ")"] * len(rows))
            values = [value for row in rows for value in row]
            connection.execute(
                f"CREATE TABLE {name} AS SELECT * FROM (VALUES {marks}) AS t({columns})", values
            )
        make_table(connection, "panel_moments", {"night": night, "night_before": night - 1, "cap": 1.0})
        rows = connection.execute(
            "SELECT n, mean_y, mean_x FROM panel_moments WHERE metric = 'retained_7'"
        ).fetchall()
    assert [row[:2] for row in rows] == ([(n, pytest.approx(mean))] if n else [])
    assert all(row[2] == pytest.approx(3 / n) for row in rows)
