"""The present code takes up what older releases left: their lake, model and catalog.

The older release's code comes out of the repository's history and makes the lake itself; nothing is kept as a
fixture. Where the history is not there (a shallow clone, an archive), the tests are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from angelia.commands.loop import PROJECT, Steps, environment, sandbox
from angelia.contracts import CONTRACTS, arrow, dataset
from angelia.lake import Lake
from tests.nights import run_night

# Commits whose code calls itself so; the history has no tags.
RELEASES = {"0.2.0": "75eebcb5", "0.1.0": "f1f597c2"}
DAY, NEXT = "2026-11-14", "2026-11-15"
CODE = ("angelia", "models", "spark_jobs", "sql", "dags", "campaigns", "tests/nights.py", "pyproject.toml")
pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.upgrade]


@pytest.fixture(scope="module", params=RELEASES)
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the home of 400 people whose first load, model and night are an older release's."""
    code, made = tmp_path_factory.mktemp("older"), tmp_path_factory.mktemp("home")
    archive = code / "code.tar"
    done = subprocess.run(
        ["git", "archive", "--output", str(archive), RELEASES[request.param], *CODE],
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"the older release is not in this clone's history: {done.stderr.strip()}")
    subprocess.run(["tar", "-xf", str(archive), "-C", str(code)], check=True)
    given = {name: value for name, value in os.environ.items() if not name.startswith("ANGELIA_")}
    script = [sys.executable, str(Path(__file__).with_name("older_release.py")), str(made), DAY, "400"]
    done = subprocess.run(
        script,
        cwd=code,
        env={**given, "PYTHONPATH": str(code), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return made


def angelia(home: Path, *words: str, **env: str) -> dict[str, object]:
    """Run a command of the present code, which must end well; return its JSON object."""
    given = {**os.environ, **environment(home), "ANGELIA_SHARD_BITS": "8", **env}
    done = subprocess.run(
        [sys.executable, "-m", "angelia.cli", *words, "--json"],
        env=given,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, f"{words}: {done.stdout[-500:]}{done.stderr[-3000:]}"
    last = done.stdout.strip().splitlines()[-1:]
    return dict(json.loads(last[0])) if last and last[0].startswith("{") else {}


def test_every_commit_of_it_is_whole_and_readable(home: Path) -> None:
    angelia(home, "lake", "verify")
    lake, seen = Lake.open(str(home / "lake")), set()
    for name in CONTRACTS:
        contract = dataset(name)
        for leaf in lake.partitions(name):
            commit = lake.require(name, **leaf)
            assert commit.contract_version <= contract.version
            table, wanted = lake.read(commit), arrow.schema(contract)
            assert table.num_rows == commit.rows
            seen.add(name)
            if commit.files and all(entry.conforms for entry in commit.files):
                # A column that came later may be missing only where it may be null.
                missing = [field for field in wanted if field.name not in table.schema.names]
                assert all(field.nullable for field in missing), (name, missing)
    assert {
        "user_index",
        "user_days",
        "user_features",
        "send_times",
        "decisions",
        "dispatch_manifest",
    } <= seen


def test_its_night_is_explained_and_sent(home: Path) -> None:
    assert angelia(home, "plan", "show", "--ds", DAY)
    assert angelia(home, "catalog", "list")["documents"]
    lake = Lake.open(str(home / "lake"))
    manifest = lake.require("dispatch_manifest", ds=DAY)
    person = lake.read(manifest, ["user_id"])["user_id"][0].as_py()
    assert angelia(home, "why", "--user", person, "--ds", DAY)
    with sandbox(Steps(home)) as at:
        sent = angelia(home, "deliver", "--ds", DAY, "--all-hours", "--clock", "simulated", **at)
    assert sum(dict(sent["delivered"]).values()) == manifest.rows  # type: ignore[call-overload]


def test_the_night_after_it_is_planned_by_its_model(home: Path, spark: object) -> None:
    angelia(home, "world", "respond", "--ds", DAY)
    angelia(home, "catalog", "snapshot", "--ds", NEXT)
    run_night(home, NEXT, shard_bits=8)
    lake = Lake.open(str(home / "lake"))
    assert lake.require("dispatch_manifest", ds=NEXT).rows > 50
    angelia(home, "lake", "verify")
    angelia(home, "report", "--ds", DAY)
