"""`angelia effects uplift`: options that do not go together are refused before it learns."""

from __future__ import annotations

from typing import Any

import pytest

from angelia import cli
from angelia.lake import Lake

pytestmark = pytest.mark.usefixtures("settings_home")

SPAN = ("--from", "2026-11-14", "--to", "2026-11-14")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--metric", "love"], "--metric is not one of"),
        (["--list", "moved"], "--list and --size go together"),
        (["--size", "5"], "--list and --size go together"),
        (["--list", "Not one", "--size", "5"], "--list is not a name"),
        (["--keep", "Not one"], "--keep is not a name"),
        (["--cap", "-1"], "--cap is not an amount above zero"),
        ([], "2026-11-14"),
    ],
)
def test_a_wrong_option_is_one_line(lake: Lake, capsys: Any, words: list[str], says: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["effects", "uplift", *SPAN, *words])
    out, err = capsys.readouterr()
    assert (stopped.value.code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1
    assert list(lake.store.list("main")) == []
