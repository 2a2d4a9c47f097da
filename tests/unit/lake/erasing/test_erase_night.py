"""The same night, run again after an erasure: only the erased person's messages are gone.

Every person keeps ordinal and counts; no message is planned for the erased one.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyspark.sql import SparkSession

from angelia import cli
from angelia.errors import AngeliaError
from angelia.lake import Lake
from angelia.lake.erasing.erase import erase
from angelia.lake.verify import verify
from models import promote, train
from models.registry import Registry
from spark_jobs import (
    aggregate_days,
    build_bitmaps,
    build_features,
    build_send_times,
    emit_manifests,
    index_users,
    plan_dispatch,
    score_materials,
    select_audiences,
)

DS, DAYS, CUTOFF = "2026-11-14", "10", "2026-11-07"
CAMPAIGNS = Path(cli.__file__).parent.parent / "campaigns"


def angelia(*words: str) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main([*words])


def night(lake: Lake, models: Path) -> dict[str, pa.Table]:
    """Run the night's tasks from the sources to the manifests.

    Returns what they made, in a fixed order of rows.
    """
    index_users.main(["--ds", DS])
    aggregate_days.main(["--ds", DS, "--days", DAYS])
    build_features.main(["--ds", DS])
    build_send_times.main(["--ds", DS])
    build_bitmaps.main(["--ds", DS])
    select_audiences.main(["--ds", DS])
    if not Registry.open(models).versions():
        build_features.main(["--ds", CUTOFF])
        assert train.main(["--ds", DS, "--cutoff", CUTOFF, "--trees", "5"]) == 0
        assert (
            promote.main(
                [
                    "--version",
                    *Registry.open(models).versions(),
                    "--by",
                    "test",
                    "--reason",
                    "first",
                    "--force",
                ]
            )
            == 0
        )
    score_materials.main(["--ds", DS])
    plan_dispatch.main(["--ds", DS])
    with pytest.raises(AngeliaError, match="nothing is emitted"):
        emit_manifests.main(["--ds", DS])  # what was judged before the erasure is not this plan
    angelia("quality", "check", "--gate", "plan", "--ds", DS)
    angelia("plan", "guard", "--ds", DS)
    emit_manifests.main(["--ds", DS])
    made = {}
    for name in (
        "user_days",
        "user_pushes",
        "user_features",
        "bitmap_index",
        "decisions",
        "dispatch_manifest",
    ):
        tables = [
            lake.read(lake.require(name, **leaf))
            for leaf in lake.partitions(name)
            if name != "user_features" or leaf["ds"] == DS
        ]
        keys = {
            "user_days": ["ordinal", "event_type", "item"],
            "user_pushes": ["message_id", "kind"],
            "user_features": ["ordinal"],
        }
        keys |= {"decisions": ["ordinal"], "dispatch_manifest": ["dispatch_id"]}
        table = pa.concat_tables(tables)
        made[name] = table.sort_by([(key, "ascending") for key in keys[name]]) if name in keys else table
    return made


@pytest.mark.slow
@pytest.mark.usefixtures("spark")
def unlimited(folder: Path) -> Path:
    """Return the sample's campaigns without its limit on refusals.

    That has one price for the night, which everybody's hours move, those of somebody who goes, too.
    """
    shutil.copytree(CAMPAIGNS, folder)
    policy = folder / "policy.yaml"
    lines = policy.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith("fatigue:")]
    assert len(kept) == len(lines) - 1
    policy.write_text("".join(kept))
    return folder


def test_the_same_night_again(settings_home: Path, lake: Lake, spark: SparkSession, tmp_path: Path) -> None:
    angelia("world", "create", "--users", "300", "--days", DAYS, "--seed", "7")
    angelia("catalog", "apply", str(unlimited(tmp_path / "campaigns")), "--actor", "test")
    angelia("catalog", "snapshot", "--ds", DS)
    before = night(lake, settings_home / "models")
    features = before["user_features"].to_pylist()
    receivers = set(before["dispatch_manifest"]["user_id"].to_pylist())
    who = max(
        (row for row in features if row["user_id"] in receivers),
        key=lambda row: row["n_events_28d"] + row["n_pushes_28d"],
    )
    assert who["n_events_28d"] > 0
    assert who["n_pushes_28d"] > 0
    (tombstone,) = erase(lake, [who["user_id"]]).tombstones
    after = night(lake, settings_home / "models")
    assert lake.require("user_index", chain="0").meta["n_users"] == len(features)  # nobody new, nobody lost
    assert after["user_days"] == before["user_days"]
    assert after["user_pushes"] == before["user_pushes"]
    expected = [
        row if row["ordinal"] != who["ordinal"] else {**row, "user_id": tombstone, "is_suppressed": True}
        for row in features
    ]
    assert after["user_features"].to_pylist() == expected
    counts = [
        {
            tuple(row[key] for key in ("field", "kind", "value", "bit", "block")): row["cardinality"]
            for row in night["bitmap_index"].to_pylist()
        }
        for night in (before, after)
    ]
    differ = {
        key: counts[1].get(key, 0) - counts[0].get(key, 0)
        for key in {*counts[0], *counts[1]}
        if counts[0].get(key) != counts[1].get(key)
    }
    assert {key[0] for key in differ} == {"is_suppressed", "reachable"}
    assert {(key[0], n) for key, n in differ.items()} == {("is_suppressed", 1), ("reachable", -1)}
    assert who["ordinal"] not in after["decisions"]["ordinal"].to_pylist()
    assert not {who["user_id"], tombstone} & set(after["dispatch_manifest"]["user_id"].to_pylist())
    others = before["dispatch_manifest"].filter(
        pc.not_equal(before["dispatch_manifest"]["ordinal"], who["ordinal"])
    )
    assert after["dispatch_manifest"] == others  # nobody is told twice or not at all for it
    angelia("quality", "check", "--gate", "plan", "--ds", DS)
    assert verify(lake).problems == []
