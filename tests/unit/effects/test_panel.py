"""The panel of nights: money's cap, instants of nights, and refusals without a value."""

from __future__ import annotations

from datetime import date

import duckdb
import pytest

from angelia.effects.panel import MoneyCap, Panel, not_made
from angelia.effects.sources import NightScope

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
