"""`angelia quality check`: one line where the gate is open; the cause where it is closed."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from angelia import cli
from angelia.contracts.rows import valid_rows
from angelia.lake import Lake

DS = "2026-11-14"
N = 400


def put(lake: Lake, name: str, table: pa.Table) -> None:
    with lake.attempt(name, ds=DS) as attempt:
        attempt.write(table, "part-0000.parquet", conform=False)
        attempt.publish()


@pytest.fixture
def sources(lake: Lake) -> Lake:
    for name in ("user_profiles", "user_endpoints", "user_preferences", "user_events"):
        put(lake, name, valid_rows(name, N))
    return lake


def test_the_command_says_open_or_what_closed_it(
    sources: Lake, settings_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*args: str) -> tuple[int, str, str]:
        code = 0
        try:
            cli.main(["quality", *args])
        except SystemExit as stop:
            code = int(stop.code or 0)
        out = capsys.readouterr()
        return code, out.out, out.err

    code, out, err = run("show", "--ds", DS)
    assert (code, out) == (2, "")
    assert "no gate was checked for 2026-11-14" in err
    code, out, _ = run("check", "--gate", "sources", "--ds", DS)
    assert code == 0
    assert out.splitlines()[-1].startswith("gate sources of 2026-11-14 is open: ")
    profiles = valid_rows("user_profiles", N)
    at = profiles.schema.get_field_index("timezone")
    zones = pa.array([None if i < 120 else "UTC" for i in range(N)], pa.string())
    put(sources, "user_profiles", profiles.set_column(at, profiles.schema.field(at), zones))
    code, out, err = run("check", "--gate", "sources", "--ds", DS)
    assert code == 2
    assert out == ""
    assert [line for line in err.splitlines() if line.startswith("error: ")] == [err.splitlines()[-1]]
    assert "user_profiles.timezone: null in 120 of 400 rows" in err
    named = err.rsplit("see the rows: angelia quality ", 1)[1].split()
    code, out, _ = run(*named)
    assert code == 0
    assert len(out.splitlines()) == 20
    assert all("timezone=null  user_id=hash:" in line for line in out.splitlines())
    code, out, _ = run(*named, "--json", "--limit", "3")
    assert len(json.loads(out)["rows"]) == 3
    code, out, _ = run("check", "--gate", "sources", "--ds", DS, "--json")
    assert code == 2
    assert json.loads(out)["open"] is False
    code, out, _ = run("show", "--ds", DS)
    assert code == 0
    assert out.splitlines()[0].startswith("sources: closed, ")
    code, _, err = run("check", "--gate", "sources", "--ds", "yesterday")
    assert code == 2
    assert "is not a date" in err
