"""build_bitmaps and select_audiences on a small night: the index agrees with the tables."""

import json
from pathlib import Path

import numpy as np
import pytest

from angelia.audience.members import read_members
from angelia.audience.query import AudienceQuery
from angelia.cli import main as cli
from angelia.contracts.rows import valid_rows
from angelia.errors import InvalidInput
from models.registry import Registry
from models.uplift import kept
from models.uplift.learning import fit
from models.uplift.people import KEPT, USER_COLUMNS, encode
from spark_jobs import build_bitmaps, build_features, select_audiences
from spark_jobs.running import spread

DS = "2026-11-14"
POLICY = {
    "kind": "policy",
    "id": "default",
    "holdout": {"share_pct": 2.0, "salt": "s"},
    "salt": "x",
    "explore": {"slot_share_pct": 5, "epsilon": 0.1},
}
PREDICATES = {
    "women": "gender = 'f'",
    "active_women": "in_audience('women') AND count_events('view', 7) >= 10",
    "nobody": "FALSE",
}


def catalog(lake, predicates: dict[str, str]) -> None:
    import pyarrow as pa

    from angelia.catalog.documents import canonical, check_document
    from angelia.contracts import arrow, dataset

    rows = []
    for raw in [
        POLICY,
        *({"kind": "audience", "id": name, "predicate": text} for name, text in predicates.items()),
    ]:
        document, problems = check_document(raw)
        assert not problems
        assert document is not None
        rows.append({"kind": document.kind, "id": document.id, "version": 1, "body": canonical(document)})
    with lake.attempt("catalog_snapshot", ds=DS) as attempt:
        attempt.write(
            pa.Table.from_pylist(rows, schema=arrow.schema(dataset("catalog_snapshot"))), "documents.parquet"
        )
        attempt.publish()


def keep_lift(home: Path) -> str:
    """Keep a model of `uplift_score` by which messages move women only."""
    words: dict[str, list[str]] = {name: [] for name in USER_COLUMNS} | {"gender": ["f", "m"]}
    matrix, gender = encode(valid_rows("user_features", 800), words), KEPT.index("gender")
    matrix[:] = np.nan
    matrix[:, gender] = np.arange(800) % 2
    treated = np.arange(800) // 2 % 2 == 0
    outcome = (treated & (matrix[:, gender] == 0)).astype(float)
    model = fit(matrix, treated, outcome, 0.5, KEPT, [gender], 1)
    facts = {"metric": "converted", "scope": "all", "above_chance": True, "nights": [DS]}
    return kept.keep(Registry.open(home / "models").store, "uplift_score", model, words, 2.0, facts)


def test_index_and_audiences_equal_the_tables(spark, small_night, settings_home, monkeypatch, capsys) -> None:
    lake = small_night
    version = keep_lift(settings_home)
    build_features.main(["--ds", DS])
    assert lake.require("user_features", ds=DS).meta["uplift_score"] == version
    build_bitmaps.main(["--ds", DS])
    commit = lake.require("bitmap_index", ds=DS)
    meta = commit.meta
    assert (meta["n_shards"], meta["block_bits"], meta["n_users"]) == (3, 16, 600)
    features = lake.read(lake.require("user_features", ds=DS)).to_pylist()
    audience = AudienceQuery(lake, DS)
    want = {
        "gender = 'f' AND n_opens_28d >= 5": lambda r: r["gender"] == "f" and r["n_opens_28d"] >= 5,
        "NOT gender = 'f'": lambda r: r["gender"] is not None and r["gender"] != "f",
        "reachable('sms') AND NOT opted_out('promo')": lambda r: (
            "sms" in r["channels"] and not r["is_suppressed"] and "promo" not in r["opted_out_topics"]
        ),
        # The same history answered by daily bitmaps and by the aggregate of build_features.
        "count_events('view', 'camera', 28) + 0 >= 30": None,
        "count_events('view', 28) >= 30": lambda r: r["n_events_28d"] - r["n_purchases_28d"] >= 30,
        "count_events('view', 'camera', 7) >= 10": lambda r: r["n_events_7d"] >= 10 and r["ordinal"] != 6,
        "count_events('purchase', 28) = 3": lambda r: r["n_purchases_28d"] == 3,
        "sum_events('purchase', 28) >= 30": lambda r: r["value_28d"] >= 30,
        "days_since('view') <= 2": lambda r: r["days_since_event"] is not None and r["days_since_event"] <= 2,
        "received('price_drop', 1)": lambda r: r["days_since_push"] == 0,
        "opened('price_drop', 28)": lambda r: r["n_opens_28d"] > 0,
        "uplift_score > 0.1": lambda r: r["uplift_score"] > 0.1,
        "uplift_score <= 0.1 AND n_events_28d > 0": lambda r: (
            r["uplift_score"] <= 0.1 and r["n_events_28d"] > 0
        ),
    }
    for text, condition in want.items():
        if condition is None:
            with pytest.raises(InvalidInput, match="Add is not part of the predicate language"):
                audience.count(text)
            continue
        expected = {row["ordinal"] for row in features if condition(row)}
        assert {o for members in audience.all_members(text) for o in members} == expected, text
        assert audience.count(text) == len(expected), text
    moved = sum(row["uplift_score"] > 0.1 for row in features)
    assert moved == sum(row["gender"] == "f" for row in features) > 0
    capsys.readouterr()
    with pytest.raises(SystemExit) as done:
        cli(["audience", "count", "uplift_score > 0.1", "--ds", DS, "--json"])
    assert done.value.code == 0
    assert json.loads(capsys.readouterr().out)["count"] == moved
    sha = [entry.sha256 for entry in commit.files]
    days = {
        leaf["ds"]: [entry.sha256 for entry in lake.require("bitmap_days", ds=leaf["ds"]).files]
        for leaf in lake.partitions("bitmap_days")
    }
    assert len(days) == 28
    build_bitmaps.main(["--ds", DS])
    again = lake.require("bitmap_index", ds=DS)
    assert [entry.sha256 for entry in again.files] == sha
    assert again.inputs == commit.inputs  # the same days: none was made again

    catalog(lake, PREDICATES)
    select_audiences.main(["--ds", DS])
    members = lake.require("audience_members", ds=DS)
    sizes = {
        "women": 398,
        "active_women": audience.count("gender = 'f' AND count_events('view', 7) >= 10"),
        "nobody": 0,
    }
    assert members.meta["sizes"] == sizes
    by_shard = [read_members(lake, members, shard) for shard in range(3)]
    assert {name: sum(len(shard[name]) for shard in by_shard) for name in sizes} == sizes

    catalog(lake, {"women": "gender = 'f'", "old": "count_events('view', 90) >= 1"})
    with pytest.raises(InvalidInput, match=r"audience old: .*days is between 1 and 28"):
        select_audiences.main(["--ds", DS])
    assert lake.require("audience_members", ds=DS).ref == members.ref

    monkeypatch.setattr(spread, "wants_spark", lambda: False)
    lake.store.delete_folder("main/bitmap_days")
    build_bitmaps.main(["--ds", DS])  # without Spark, from nothing: the same bytes
    assert {
        day: [entry.sha256 for entry in lake.require("bitmap_days", ds=day).files] for day in days
    } == days
    assert [entry.sha256 for entry in lake.require("bitmap_index", ds=DS).files] == sha
    catalog(lake, PREDICATES)
    select_audiences.main(["--ds", DS])
    assert [entry.sha256 for entry in lake.require("audience_members", ds=DS).files] == [
        entry.sha256 for entry in members.files
    ]
