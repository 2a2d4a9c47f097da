"""Members are read back as they were written: by shard, and only the audiences asked for."""

from __future__ import annotations

import pyarrow as pa
import pytest
from pyroaring import BitMap

from angelia.audience.members import read_members
from angelia.contracts import arrow, dataset
from angelia.lake import Commit, Lake

DS = "2026-11-14"
MEMBERS = {("women", 0): {1, 2}, ("women", 1): {300}, ("old", 0): {2}, ("old", 1): set()}


@pytest.fixture
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return Lake.open(str(tmp_path_factory.mktemp("lake")))


@pytest.fixture
def members(lake: Lake) -> Commit:
    rows = [
        {"audience": name, "shard": shard, "cardinality": len(who), "bitmap": BitMap(who).serialize()}
        for (name, shard), who in MEMBERS.items()
    ]
    table = pa.Table.from_pylist(rows, schema=arrow.schema(dataset("audience_members")))
    with lake.attempt("audience_members", ds=DS) as attempt:
        attempt.write(table, "both.parquet", shards=(0, 1))
        return attempt.publish()


def test_a_shard_gives_each_audience_its_own_members(lake: Lake, members: Commit) -> None:
    assert read_members(lake, members, 0) == {"women": BitMap([1, 2]), "old": BitMap([2])}
    assert read_members(lake, members, 1) == {"women": BitMap([300]), "old": BitMap()}
    assert read_members(lake, members, 2) == {}


def test_only_the_audiences_asked_for_are_decoded(lake: Lake, members: Commit) -> None:
    assert read_members(lake, members, 0, {"old", "unheard_of"}) == {"old": BitMap([2])}
    assert read_members(lake, members, 0, ()) == {}
