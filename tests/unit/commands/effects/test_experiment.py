"""`angelia effects experiment`: names, shares and caps are looked at before any reading."""

from __future__ import annotations

from typing import Any

import pytest

from angelia import cli
from angelia.lake import Lake

pytestmark = pytest.mark.usefixtures("settings_home")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--name", "Not one", "--control", "a"], "--name is not a name"),
        (["--name", "a", "--control", "b c"], "--control is not a name"),
        (["--name", "a", "--control", "b", "--control-pct", "0"], "--control-pct is not between 0 and 100"),
        (["--name", "a", "--control", "b", "--control-pct", "100"], "--control-pct is not between 0 and 100"),
        (["--name", "a", "--control", "b", "--control-pct", "nan"], "--control-pct is not between 0 and 100"),
        (["--name", "a", "--control", "b", "--cap", "0"], "--cap is not an amount above zero"),
        (["--name", "a", "--control", "b", "--cap", "inf"], "--cap is not an amount above zero"),
        (["--name", "a", "--control", "b", "--to", "soon"], "--to 'soon' is not a date"),
        (["--name", "a", "--control", "b"], "nobody was assigned in experiment a"),
    ],
)
def test_a_wrong_question_is_one_line(lake: Lake, capsys: Any, words: list[str], says: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["effects", "experiment", *words])
    out, err = capsys.readouterr()
    assert (stopped.value.code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1
