"""An import of several outputs publishes all of them or none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from angelia.commands.import_ import run_import
from angelia.config import load_settings
from angelia.errors import AngeliaError, InvalidInput
from angelia.lake import Lake

DS = "2026-11-14"
NAMES = ("user_profiles", "user_endpoints", "user_preferences", "user_events", "suppressions")
OUTPUTS: list[dict[str, Any]] = [
    {"dataset": "user_profiles", "input": "people", "columns": {"user_id": "id", "signup_ts": "at"}},
    {
        "dataset": "user_endpoints",
        "input": "people",
        "columns": {
            "user_id": "id",
            "channel": {"constant": "email"},
            "address": {"template": "{id}@mail.example"},
            "registered_ts": "at",
            "is_active": {"constant": True},
        },
    },
    {"dataset": "user_preferences", "empty": True},
    {
        "dataset": "user_events",
        "input": "people",
        "columns": {
            "event_id": "id",
            "user_id": "id",
            "event_type": {"constant": "open"},
            "event_ts": "seen",
        },
    },
    {
        "dataset": "suppressions",
        "input": "people",
        "columns": {
            "entry_id": {"template": "e{id}"},
            "user_id": "id",
            "since_ts": "at",
            "reason": {"constant": "operator"},
        },
    },
]


@pytest.fixture(autouse=True)
def _home(settings_home: Path) -> None:
    """Every test here writes below its own home."""


def files(tmp_path: Path, *rows: str, outputs: list[dict[str, Any]] | None = None) -> list[Path]:
    document, people = tmp_path / "mapping.yaml", tmp_path / "people.csv"
    top = {"name": "m", "inputs": {"people": "people*"}, "outputs": outputs or OUTPUTS}
    document.write_text(json.dumps(top))
    people.write_text("id,at,seen\n" + "".join(row + "\n" for row in rows))
    return [document, people]


ROWS = ("u1,2026-11-01,2026-11-12 10:00", "u2,2026-11-02,2026-11-13 10:00")


def published(lake: Lake) -> dict[str, int]:
    """Return the number of partitions with a commit of each dataset that has one."""
    return {name: n for name in NAMES if (n := len(lake.partitions(name)))}


@pytest.mark.parametrize("name", NAMES)
def test_an_output_that_cannot_be_written_leaves_none(tmp_path: Path, lake: Lake, name: str) -> None:
    document, people = files(tmp_path, *ROWS)
    place = lake.store.root / "main" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("a file where the dataset's folder should be")
    with pytest.raises(AngeliaError):
        run_import(load_settings(), document, [people], ds=DS)
    place.unlink()
    assert published(lake) == {}
    run_import(load_settings(), document, [people], ds=DS)
    assert published(lake) == {**dict.fromkeys(NAMES, 1), "user_events": 2}


@pytest.mark.parametrize("place", range(4))
def test_an_output_with_too_many_bad_rows_leaves_none(tmp_path: Path, lake: Lake, place: int) -> None:
    bad = {
        "dataset": "push_history",
        "input": "people",
        "columns": {
            "message_id": "id",  # none of 32 digits
            "user_id": "id",
            "campaign_id": {"constant": "sale"},
            "material_id": {"constant": "sale"},
            "channel": {"constant": "fcm"},
            "sent_ts": "seen",
        },
    }
    document, people = files(tmp_path, *ROWS, outputs=[*OUTPUTS[:place], bad, *OUTPUTS[place:]])
    with pytest.raises(InvalidInput, match="push_history: 2 of 2 rows rejected"):
        run_import(load_settings(), document, [people], ds=DS)
    assert published(lake) == {}


def test_moments_out_of_range_leave_none(tmp_path: Path, lake: Lake) -> None:
    document, people = files(tmp_path, "u1,-infinity,2026-11-12 10:00", "u2,9999-12-31,2026-11-12 10:00")
    with pytest.raises(InvalidInput, match="moment out of range"):
        run_import(load_settings(), document, [people], ds=DS)
    assert published(lake) == {}


def test_a_store_that_fails_between_commits_says_so(tmp_path: Path, lake: Lake) -> None:
    document, people = files(tmp_path, *ROWS)
    commits = lake.store.root / f"main/user_endpoints/ds={DS}/_commits"
    commits.parent.mkdir(parents=True)
    commits.write_text("a file where the commits' folder should be")
    with pytest.raises(AngeliaError, match="2 of 6 partitions are published") as stopped:
        run_import(load_settings(), document, [people], ds=DS)
    assert stopped.value.fix == "run the same command again: it publishes the others"
    commits.unlink()
    again = run_import(load_settings(), document, [people], ds=DS)
    assert published(lake) == {**dict.fromkeys(NAMES, 1), "user_events": 2}
    new = {name: entry["n_new_commits"] for name, entry in again["datasets"].items()}
    assert new == {
        "user_profiles": 0,
        "user_endpoints": 1,
        "user_preferences": 1,
        "user_events": 2,
        "suppressions": 0,
    }


@pytest.mark.integration
@pytest.mark.parametrize("point", ["write.file:4", "publish.before_audit:1", "publish.before_create:1"])
def test_an_import_killed_before_its_commits_leaves_none(tmp_path: Path, lake: Lake, point: str) -> None:
    document, people = files(tmp_path, *ROWS)
    words = ["import", "--mapping", str(document), str(people), "--ds", DS]
    environment = {**os.environ, "ANGELIA_FAILPOINT": point}
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-m", "angelia.cli", *words], env=environment, cwd=root, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert published(lake) == {}
    run_import(load_settings(), document, [people], ds=DS)
    assert published(lake) == {**dict.fromkeys(NAMES, 1), "user_events": 2}


def test_opt_outs_are_published_first(tmp_path: Path, lake: Lake) -> None:
    document, people = files(tmp_path, *ROWS)
    commits = lake.store.root / f"main/user_profiles/ds={DS}/_commits"
    commits.parent.mkdir(parents=True)
    commits.write_text("a file where the commits' folder should be")
    with pytest.raises(AngeliaError, match="1 of 6 partitions"):
        run_import(load_settings(), document, [people], ds=DS)
    assert published(lake) == {"suppressions": 1}
