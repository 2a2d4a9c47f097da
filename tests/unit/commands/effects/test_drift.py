"""`angelia effects drift`: two nights of a lake, and the alarm."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from angelia import cli
from angelia.contracts.rows import valid_rows
from angelia.lake import Lake
from tests.unit.effects.conftest import DS, put

NEXT = "2026-11-15"


@pytest.mark.usefixtures("settings_home")
def test_a_moved_column_raises_an_alarm(lake: Lake, capsys: Any) -> None:
    rows = valid_rows("user_features", 500, ds=DS)
    put(lake, "user_features", rows, ds=DS)
    at = rows.schema.get_field_index("country")
    moved = rows.set_column(at, rows.schema.field(at), pa.nulls(500, pa.string()))
    put(lake, "user_features", moved, ds=NEXT)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["effects", "drift", "--ds", NEXT, "--against", DS, "--json"])
    shown = capsys.readouterr()
    result = json.loads(shown.out)
    assert stopped.value.code == 2
    assert result["alarms"] == ["user_features.country"]
    assert {column["psi"] for column in result["columns"][1:]} == {0.0}
    assert "user_features.tags: a list" in result["left_out"]
    assert "material_scores: none of 2026-11-14" in result["left_out"]
    assert "user_features.country moved by 0.25 or more" in shown.err
    for words, says in (
        (["--ds", "2020-01-01", "--against", DS], "there are no user_features of 2020-01-01"),
        (["--ds", NEXT, "--against", DS, "--alarm", "0.01"], "--alarm is below --look"),
    ):
        with pytest.raises(SystemExit) as stopped:
            cli.main(["effects", "drift", *words])
        assert stopped.value.code == 2
        assert says in capsys.readouterr().err
