"""An experiment from a file to its read-out, against the figures of the persons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from angelia import cli
from angelia.lake import Lake

pytestmark = pytest.mark.usefixtures("settings_home")
MAPPING = """
name: copy_test
inputs:
  units: units*.csv
  orders: orders*.csv
outputs:
  - dataset: experiment_assignments
    input: units
    columns:
      experiment: {constant: copy_test}
      user_id: unit
      arm: {from: variant, map: {A: control, B: bold, C: plain}}
      assigned_ts: at
  - dataset: user_events
    input: orders
    columns:
      event_id: order
      user_id: unit
      event_type: {constant: purchase}
      item: {constant: shoes}
      value: amount
      event_ts: at
"""
ARMS = ("control", "bold", "plain")


def run(capsys: Any, *words: str) -> tuple[int, Any, str]:
    with pytest.raises(SystemExit) as stopped:
        cli.main([*words, "--json"])
    shown = capsys.readouterr()
    return int(stopped.value.code or 0), json.loads(shown.out) if shown.out else None, shown.err


@pytest.fixture
def people(tmp_path: Path) -> dict[str, Any]:
    """The files of 900 people in three arms, assigned on two days; bold spends most."""
    rng = np.random.default_rng(3)
    n = 900
    arm = np.arange(n) % 3
    day = rng.integers(0, 2, n)
    units = [f"u{i},{'ABC'[arm[i]]},2026-11-{1 + day[i]:02d} 12:00:00" for i in range(n)]
    units.append("u3,B,2026-11-02 13:00:00")  # of two arms
    spent, orders = np.zeros(n), []
    for i in range(n):
        orders.append(f"h{i},u{i},5,2026-10-2{i % 9} 08:00:00")
        orders.append(f"m{i},u{i},1000,2026-11-{1 + day[i]:02d} 11:59:59")  # on the day, yet before
        if rng.random() < 0.5:
            amount = float(np.round(10 + 20 * (arm[i] == 1) + rng.random(), 2))
            orders.append(f"s{i},u{i},{amount},2026-11-{1 + day[i]:02d} 12:00:00")  # at the very instant
            spent[i] = amount
    orders.append("x,u9999,70,2026-11-03 12:00:00")  # of nobody in the test
    (tmp_path / "units.csv").write_text("unit,variant,at\n" + "\n".join(units) + "\n")
    (tmp_path / "orders.csv").write_text("order,unit,amount,at\n" + "\n".join(orders) + "\n")
    (tmp_path / "map.yaml").write_text(MAPPING)
    return {"arm": arm, "spent": spent}


@pytest.fixture
def imported(people: dict[str, Any], tmp_path: Path, capsys: Any) -> dict[str, Any]:
    files = [str(tmp_path / name) for name in ("units.csv", "orders.csv")]
    code, result, error = run(
        capsys, "import", "--mapping", str(tmp_path / "map.yaml"), *files, "--max-reject-pct", "1"
    )
    assert code == 0, error
    return people | {"result": result}


READ = ("effects", "experiment", "--name", "copy_test", "--control", "control", "--cap", "100")


def test_arms_are_compared_by_the_panel(imported: dict[str, Any], lake: Lake, capsys: Any) -> None:
    code, result, _ = run(capsys, *READ, "--control-pct", "33.333")
    assert code == 0
    assert result["arms"] == {"bold": 301, "control": 300, "plain": 300}
    assert result["left_out"]["people whose side of a holdout changed"] == 2  # u3, in both comparisons
    is_kept = np.arange(900) != 3
    rows = {(row["scope"], row["metric"]): row for row in result["effects"]}
    for position, name in enumerate(ARMS[1:], 1):
        row = rows[name, "revenue"]
        own, control = (imported["spent"][is_kept & (imported["arm"] == i)] for i in (position, 0))
        assert (row["n_treated"], row["n_holdout"]) == (300, 299)
        difference = own.mean() - control.mean()
        assert row["unadjusted"]["difference"] == pytest.approx(difference)
        error = np.sqrt(own.var(ddof=1) / 300 + control.var(ddof=1) / 299)
        assert row["unadjusted"]["high"] - difference == pytest.approx(1.959964 * error)
    assert rows["bold", "revenue"]["stands_out_once"]
    assert not rows["plain", "revenue"]["stands_out_once"]
    assert result["not_adjusted"] is None  # 28 days of history before the first assignment
    assert result["left_out"]["events of an assigned day before the assignment"] == 900
    assert [test["alarm"] for test in result["ratios"]] == [False, False]


def test_an_experiment_of_uneven_sides_raises_an_alarm(
    imported: dict[str, Any], lake: Lake, capsys: Any
) -> None:
    code, result, error = run(capsys, *READ, "--control-pct", "60")
    assert code == 2
    assert result is not None
    assert "bold, plain and control are not as large" in error


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--name", "other", "--control", "control"], "nobody was assigned in experiment other"),
        (["--name", "copy_test", "--control", "green"], "green is not an arm of copy_test"),
        (
            ["--name", "copy_test", "--control", "control", "--to", "2026-10-01"],
            "before the first assignment",
        ),
        (["--name", "Not one", "--control", "control"], "--name is not a name"),
        (["--name", "copy_test", "--control", "control", "--control-pct", "0"], "--control-pct is not"),
    ],
)
def test_bad_questions_are_one_line(
    imported: dict[str, Any], lake: Lake, capsys: Any, words: list[str], says: str
) -> None:
    code, result, error = run(capsys, "effects", "experiment", *words)
    assert (code, result) == (2, None)
    assert says in error
    assert error.count("\n") == 1
