"""The report's tables: lift, intervals and hours recomputed in NumPy; checks that run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from angelia.commands.report import run_report
from angelia.config import load_settings
from angelia.effects.attribution.mart import TABLES
from angelia.effects.panel import PANEL
from angelia.effects.tables import ORDER, SQL, parse_checks
from angelia.errors import InvalidInput
from angelia.lake import Lake

DS = "2026-11-14"
BEFORE_HOLDOUTS = ("suppressed", "opted_out", "unreachable")
pytestmark = pytest.mark.usefixtures("settings_home")  # each test writes below its own home


def test_lift_is_that_of_everyone_eligible_by_their_side(lake: Lake, night: Any) -> None:
    """Means and intervals again, in NumPy, from the rows that were written."""
    run_report(load_settings(), DS)
    events = pa.concat_tables(
        [lake.read(lake.require("user_events", ds=day)) for day in ("2026-11-15", "2026-11-16")]
    ).to_pylist()
    days: dict[str, set[str]] = {}
    buyers = {event["user_id"] for event in events if event["event_type"] == "purchase"}
    for event in events:
        days.setdefault(event["user_id"], set()).add(f"{event['event_ts']:%Y-%m-%d}")
    sides: dict[bool, list[int]] = {True: [], False: []}
    for i, choices in enumerate(night.choices):
        eligible = [
            c for c in choices if c["campaign_id"] != "order_update" and c["outcome"] not in BEFORE_HOLDOUTS
        ]
        if eligible:
            sides[any(c["outcome"] == "holdout_global" for c in eligible)].append(i)
    name = "u{:07d}".format
    reached = np.array([len(days.get(name(i), ())) for i in sides[False]], float)
    held = np.array([len(days.get(name(i), ())) for i in sides[True]], float)
    half = 1.96 * np.sqrt(reached.var(ddof=1) / len(reached) + held.var(ddof=1) / len(held))
    row = _lift(lake, "active_days")
    assert (row["n_treated"], row["n_holdout"]) == (len(reached), len(held))
    assert row["difference"] == pytest.approx(reached.mean() - held.mean())
    assert row["low"] == pytest.approx(reached.mean() - held.mean() - half)
    assert row["high"] == pytest.approx(reached.mean() - held.mean() + half)
    assert row["low"] > 0  # being told was planted as one and a half events a person more
    row = _lift(lake, "converted")
    p, q = (np.mean([name(i) in buyers for i in side]) for side in (sides[False], sides[True]))
    (l1, u1), (l2, u2) = _wilson(p, len(reached)), _wilson(q, len(held))
    assert row["difference"] == pytest.approx(p - q)
    assert row["low"] == pytest.approx(p - q - np.hypot(p - l1, u2 - q), abs=1e-9)
    assert row["high"] == pytest.approx(p - q + np.hypot(u1 - p, q - l2), abs=1e-9)


def _wilson(p: float, n: int) -> tuple[float, float]:
    z = 1.96
    middle, half = (
        (p + z * z / (2 * n)) / (1 + z * z / n),
        z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n),
    )
    return middle - half, middle + half


def _lift(lake: Lake, metric: str) -> dict[str, Any]:
    return next(
        row for row in _table(lake, "holdout_lift") if row["scope"] == "all" and row["metric"] == metric
    )


def _table(lake: Lake, name: str) -> tuple[dict[str, Any], ...]:
    import duckdb

    from angelia.effects.sources import find_sources, register
    from angelia.effects.tables import run_tables

    sources = find_sources(lake, DS, 28)
    with duckdb.connect() as connection:
        register(connection, lake, sources)
        return run_tables(connection, sources.night, "purchase")[0][name].rows


def test_the_oracle_matches_newcombes_published_example() -> None:
    """Newcombe 1998, table II, contrast (a) 56/70 - 48/80, method 10: 0.0524 to 0.3339."""
    (l1, u1), (l2, u2) = _wilson(56 / 70, 70), _wilson(48 / 80, 80)
    p, q = 56 / 70, 48 / 80
    assert p - q - np.hypot(p - l1, u2 - q) == pytest.approx(0.0524, abs=5e-5)
    assert p - q + np.hypot(u1 - p, q - l2) == pytest.approx(0.3339, abs=5e-5)


def test_hours_are_the_planned_day(lake: Lake, night: Any) -> None:
    rows = _table(lake, "sends_by_hour")
    assert len(rows) == 24
    assert f"{rows[0]['hour']:%Y-%m-%dT%H}" == "2026-11-15T04"
    assert sum(row["planned"] for row in rows) == len(night.manifest)
    assert sum(row["sent"] for row in rows) == night.n_accepted
    assert sum(row["opened"] for row in rows) == night.n_opened


def test_every_table_has_its_place_and_checks() -> None:
    assert sorted(path.name for path in SQL.iterdir() if path.is_dir()) == sorted((*ORDER, *PANEL, *TABLES))
    for name in (*ORDER, *PANEL):
        assert parse_checks(name, (SQL / name / "checks.sql").read_text("utf-8"))


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1;",
        "-- check: x\nSELECT 1;",
        "SELECT 0;\n-- check: a\n-- severity: critical\n-- says\nSELECT 1;",
    ],
)
def test_a_check_nobody_would_run_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="each check begins"):
        parse_checks("funnel", text)
