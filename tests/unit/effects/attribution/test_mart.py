"""The mart from a lake of four people and two nights, every figure counted by hand."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.effects.attribution import mart
from angelia.effects.attribution.mart import TABLES, refresh
from angelia.effects.tables import SQL, parse_checks
from angelia.lake import Lake, attempt
from tests.unit.effects.attribution.conftest import NEXT, Story
from tests.unit.effects.conftest import DS, START, put

SENT = {"n_pairs": 1, "n_planned": 1, "n_sent": 1}
DIMENSIONS = ("campaign_id", "side", "channel", "country", "device_vendor", "tenure")


def cells(
    connection: duckdb.DuckDBPyConnection, lake: Lake, ds: str
) -> dict[tuple[Any, ...], dict[str, Any]]:
    rows = lake.read(lake.require("effects_mart", ds=ds)).to_pylist()
    return {tuple(row[name] for name in DIMENSIONS): row for row in rows}


def figures(row: dict[str, Any]) -> dict[str, Any]:
    return {name: n for name, n in row.items() if name.startswith("n_") and n} | {
        name: row[name] for name in ("conversion_value", "pair_value") if row[name]
    }


def make(connection: duckdb.DuckDBPyConnection, lake: Lake, *days: str) -> list[Any]:
    return refresh(connection, lake, days or [DS, NEXT], lead_hours=28, conversion="purchase")


def test_every_figure_by_hand(connection: Any, lake: Lake, story: Story) -> None:
    make(connection, lake)
    first = cells(connection, lake, DS)
    assert figures(first["plain", "treated", "fcm", "DE", "oppo", "new"]) == {
        **SENT, "n_delivered": 1, "n_conversions": 1, "conversion_value": 20.0,
        "n_pairs_converted": 1, "pair_value": 90.0,
    }  # fmt: skip
    assert figures(first["shown", "treated", "fcm", "DE", "oppo", "new"]) == {
        **SENT, "n_displayed": 1, "n_influenced": 1, "n_conversions": 1,
        "conversion_value": 10.0, "n_pairs_converted": 1, "pair_value": 90.0,
    }  # fmt: skip
    assert figures(first["order", "treated", "fcm", "DE", "oppo", "new"]) == {
        **SENT, "n_unsubscribed": 1, "n_pairs_converted": 1, "pair_value": 90.0,
    }  # fmt: skip
    assert figures(first["plain", "treated", "email", "DE", "apple", "known"]) == {
        **SENT, "n_conversions": 1, "conversion_value": 30.0, "n_unsubscribed": 1,
        "n_complained": 1, "n_pairs_converted": 1, "pair_value": 30.0,
    }  # fmt: skip
    assert figures(first["other", "treated", "fcm", "DE", "apple", "known"]) == {
        **SENT, "n_opened": 1, "n_conversions": 1, "n_pairs_converted": 1,
    }  # fmt: skip
    assert figures(first["plain", "treated", "fcm", "CN", "oppo", "unknown"]) == {
        **SENT, "n_bounced": 1, "n_pairs_converted": 1, "pair_value": 40.0,
    }  # fmt: skip
    assert figures(first["shown", "treated", None, "CN", "oppo", "unknown"]) == {
        "n_pairs": 1, "n_pairs_converted": 1, "pair_value": 40.0,
    }  # fmt: skip
    assert figures(first["plain", "holdout_global", None, None, None, "new"]) == {
        "n_pairs": 1, "n_pairs_converted": 1, "pair_value": 50.0,
    }  # fmt: skip
    assert len(first) == 8  # opted out: in no cell
    second = cells(connection, lake, NEXT)["plain", "treated", "fcm", "DE", "oppo", "new"]
    assert (second["n_sent"], second["n_conversions"], second["conversion_value"]) == (1, 1, 60.0)
    assert second["send_hour"] == datetime(2026, 11, 16, 6, tzinfo=UTC)


def test_what_came_by_rest_takes_credit_in_no_cell(connection: Any, lake: Lake, story: Story) -> None:
    row = {**story.ledger[DS][0], "message_id": "f" * 32, "sent_ts": START + timedelta(hours=4.5)}
    table = pa.Table.from_pylist([row], schema=arrow.schema(dataset("delivery_ledger")))
    put(lake, "delivery_ledger", table, ds=DS, send_hour="2026-11-15T08", part=f"{'a' * 32}.0000")
    commit = make(connection, lake)[0].commit
    assert commit.rejects == {"sent without a decision": 1}
    planned = cells(connection, lake, DS)["plain", "treated", "fcm", "DE", "oppo", "new"]
    assert (planned["n_sent"], planned["n_conversions"]) == (1, 0)  # the purchase at 4.6 is the later one's


def test_a_night_alone_gets_what_it_gets_among_others(connection: Any, lake: Lake, story: Story) -> None:
    together = make(connection, lake)
    both = [lake.read(made.commit) for made in together]
    for ds in (DS, NEXT):
        with lake.attempt("effects_mart", ds=ds) as attempt:  # an older mart, which is not up to date
            attempt.write(both[0].slice(0, 0), "part-0000.parquet")
            attempt.publish()
    alone = [lake.read(make(connection, lake, ds)[0].commit) for ds in (DS, NEXT)]
    assert alone == both


def test_nothing_new_makes_no_commit_and_late_rows_do(connection: Any, lake: Lake, story: Story) -> None:
    assert [made.is_new for made in make(connection, lake)] == [True, True]
    assert [made.is_new for made in make(connection, lake)] == [False, False]
    story.receipts[NEXT] = []
    story.did("late", 2, "purchase", 27.0, 5.0, day="2026-11-19")  # of the second night: credited to nobody
    story.answer(NEXT, 0, "plain", "opened", 27.0)
    story.events = {"2026-11-19": story.events["2026-11-19"]}
    table = pa.Table.from_pylist(story.receipts[NEXT], schema=arrow.schema(dataset("push_receipts")))
    put(lake, "push_receipts", table, ds=NEXT, source="receive", part="0001")
    table = pa.Table.from_pylist(story.events["2026-11-19"], schema=arrow.schema(dataset("user_events")))
    put(lake, "user_events", table, ds="2026-11-19")
    assert [made.is_new for made in make(connection, lake)] == [True, True]
    row = cells(connection, lake, NEXT)["plain", "treated", "fcm", "DE", "oppo", "new"]
    assert row["n_opened"] == 1


def test_only_what_makes_marts_makes_them_stale(
    connection: Any, lake: Lake, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(connection, lake)
    monkeypatch.setattr(attempt, "code_version", lambda: "another release")
    assert [made.is_new for made in make(connection, lake)] == [False, False]
    monkeypatch.setattr(mart, "made_by", lambda: "another query")
    assert [made.is_new for made in make(connection, lake)] == [True, True]


def test_each_source_of_a_mart_is_in_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(SQL, tmp_path / "sql")
    monkeypatch.setattr(mart, "SQL", tmp_path / "sql")
    before = mart.made_by.__wrapped__()
    for name in TABLES:
        (tmp_path / "sql" / name / "query.sql").write_text("SELECT 1", "utf-8")
        after = mart.made_by.__wrapped__()
        assert after != before, name
        before = after


def test_the_commit_says_how_complete_it_is(connection: Any, lake: Lake, story: Story) -> None:
    complete, second = (made.commit.meta["complete"] for made in make(connection, lake))
    assert second["windows_passed_pct"] == 75  # its one window is open from hour 26 to 50; events reach 44
    assert complete["n_sent"] == 6
    assert complete["n_touches"] == 5  # one bounced; `order` touches without taking credit
    assert not complete["is_final"]
    assert complete["missing_days"] == []
    nothing = arrow.schema(dataset("user_events")).empty_table()
    put(lake, "user_events", nothing, ds="2026-11-19")
    complete = make(connection, lake)[0].commit.meta["complete"]
    assert complete["missing_days"] == ["2026-11-17", "2026-11-18"]
    assert not complete["is_final"]
    for day in ("2026-11-17", "2026-11-18"):
        put(lake, "user_events", nothing, ds=day)
    complete = make(connection, lake)[0].commit.meta["complete"]
    assert complete["windows_passed_pct"] == 100
    assert (complete["last_arrival"], complete["is_final"]) == ("2026-11-19", True)


def test_every_table_of_attribution_has_checks() -> None:
    for name in TABLES:
        assert parse_checks(name, (SQL / name / "checks.sql").read_text("utf-8"))
