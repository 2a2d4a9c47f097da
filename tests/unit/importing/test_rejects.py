"""Samples of rejected rows: they show no person, and only their owner reads them."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from angelia.commands.import_ import run_import
from angelia.config import load_settings
from angelia.errors import InvalidInput
from angelia.importing.rejects import _key
from angelia.lake import Lake


def test_the_key_of_rejects_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    assert _key(tmp_path / "key") == _key(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_sample_hides_a_person_in_any_column(tmp_path: Path, settings_home: Path, lake: Lake) -> None:
    file = tmp_path / "people.csv"
    file.write_text("id,country,age\nanna-7,to anna-7,x\nu2,bo@mail.example,y\nu3,Germany,z\n")
    document = tmp_path / "mapping.yaml"
    columns = {"user_id": "id", "country": "country", "signup_ts": "age"}
    outputs = [{"dataset": "user_profiles", "input": "people", "columns": columns}]
    document.write_text(json.dumps({"name": "m", "inputs": {"people": "people*"}, "outputs": outputs}))
    with pytest.raises(InvalidInput, match="3 of 3 rows rejected"):
        run_import(load_settings(), document, [file], ds="2026-11-14")
    path = settings_home / "rejects" / "m-2026-11-14.jsonl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    values = [json.loads(line)["values"] for line in path.read_text().splitlines()]
    assert all(row["id"].startswith("hash:") for row in values)
    assert [row["country"].split(":")[0] for row in values] == ["hash", "hash", "Germany"]
