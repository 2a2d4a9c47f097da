"""A shop with events and no pushes: a prior and activity alone carry its first two nights.

Two hundred people. All is real but Airflow; jobs run in this test run's Spark session.
"""

from __future__ import annotations

import importlib
import io
import shutil
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest

from angelia import cli
from angelia.commands import bootstrap
from angelia.commands.loop import PROJECT, Steps, environment, sandbox
from angelia.lake import Lake
from models.registry import Registry
from tests.nights import run_night

NIGHTS = ("2026-11-14", "2026-11-15")
pytestmark = [pytest.mark.integration, pytest.mark.slow]


def run_here(argv: Sequence[str]) -> str:
    """Run a module as `run_module` does, in this process."""
    name = "spark_jobs.__main__" if argv[0] == "spark_jobs" else argv[0]
    printed = io.StringIO()
    with redirect_stdout(printed):
        assert importlib.import_module(name).main(list(argv[1:])) == 0
    return printed.getvalue()


def angelia(*words: str) -> None:
    with redirect_stdout(io.StringIO()), pytest.raises(SystemExit) as ended:
        cli.main([*words])
    assert ended.value.code == 0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, spark: object) -> Path:
    """Return a home after bootstrap and two nights, of which the first was delivered."""
    folder = tmp_path_factory.mktemp("no pushes") / "home"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**environment(folder), "ANGELIA_SHARD_BITS": "8"}.items():
            patch.setenv(name, value)
        patch.setattr(bootstrap, "run_module", run_here)
        angelia("world", "create", "--users", "200", "--days", "8", "--ds", NIGHTS[0])
        # Without pushes there is nothing that came of them.
        for name in ("push_history", "push_receipts"):
            shutil.rmtree(folder / "lake" / "main" / name, ignore_errors=name == "push_receipts")
        angelia("catalog", "apply", str(PROJECT / "campaigns"), "--actor", "test")
        angelia("bootstrap", "--ds", NIGHTS[0], "--train-days", "3")
        run_night(folder, NIGHTS[0], shard_bits=8)
        with sandbox(Steps(folder)) as at:
            for name, value in at.items():
                patch.setenv(name, value)
            angelia("deliver", "--ds", NIGHTS[0], "--all-hours", "--clock", "simulated")
        angelia("world", "respond", "--ds", NIGHTS[0])
        angelia("catalog", "snapshot", "--ds", NIGHTS[1])
        run_night(folder, NIGHTS[1], shard_bits=8)
    return folder


def test_its_first_model_is_a_prior(home: Path) -> None:
    registry = Registry.open(home / "models")
    champion = registry.champion()
    assert champion is not None
    assert "a prior" in registry.load(champion.version)["card.md"].decode()


def test_activity_alone_shapes_its_first_curves(home: Path) -> None:
    lake = Lake.open(str(home / "lake"))
    curves = lake.read(lake.require("send_times", ds=NIGHTS[0]), ["workday", "evidence"])
    assert not curves["evidence"].to_numpy().any(), "no push was sent"
    hours = np.array(curves["workday"].to_pylist())
    assert np.isfinite(hours).all()
    assert np.ptp(hours, axis=1).max() > 0.1, "people differ from hour to hour"


@pytest.mark.parametrize("ds", NIGHTS)
def test_each_night_has_messages(home: Path, ds: str) -> None:
    lake = Lake.open(str(home / "lake"))
    plan, manifest = (lake.require(name, ds=ds) for name in ("decisions", "dispatch_manifest"))
    assert plan.meta["outcomes"]["sent"] > 20
    assert manifest.rows == plan.meta["outcomes"]["sent"]
    known = lake.head("user_pushes", ds="2026-11-15")
    assert known is not None
    assert known.rows > 0, "the second night knows what the first one sent"
