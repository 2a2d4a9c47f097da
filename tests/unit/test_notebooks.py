"""What the scripts of docs/notebooks say where they cannot work."""

import runpy
from pathlib import Path

import pytest

from angelia.contracts.rows import valid_rows
from angelia.lake import Lake
from models.registry import FILES, Registry

SCRIPT = Path(__file__).parents[2] / "docs" / "notebooks" / "scientists_day.py"
DS = "2026-11-14"


def test_a_scientists_day_ends_in_one_line_without_a_champion(lake: Lake, settings_home: Path) -> None:
    with pytest.raises(SystemExit, match=r"^error: nothing was decided in this lake; run a night first"):
        runpy.run_path(str(SCRIPT))
    with lake.attempt("decisions", ds=DS) as attempt:
        attempt.write(valid_rows("decisions", 1), "part-0000.parquet")
        attempt.publish()
    with pytest.raises(SystemExit, match=r"^error: no model has been promoted; run `angelia bootstrap"):
        runpy.run_path(str(SCRIPT))
    registry = Registry.open(settings_home / "models")
    version = registry.add(DS, dict.fromkeys(FILES, b"{}"))
    registry.promote(version, actor="ada", reason="first", at=f"{DS}T03:00:00+00:00")
    registry.store.put(f"p_open/versions/{version}/logistic.json", b"damaged")
    with pytest.raises(SystemExit, match=rf"^error: model {version}: logistic.json was changed after it was"):
        runpy.run_path(str(SCRIPT))
