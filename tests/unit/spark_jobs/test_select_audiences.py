"""Members and sizes of a night's audiences, over an index that build_bitmaps wrote.

tests/unit/spark_jobs/test_build_bitmaps.py compares them with the tables, on Spark.
tests/spec/test_audience_oracle.py tests what predicates mean.
"""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyroaring import BitMap

from angelia.audience.holdout import HeldOut, Holdout
from angelia.audience.members import read_members
from angelia.audience.query import AudienceQuery
from angelia.audience.reach import reach
from angelia.catalog.documents import canonical, parse_document
from angelia.contracts import arrow, dataset
from angelia.contracts.ids import uniform, user_keys
from angelia.contracts.rows import valid_rows
from angelia.lake import Lake
from spark_jobs import build_bitmaps, select_audiences
from spark_jobs.running.session import run_job
from tests.user_index import append_people

DS, N, SHARD_BITS = "2026-11-14", 600, 8
POLICY = {
    "kind": "policy", "id": "default", "salt": "s", "holdout": {"share_pct": 0, "salt": "h"},
    "explore": {"slot_share_pct": 5, "epsilon": 0.1},
}  # fmt: skip
PREDICATES = {
    "women": "gender = 'f'",
    "buyers": "count_events('purchase', 2) >= 1",
    "women_who_buy": "in_audience('women') AND in_audience('buyers')",
    "nobody": "FALSE",
}
BUYERS = range(0, N, 7)


def write(lake: Lake, name: str, table: pa.Table, ds: str = DS, **facts: object) -> None:
    with lake.attempt(name, ds=ds) as attempt:
        attempt.write(table, "part-0000.parquet", conform=False, shards=(0, 2))
        attempt.publish(**facts)


def write_catalog(lake: Lake, predicates: dict[str, str]) -> None:
    raws = [POLICY, *({"kind": "audience", "id": k, "predicate": text} for k, text in predicates.items())]
    bodies = [
        {"kind": raw["kind"], "id": raw["id"], "version": 1, "body": canonical(parse_document(raw))}
        for raw in raws
    ]
    write(
        lake,
        "catalog_snapshot",
        pa.Table.from_pylist(bodies, schema=arrow.schema(dataset("catalog_snapshot"))),
    )


@pytest.fixture
def indexed(lake: Lake, index_home: Path, settings_home, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """Return the test's own lake, with a night's index in it."""
    monkeypatch.setenv("ANGELIA_SPARK_MASTER", "inline")
    shutil.copytree(index_home / "lake", settings_home / "lake", dirs_exist_ok=True)
    return lake


@pytest.fixture(scope="module")
def index_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with a night's index: 600 people in three shards; one in seven bought.

    They bought yesterday.
    """
    home = tmp_path_factory.mktemp("index")
    lake = Lake.open(str(home / "lake"))
    names = [valid_rows("user_index", N)]
    index = append_people(lake, names, shard_bits=SHARD_BITS)
    write(lake, "user_features", valid_rows("user_features", N, ds=DS), inputs=[index])
    bought = [
        {"ordinal": i, "event_type": "purchase", "item": None, "n_events": 1, "value_sum": 9.0, "hours": 1}
        for i in BUYERS
    ]
    yesterday = (date.fromisoformat(DS) - timedelta(days=1)).isoformat()
    write(
        lake, "user_days", pa.Table.from_pylist(bought, schema=arrow.schema(dataset("user_days"))), yesterday
    )
    write(lake, "user_days", arrow.schema(dataset("user_days")).empty_table())
    write(lake, "user_pushes", arrow.schema(dataset("user_pushes")).empty_table())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANGELIA_HOME", str(home))
        patch.setenv("ANGELIA_SHARD_BITS", "14")
        patch.setenv("ANGELIA_SPARK_MASTER", "inline")
        build_bitmaps.main(["--ds", DS])
    return home


def test_members_and_sizes_are_those_of_the_tables(indexed: Lake) -> None:
    write_catalog(indexed, PREDICATES)
    select_audiences.main(["--ds", DS])
    people = indexed.read(indexed.require("user_features", ds=DS))
    women = set(people.filter(pc.equal(people["gender"], "f"))["ordinal"].to_pylist())
    expected = {
        "women": women, "buyers": set(BUYERS), "women_who_buy": women & set(BUYERS), "nobody": set(),
    }  # fmt: skip
    assert 0 < len(expected["women_who_buy"]) < len(BUYERS)
    commit = indexed.require("audience_members", ds=DS)
    assert commit.meta["sizes"] == {name: len(members) for name, members in expected.items()}
    for shard in range(3):
        inside = set(range(shard << SHARD_BITS, (shard + 1) << SHARD_BITS))
        members = {name: set(bits) for name, bits in read_members(indexed, commit, shard).items()}
        assert members == {name: every & inside for name, every in expected.items()}
    rows = indexed.read(commit).to_pylist()
    # An audience of nobody has its rows too, so that what is missing is missed.
    assert sorted({(row["audience"], row["shard"]) for row in rows}) == sorted(
        (name, shard) for name in PREDICATES for shard in range(3)
    )


def test_the_commit_cites_the_index_and_the_catalog(indexed: Lake) -> None:
    write_catalog(indexed, PREDICATES)
    select_audiences.main(["--ds", DS])
    cited = {text.partition("/")[0] for text in map(str, indexed.require("audience_members", ds=DS).inputs)}
    assert cited == {"bitmap_index", "catalog_snapshot"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("count_events('view', 90) >= 1", "days is between 1 and 28"),
        ("in_list('gone')", "gone"),
        ("shoe_size > 40", "shoe_size"),
    ],
)
def test_an_unanswerable_predicate_names_its_audience(indexed: Lake, capsys, text: str, why: str) -> None:
    write_catalog(indexed, PREDICATES)
    select_audiences.main(["--ds", DS])
    before = indexed.require("audience_members", ds=DS).ref
    write_catalog(indexed, PREDICATES | {"broken": text})
    assert run_job(select_audiences.main, ["--ds", DS]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: audience broken: ")
    assert why in line
    assert indexed.require("audience_members", ds=DS).ref == before


def test_a_catalog_without_audiences_selects_nobody(indexed: Lake, capsys) -> None:
    write_catalog(indexed, {})
    select_audiences.main(["--ds", DS])
    commit = indexed.require("audience_members", ds=DS)
    assert (commit.rows, commit.meta["sizes"]) == (0, {})
    assert "the catalog has no audiences" in capsys.readouterr().err


def test_without_an_index_the_line_names_its_job(lake: Lake, settings_home, capsys) -> None:
    write_catalog(lake, PREDICATES)
    assert run_job(select_audiences.main, ["--ds", DS]) == 2
    assert "build_bitmaps" in capsys.readouterr().err


def test_the_holdout_is_written_as_bitmaps(indexed: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    holdout = Holdout(20.0, "h")
    monkeypatch.setitem(POLICY, "holdout", holdout.as_params())
    write_catalog(indexed, PREDICATES)
    select_audiences.main(["--ds", DS])
    commit = indexed.require("holdout_members", ds=DS)
    users = indexed.read(indexed.require("user_index", chain="0"))
    held = uniform(user_keys(users["user_id"].to_pylist()), "bucket", "h") * 100.0 < 20.0
    expected = set(users["ordinal"].filter(pa.array(held)).to_pylist())
    rows = indexed.read(commit).to_pylist()
    assert [row["shard"] for row in rows] == [0, 1, 2]
    assert set().union(*(BitMap.deserialize(row["bitmap"]) for row in rows)) == expected
    assert commit.meta == {"n_held_out": len(expected)}
    assert 60 < len(expected) < 180


def test_counts_take_the_nights_holdout_and_hash_nobody(
    indexed: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(POLICY, "holdout", {"share_pct": 20.0, "salt": "h"})
    write_catalog(indexed, PREDICATES)
    audience = AudienceQuery(indexed, DS, PREDICATES)

    def held(holdout: Holdout) -> int | None:
        return reach(audience, "gender = 'f'", HeldOut(audience.index, holdout)).held_out

    hashed = held(Holdout(20.0, "h")), held(Holdout(20.0, "k")), held(Holdout(5.0, "h"))
    assert len(set(hashed)) == 3
    select_audiences.main(["--ds", DS])
    monkeypatch.setattr("angelia.audience.holdout.user_ids", None)  # a call would fail
    assert held(Holdout(20.0, "h")) == hashed[0]
    monkeypatch.undo()
    # Bitmaps of another salt or share are not these people.
    assert held(Holdout(20.0, "k")) == hashed[1]
    assert held(Holdout(5.0, "h")) == hashed[2]
