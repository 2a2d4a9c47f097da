"""The shipped examples on the real data they are for: KuaiRand-Pure and Online Retail.

Runs where ANGELIA_DATA names the folder of the sets; elsewhere skipped with that reason, and failed where CI
is set.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.compute as pc
import pytest
import yaml

from angelia.catalog.documents import parse_document
from angelia.commands.import_ import run_import
from angelia.config import load_settings
from angelia.lake import Lake

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def data_files(folder: Path, *patterns: str) -> list[Path]:
    return [path for pattern in patterns for path in sorted(folder.glob(pattern))]


@pytest.mark.integration
@pytest.mark.usefixtures("settings_home")
def test_kuairand(lake: Lake, real_data: Callable[..., Path]) -> None:
    files = data_files(
        real_data("kuairand_pure") / "kuairand_pure",
        "user_features*.parquet",
        "log_standard*.parquet",
        "video_features*.parquet",
    )
    result = run_import(load_settings(), EXAMPLES / "kuairand" / "mapping.yaml", files)
    assert result["ds"] == "2022-05-08"
    assert {name: entry["rows"] for name, entry in result["datasets"].items()} == {
        "user_profiles": 27_285,
        "user_endpoints": 27_285,
        "user_preferences": 0,
        "push_history": 222_444,
        "user_events": 366_758,
    }
    assert all(output["rejected"] == {} for output in result["outputs"])
    # distinct (user, video, time) of the log, and how many of them were clicked: counted from the file itself
    pushes = [lake.read(lake.require("push_history", **leaf)) for leaf in lake.partitions("push_history")]
    assert len(pushes) == 15
    assert sum(table.num_rows - table["opened_ts"].null_count for table in pushes) == 100_008
    assert all(
        table["slot_propensity"].null_count == table["material_propensity"].null_count == table.num_rows
        for table in pushes
    )
    documents = [
        parse_document(raw)
        for path in sorted((EXAMPLES / "kuairand" / "campaigns").glob("*.yaml"))
        for raw in yaml.safe_load_all(path.read_text())
    ]
    materials = {document.id for document in documents if document.kind == "material"}
    shown = {name for table in pushes for name in pc.unique(table["material_id"]).to_pylist()}
    assert shown - {"kuairand_cat_other"} == materials


@pytest.mark.integration
@pytest.mark.usefixtures("settings_home")
def test_online_retail(lake: Lake, real_data: Callable[..., Path]) -> None:
    files = data_files(
        real_data("online_retail") / "online_retail",
        "online_retail_ii_*.parquet",
        "online_retail_2010_2011_*.parquet",
    )
    result = run_import(load_settings(), EXAMPLES / "online_retail" / "mapping.yaml", files, dry_run=True)
    assert result["ds"] == "2011-12-09"
    assert {name: entry["rows"] for name, entry in result["datasets"].items()} == {
        "user_profiles": 5_881,
        "user_events": 791_114,
    }
    earlier = next(
        output
        for output in result["outputs"]
        if output["dataset"] == "user_events" and output["input"] == "earlier"
    )
    assert earlier["filtered"] == {
        "no customer": 107_927,
        "also in the later file": 14_505,
        "cancellation": 9_839,
    }
    assert lake.partitions("user_events") == []
