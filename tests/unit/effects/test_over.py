"""Effects over nights: from a lake, against the same figures from the persons themselves."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from angelia import cli
from angelia.contracts import arrow, dataset
from angelia.contracts.rows import user_name
from angelia.lake import Lake
from tests.unit.effects.conftest import DS, START, put

NEXT = "2026-11-15"
HELD = ("suppressed", "opted_out", "unreachable")
pytestmark = pytest.mark.usefixtures("settings_home")


def run(capsys: Any, *words: str) -> tuple[int, Any, str]:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["effects", *words, "--json"])
    output = capsys.readouterr()
    return int(stopped.value.code or 0), json.loads(output.out) if output.out else None, output.err


def row_of(result: Any, metric: str, scope: str = "all") -> Any:
    return next(row for row in result["effects"] if (row["scope"], row["metric"]) == (scope, metric))


def again(lake: Lake, night: Any, *, switched: int = 0) -> None:
    """Plan the next night for the same people; the first `switched` of them on the other side."""
    plan = lake.read(lake.require("decisions", ds=DS)).to_pylist()
    for row in plan[:switched]:
        for choice in row["choices"]:
            if choice["campaign_id"] != "order_update" and choice["outcome"] not in HELD:
                is_held = choice["outcome"] == "holdout_global"
                choice["outcome"] = "not_chosen" if is_held else "holdout_global"
    table = pa.Table.from_pylist(plan, schema=arrow.schema(dataset("decisions")))
    put(lake, "decisions", table, {"start": (START + timedelta(days=1)).isoformat()}, ds=NEXT)
    put(lake, "catalog_snapshot", lake.read(lake.require("catalog_snapshot", ds=DS)), ds=NEXT)


def spend(lake: Lake, day: str, rows: list[tuple[str, int, float | None, float]]) -> None:
    """Write purchases (id, person, amount, hours from START) that arrive on a day."""
    table = pa.table(
        {
            "event_id": [name for name, *_ in rows],
            "user_id": [user_name(i) for _, i, *_ in rows],
            "event_type": ["purchase"] * len(rows),
            "item": [None] * len(rows),
            "value": [amount for _, _, amount, _ in rows],
            "event_ts": [START + timedelta(hours=hours) for *_, hours in rows],
        },
        schema=arrow.schema(dataset("user_events")),
    )
    put(lake, "user_events", table, ds=day)


def sides(night: Any) -> tuple[list[int], list[int]]:
    treated, held = [], []
    for i, choices in enumerate(night.choices):
        own = [
            c["outcome"] for c in choices if c["campaign_id"] != "order_update" and c["outcome"] not in HELD
        ]
        if own:
            (held if "holdout_global" in own else treated).append(i)
    return treated, held


def test_one_night_is_what_its_report_says(lake: Lake, night: Any, capsys: Any) -> None:
    import duckdb

    from angelia.effects.sources import find_sources, register
    from angelia.effects.tables import run_tables

    with duckdb.connect() as connection:
        sources = find_sources(lake, DS, 28)
        register(connection, lake, sources)
        report = run_tables(connection, sources.night, "purchase")[0]["holdout_lift"].rows
    code, result, _ = run(capsys, "over", "--from", DS, "--to", DS)
    assert code == 0
    assert result["nights"] == [DS]
    assert result["is_growing"]
    for row in report:
        if row["metric"] == "converted":
            own = row_of(result, "converted", row["scope"])
            assert (own["n_treated"], own["n_holdout"]) == (row["n_treated"], row["n_holdout"])
            assert own["mean_treated"] - own["mean_holdout"] == pytest.approx(row["difference"])
    own = row_of(result, "converted")
    assert own["adjusted"] is None
    assert "first plan (2026-11-14)" in result["not_adjusted"]
    assert not own["stands_out"]  # its window is still open


def test_money_is_by_person_and_winsorised_by_day(lake: Lake, night: Any, capsys: Any) -> None:
    again(lake, night)
    rng = np.random.default_rng(2)
    buys = [
        (f"b{i}-{day}", i, float(rng.gamma(2.0, 10.0)), 24.0 * day + 1.0)
        for i in range(night.n) for day in range(3) if rng.random() < 0.5
    ]  # fmt: skip
    buys += [("whale", 5, 1e6, 2.0), ("late", 6, 99.0, 100.0), ("early", 7, 99.0, -1.0)]
    spend(lake, "2026-11-18", [*buys, buys[0], ("gift", 8, None, 3.0)])
    for day in ("2026-11-15", "2026-11-16"):
        spend(lake, day, [])
    code, result, _ = run(capsys, "over", "--from", DS, "--to", NEXT, "--cap", "40")
    assert code == 0
    spent = np.zeros((night.n, 3))
    for _, i, amount, hours in buys:
        if 0 <= hours < 72:
            spent[i, int(hours // 24)] += amount
    kept = np.minimum(spent, 40.0).sum(axis=1)
    treated, held = sides(night)
    row = row_of(result, "revenue")
    difference = kept[treated].mean() - kept[held].mean()
    error = np.sqrt(kept[treated].var(ddof=1) / len(treated) + kept[held].var(ddof=1) / len(held))
    assert row["unadjusted"]["difference"] == pytest.approx(difference)
    assert row["unadjusted"]["high"] - difference == pytest.approx(1.959964 * error)
    assert row["unadjusted"]["always_high"] > row["unadjusted"]["high"]
    assert row["total"]["difference"] == pytest.approx(difference * len(treated))
    assert [look["ds"] for look in row["looks"]] == [DS, NEXT]
    assert result["cap"]["amount"] == 40
    assert result["cap"]["money_cut"] > 9e5
    assert result["left_out"] == {
        "events that arrived twice": 1,
        "conversions without an amount": 1,
        "scopes without people on both sides": 1,  # nobody of weekly_digest is held out for it
    }


def test_history_before_the_first_plan_narrows(lake: Lake, night: Any, capsys: Any) -> None:
    rng = np.random.default_rng(4)
    taste = rng.gamma(0.5, 30.0, night.n)
    spend(lake, "2026-11-10", [(f"h{i}", i, float(taste[i]), -110.0) for i in range(night.n)])
    spend(
        lake, "2026-11-17", [(f"s{i}", i, float(taste[i] + rng.gamma(1.0, 5.0)), 5.0) for i in range(night.n)]
    )
    code, result, _ = run(capsys, "over", "--from", DS, "--to", DS)
    row = row_of(result, "revenue")
    assert code == 0
    assert result["not_adjusted"] is None
    assert not result["is_growing"]
    assert row["narrower_pct"] > 50
    plain, adjusted = row["unadjusted"], row["adjusted"]
    assert adjusted["high"] - adjusted["low"] < plain["high"] - plain["low"]
    assert row["total"]["low"] == pytest.approx(adjusted["low"] * row["n_treated"])
    assert "before the first plan" in result["cap"]["origin"]


def test_who_changed_sides_is_left_out_and_counted(lake: Lake, night: Any, capsys: Any) -> None:
    again(lake, night, switched=50)
    _, result, _ = run(capsys, "over", "--from", DS, "--to", NEXT)
    treated, held = sides(night)
    left = result["left_out"]["people whose side of a holdout changed"]
    own = row_of(result, "converted")
    n_switched = len([i for i in (*treated, *held) if i < 50])
    assert own["n_treated"] + own["n_holdout"] == len(treated) + len(held) - n_switched
    assert left >= n_switched


def test_sides_of_the_wrong_size_raise_an_alarm(lake: Lake, night: Any, capsys: Any) -> None:
    catalog = lake.read(lake.require("catalog_snapshot", ds=DS)).to_pylist()
    for row in catalog:
        row["body"] = row["body"].replace('"share_pct": 10.0', '"share_pct": 20.0')
    put(lake, "catalog_snapshot", pa.Table.from_pylist(catalog), ds=DS)
    code, result, error = run(capsys, "over", "--from", DS, "--to", DS)
    assert code == 2
    assert "the sides of all" in error
    assert error.count("\n") == 1
    assert next(test for test in result["ratios"] if test["scope"] == "all")["alarm"]


def test_a_holdout_that_nobody_is_in_raises_an_alarm(lake: Lake, night: Any, capsys: Any) -> None:
    catalog = lake.read(lake.require("catalog_snapshot", ds=DS)).to_pylist()
    for row in catalog:
        if row["id"] == "weekly_digest":
            row["body"] = row["body"].replace('"holdout_pct": 0', '"holdout_pct": 20')
    put(lake, "catalog_snapshot", pa.Table.from_pylist(catalog), ds=DS)
    code, result, error = run(capsys, "over", "--from", DS, "--to", DS)
    assert code == 2
    assert "the sides of weekly_digest are not" in error
    assert all(row["scope"] != "weekly_digest" for row in result["effects"])


def test_nothing_stands_out_while_events_still_come(lake: Lake, night: Any, capsys: Any) -> None:
    words = ("over", "--from", DS, "--to", DS, "--planned-nights", "1")
    before = row_of(run(capsys, *words)[1], "active_days")
    spend(lake, "2026-11-17", [])
    after = row_of(run(capsys, *words)[1], "active_days")
    assert (before["stands_out"], after["stands_out"]) == (False, True)
    assert before["unadjusted"] == pytest.approx(after["unadjusted"])


def test_what_few_people_did_has_no_interval(lake: Lake, night: Any, capsys: Any) -> None:
    _, result, _ = run(capsys, "over", "--from", DS, "--to", DS)
    row = row_of(result, "unsubscribed")
    assert row["unadjusted"] is None
    assert "fewer than 10" in row["why_none"]
    assert not row["stands_out_once"]


def test_power_says_when_an_effect_can_be_seen(lake: Lake, night: Any, capsys: Any) -> None:
    again(lake, night)
    words = ("power", "--from", DS, "--to", NEXT, "--metric", "active_days", "--effect-pct")
    _, small, _ = run(capsys, *words, "5")
    _, large, _ = run(capsys, *words, "50")
    _, more, _ = run(capsys, *words, "5", "--holdout-pct", "50")
    assert large["nights_one_look"] <= large["nights_any_look"]
    assert small["nights_one_look"] is None or small["nights_one_look"] > large["nights_one_look"]
    assert more["smallest_effect_pct"]["28"] < small["smallest_effect_pct"]["28"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["over", "--from", "2020-01-01", "--to", "2020-01-02"], "nothing was decided"),
        (["over", "--from", DS, "--to", DS, "--cap", "0"], "--cap is not an amount"),
        (["over", "--from", DS, "--to", DS, "--conversion", "Not one"], "--conversion is not"),
        (["over", "--from", NEXT, "--to", DS], "is not a span"),
        (["power", "--from", DS, "--to", DS, "--effect-pct", "0"], "--effect-pct is zero"),
        (["power", "--from", DS, "--to", DS, "--effect-pct", "5", "--metric", "love"], "--metric is not one"),
        (["power", "--from", DS, "--to", DS, "--effect-pct", "5", "--scope", "x"], "too little happened"),
    ],
)
def test_bad_options_are_one_line(lake: Lake, night: Any, capsys: Any, words: list[str], says: str) -> None:
    code, result, error = run(capsys, *words)
    assert code == 2
    assert result is None
    assert says in error
    assert error.count("\n") == 1


def test_the_lines_name_what_stands_out(lake: Lake, night: Any, capsys: Any) -> None:
    spend(lake, "2026-11-17", [])
    with pytest.raises(SystemExit):
        cli.main(["effects", "over", "--from", DS, "--to", DS, "--planned-nights", "1"])
    out = capsys.readouterr().out
    assert "all  active_days" in out
    assert "STANDS OUT" in out
    assert "always [" in out
