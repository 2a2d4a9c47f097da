"""Airflow's pools: all that the DAGs name, in the form that Airflow imports."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from angelia import cli
from angelia.contracts.sources import CHANNELS
from angelia.delivery.pools import airflow_pools

DAGS = Path(__file__).parents[3] / "dags"


def test_every_pool_that_a_dag_names_exists() -> None:
    named = {
        name
        for path in DAGS.glob("*.py")
        for name in re.findall(r'pool(?:=|": )f?"([a-z_{}]+)"', path.read_text("utf-8"))
    }
    assert {"spark", "plan"} <= named
    whole = {name for name in named if "{" not in name}
    assert whole <= set(airflow_pools(2))
    assert {f"deliver_{channel}" for channel in CHANNELS} <= set(airflow_pools(2))


def test_the_command_prints_what_airflow_imports(capsys, monkeypatch) -> None:
    monkeypatch.setenv("ANGELIA_DELIVERY_SLOTS", "3")
    with pytest.raises(SystemExit, match="0"):
        cli.main(["catalog", "pools", "--spark-slots", "5"])
    pools = json.loads(capsys.readouterr().out)
    assert pools["spark"]["slots"] == 5
    assert pools["deliver_fcm"]["slots"] == 3
    assert all(set(pool) == {"slots", "description", "include_deferred"} for pool in pools.values())
