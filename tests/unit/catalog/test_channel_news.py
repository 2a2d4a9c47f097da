"""An apply tells running workers what became of channels, and of nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from angelia import cli
from angelia.lake import Lake
from tests.planned_night import CHANNEL, EVERYONE, POLICY, SALE, SHOE
from tests.unit.catalog.test_canaries import PLAIN


def apply(path: Path, *documents: dict[str, Any]) -> None:
    path.write_text("\n---\n".join(map(json.dumps, documents)))
    with pytest.raises(SystemExit) as left:
        cli.main(["catalog", "apply", str(path)])
    assert left.value.code == 0


def test_a_changed_channel_is_told_once(settings_home: Path, lake: Lake, tmp_path: Path) -> None:
    path, rest = tmp_path / "catalog.yaml", (POLICY, PLAIN, SHOE, EVERYONE, SALE)
    apply(path, *rest, CHANNEL)
    assert lake.read_log("channel_changes").num_rows == 0, "it is in no plan yet"
    apply(path, *rest, CHANNEL | {"provider": "webhook"})
    apply(path, *rest, CHANNEL | {"provider": "webhook"})
    apply(path, SALE | {"name": "Sale!"})
    (entry,) = lake.read_log("channel_changes").to_pylist()
    assert (entry["channel"], entry["version"]) == ("fcm", 2)
    assert json.loads(entry["body"])["provider"] == "webhook"
