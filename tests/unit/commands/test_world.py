"""`angelia world`: one JSON object, and mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from angelia.cli import main

DS = "2026-11-14"


@pytest.mark.parametrize(
    "option",
    [("--users", "0"), ("--days", "0"), ("--seed", "-1"), ("--ds", "yesterday"), ("--users", "99999999")],
)
def test_bad_input_is_one_line_and_writes_nothing(
    settings_home: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["world", "create", *option])
    assert stop.value.code == 2
    assert option[0] in capsys.readouterr().err
    assert not list(settings_home.rglob("*.parquet"))


def test_command_prints_one_json_object(settings_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["world", "create", "--users", "50", "--days", "2", "--json"])
    assert not stop.value.code
    printed = json.loads(capsys.readouterr().out)
    assert printed["users"] == 50
    assert printed["days"] == ["2026-11-13", DS]
    assert printed["rows"]["user_profiles"] == 50
