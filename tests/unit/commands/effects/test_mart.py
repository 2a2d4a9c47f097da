"""`angelia effects mart` and its figures: wrong options are one line, nothing is written."""

from __future__ import annotations

from typing import Any

import pytest

from angelia import cli
from angelia.lake import Lake

pytestmark = pytest.mark.usefixtures("settings_home")

DS = "2026-11-14"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["mart", "--to", "2020-01-01"], "nothing was decided"),
        (["mart", "--to", "tomorrow"], "--to 'tomorrow' is not a date"),
        (["mart", "--from", DS, "--to", "2026-11-13"], "name the earlier day first"),
        (["mart", "--from", DS, "--to", DS, "--conversion", "Not one"], "--conversion is not"),
        (["figures", "--from", DS, "--to", DS, "--by", "city"], "--by city is not a dimension"),
        (["figures", "--from", DS, "--to", DS], f"angelia effects mart --from {DS} --to {DS}"),
    ],
)
def test_a_wrong_option_is_one_line(lake: Lake, capsys: Any, words: list[str], says: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["effects", *words])
    out, err = capsys.readouterr()
    assert (stopped.value.code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1
    assert list(lake.store.list("main")) == []
