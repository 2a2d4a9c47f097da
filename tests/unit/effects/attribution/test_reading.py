"""Figures by dimension, as an operator asks for them: commands, files, the report."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from angelia import cli
from angelia.commands.report import run_report
from angelia.config import load_settings
from angelia.effects.attribution.reading import write_figures
from angelia.lake import Lake
from tests.unit.effects.attribution.conftest import NEXT, Story
from tests.unit.effects.conftest import DS

pytestmark = pytest.mark.usefixtures("settings_home")
SPAN = ("--from", DS, "--to", NEXT)


def run(capsys: Any, *words: str) -> tuple[int, Any, str]:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["effects", *words, "--json"])
    shown = capsys.readouterr()
    return int(stopped.value.code or 0), json.loads(shown.out) if shown.out else None, shown.err


def test_figures_add_up_by_any_dimension(lake: Lake, story: Story, capsys: Any, tmp_path: Path) -> None:
    code, result, _ = run(capsys, "mart", "--to", NEXT)
    assert code == 0
    assert [night["is_new"] for night in result["nights"]] == [True, True]
    _, again, _ = run(capsys, "mart", *SPAN)
    assert [night["is_new"] for night in again["nights"]] == [False, False]
    assert [night["mart"] for night in again["nights"]] == [night["mart"] for night in result["nights"]]
    _, series, _ = run(capsys, "figures", *SPAN)
    assert [(row["night"], row["n_sent"], row["n_conversions"]) for row in series["rows"]] == [
        (DS, 6, 4),
        (NEXT, 1, 1),
    ]
    _, countries, _ = run(capsys, "figures", *SPAN, "--by", "country")
    assert [(row["country"], row["n_sent"], row["conversion_value"]) for row in countries["rows"]] == [
        ("CN", 1, 0),
        ("DE", 6, 120),
        (None, 0, 0),
    ]
    out = tmp_path / "figures.csv"
    code, written, _ = run(capsys, "export", *SPAN, "--by", "campaign_id,side", "--out", str(out))
    rows = list(csv.DictReader(out.read_text("utf-8").splitlines()))
    assert (code, written["rows"]) == (0, len(rows))
    assert {(row["campaign_id"], row["side"]): row["n_conversions"] for row in rows} == {
        ("order", "treated"): "0",
        ("other", "treated"): "1",
        ("plain", "holdout_global"): "0",
        ("plain", "treated"): "3",
        ("shown", "treated"): "1",
    }
    whole = tmp_path / "whole.parquet"
    run(capsys, "export", *SPAN, "--out", str(whole))
    assert sum(pq.read_table(whole)["n_pairs"].to_pylist()) == 12
    page = Path(run_report(load_settings(), DS)["report"]).read_text("utf-8")
    assert "What messages are credited with" in page
    assert "events may arrive until 2026-11-19" in page


def test_without_a_mart_each_way_says_how_to_make_it(lake: Lake, story: Story, capsys: Any) -> None:
    code, _, error = run(capsys, "figures", *SPAN)
    assert code == 2
    assert f"angelia effects mart --from {DS} --to {NEXT}" in error
    page = Path(run_report(load_settings(), DS)["report"]).read_text("utf-8")
    assert f"angelia effects mart --from {DS} --to {DS}" in page


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["figures", *SPAN, "--by", "city"], "--by city is not a dimension"),
        (["figures", *SPAN, "--by", "night,night"], "--by names a dimension twice"),
        (["figures", *SPAN, "--by", ","], "--by names no dimension"),
        (["mart", "--to", "2020-01-01"], "nothing was decided"),
        (["mart", "--to", "tomorrow"], "--to"),
        (["mart", *SPAN, "--conversion", "Not one"], "--conversion is not"),
    ],
)
def test_bad_options_are_one_line(lake: Lake, capsys: Any, words: list[str], says: str) -> None:
    code, result, error = run(capsys, *words)
    assert (code, result) == (2, None)
    assert says in error
    assert error.count("\n") == 1


def test_a_spreadsheet_runs_nothing_of_an_export(tmp_path: Path) -> None:
    table = pa.table({"device_vendor": ["=cmd|x", "oppo", None, "+1", "-"], "n": [1, 2, 3, 4, -5]})
    write_figures(table, tmp_path / "a.csv")
    rows = list(csv.reader((tmp_path / "a.csv").read_text("utf-8").splitlines()))
    assert [row[0] for row in rows[1:]] == ["'=cmd|x", "oppo", "", "'+1", "'-"]
    assert [row[1] for row in rows[1:]] == ["1", "2", "3", "4", "-5"]
    assert not list(tmp_path.glob(".*"))
