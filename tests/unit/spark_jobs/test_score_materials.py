import json
from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pytest
from pyroaring import BitMap

from angelia.catalog.documents import canonical, parse_document
from angelia.catalog.snapshot import Catalog, load_snapshot
from angelia.contracts import arrow, dataset
from angelia.contracts.rows import valid_rows
from angelia.lake import Lake
from models import logistic
from models.answering.lately import segments_of
from models.behaviour import Behaviour, Population, behaviour
from models.features import CATEGORICAL, FEATURES, Context
from models.registry import FILES, Registry
from models.scorer import Scorer, features_json
from models.train import boost
from models.uplift.kept import keep
from models.uplift.learning import fit
from models.uplift.people import KEPT, USER_COLUMNS, encode
from spark_jobs import score_materials
from spark_jobs.running.session import run_job
from spark_jobs.score_materials import Candidate, candidates, lift_models, lift_of, score_shard
from tests.user_index import append_people

DS = "2026-11-14"
N = 600
EXPLORE = {"slot_share_pct": 5.0, "epsilon": 0.1}
CAMPAIGN = {
    "name": "x",
    "topic": "promo",
    "owner": "me",
    "channels": ["fcm"],
    "value_per_open": 0.1,
    "occurrence": {"every": "daily"},
}
BODIES = [
    ("policy", "default", {"holdout": {"share_pct": 2.0, "salt": "h"}, "explore": EXPLORE, "salt": "s"}),
    ("audience", "even", {"predicate": "gender = 'f'"}),
    ("audience", "low", {"predicate": "gender = 'f'"}),
    ("template", "t", {"channels": ["fcm"], "variants": {"en": {"title": "t", "body": "b"}}}),
    ("material", "plain", {"template": "t", "category": "camera"}),
    ("material", "picky", {"template": "t", "category": "shoes", "audience": "low"}),
    ("material", "over", {"template": "t", "valid_until": "2026-11-13"}),
    ("material", "bold", {"template": "t"}),
    (
        "experiment",
        "words",
        {
            "salt": "w",
            "arms": [{"name": "a", "share_pct": 50}, {"name": "b", "share_pct": 50, "materials": ["bold"]}],
        },
    ),
    (
        "campaign",
        "on",
        CAMPAIGN
        | {
            "audience": "even",
            "materials": ["plain", "picky", "over"],
            "start_date": "2026-11-15",
            "end_date": "2026-11-30",
        },
    ),
    (
        "campaign",
        "off",
        CAMPAIGN
        | {"audience": "even", "materials": ["plain"], "start_date": "2026-11-17", "end_date": "2026-11-30"},
    ),
    (
        "campaign",
        "tried",
        CAMPAIGN
        | {
            "audience": "low",
            "materials": ["plain"],
            "experiment": "words",
            "start_date": "2026-11-01",
            "end_date": "2026-11-15",
        },
    ),
]


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """Return a model version's files: a small model of noise."""
    rng = np.random.default_rng(0)
    matrix = rng.integers(0, 3, (2000, len(FEATURES))).astype(np.float32)
    label = (rng.random(2000) < 0.2 + 0.2 * (matrix[:, 1] > 1)).astype(np.float64)
    vocabulary = {f.name: [] for f in FEATURES if f.kind == "category"}
    matrix[:, CATEGORICAL] = np.nan
    seen = logistic.Seen.of(matrix, vocabulary)
    line = logistic.fit(seen, label, np.ones(2000), np.zeros(2000), ridge=1.0)
    everybody = slice(0, 2000)
    trees = boost(matrix, label, np.ones(2000), np.zeros(2000), everybody, None, seed=1, trees=5)
    population = Population(("camera",), np.array([1.0]), 0.1)
    given = {
        "model.txt": trees.model_to_string().encode(),
        "logistic.json": json.dumps(
            line.as_dict() | {"population": population.as_dict(), "doubt": {"plain": 0.3}}
        ).encode(),
        "features.json": json.dumps(features_json(vocabulary)).encode(),
        "calibration.json": b'{"slope": 1.0, "offset": 0.0}',
    }
    return {name: given.get(name, b"{}") for name in FILES}


@pytest.fixture
def night(lake, settings_home, files):
    """Return a lake ready to be scored, shard_bits 8, and a registry with a champion."""
    index = pa.table({"user_id": [f"u{i:07d}" for i in range(N)], "ordinal": pa.array(range(N), pa.uint32())})
    append_people(lake, [index], shard_bits=8)
    people = valid_rows("user_features", N, ds=DS)
    members = {"even": BitMap(range(0, N, 2)), "low": BitMap(range(300))}
    with (
        lake.attempt("user_features", ds=DS) as features,
        lake.attempt("audience_members", ds=DS) as audiences,
    ):
        for shard in range(3):
            inside = BitMap(range(shard << 8, (shard + 1) << 8))
            features.write(people.slice(shard << 8, 256), f"shard-{shard}.parquet", shards=(shard, shard))
            rows = [
                {
                    "audience": name,
                    "shard": shard,
                    "cardinality": len(bits & inside),
                    "bitmap": (bits & inside).serialize(),
                }
                for name, bits in members.items()
            ]
            audiences.write(table("audience_members", rows), f"shard-{shard}.parquet", shards=(shard, shard))
        features.publish()
        audiences.publish()
    bodies = [
        {"kind": kind, "id": name, "version": 1, "body": json.dumps({"kind": kind, "id": name} | body)}
        for kind, name, body in BODIES
    ]
    with lake.attempt("catalog_snapshot", ds=DS) as attempt:
        attempt.write(table("catalog_snapshot", bodies), "documents.parquet")
        attempt.publish()
    return lake


def table(name: str, rows: list[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=arrow.schema(dataset(name)))


def test_candidates_are_running_campaigns_valid_materials(night) -> None:
    arms = candidates(load_snapshot(night, DS), [date(2026, 11, day) for day in (14, 15, 16)])
    listed = [(c.context.campaign_id, c.context.material_id, c.audiences) for c in arms]
    assert listed == [
        ("on", "picky", ("even", "low")),
        ("on", "plain", ("even",)),
        ("tried", "bold", ("low",)),
        ("tried", "plain", ("low",)),
    ]
    assert arms[1].context == Context("on", "plain", "promo", "camera")


def idle(n: int) -> Behaviour:
    """Return what people did who did nothing."""
    days = arrow.schema(dataset("user_days")).empty_table().append_column("row", pa.array([], pa.int64()))
    pushes = arrow.schema(dataset("user_pushes")).empty_table().append_column("row", pa.array([], pa.int64()))
    nothing = pa.array([], pa.int64())
    days, pushes = (table.append_column("day", nothing) for table in (days, pushes))
    pushes = pushes.append_column("sent_day", pa.array([], pa.float64()))
    return behaviour(days, pushes, {}, Population(("camera",), np.array([1.0]), 0.1), day=27, n=n)


def test_a_shard_without_members_or_campaigns_has_no_scores(files) -> None:
    people = valid_rows("user_features", 10)
    scorer = Scorer(files)
    assert (
        score_shard(people, idle(10), {}, [Candidate(Context("c", "m"), ("nobody",))], scorer).num_rows == 0
    )
    assert score_shard(people, idle(10), {}, [], scorer).num_rows == 0
    assert (
        arrow.conform(
            score_shard(people.slice(0, 0), idle(0), {}, [], scorer), dataset("material_scores")
        ).num_rows
        == 0
    )


def test_members_of_running_campaigns_are_scored(spark, night, settings_home, files, capsys) -> None:
    assert run_job(score_materials.main, ["--ds", DS]) == 2
    assert "no model has been promoted" in capsys.readouterr().err
    registry = Registry.open(settings_home / "models")
    version = registry.add(DS, files)
    registry.promote(version, actor="ada", reason="test", at="2026-11-15T00:00:00+00:00")
    score_materials.main(["--ds", DS])
    commit = night.require("material_scores", ds=DS)
    assert commit.meta["model"] == version
    assert commit.meta["doubt"] == {"plain": 0.3, "picky": 1.0, "bold": 1.0}  # unseen: wholly unknown
    rows = night.read(commit).to_pylist()
    keys = [(row["ordinal"], row["campaign_id"], row["material_id"]) for row in rows]
    expected = [(i, "on", "plain") for i in range(0, N, 2)] + [(i, "on", "picky") for i in range(0, 300, 2)]
    expected += [(i, "tried", material) for i in range(300) for material in ("bold", "plain")]
    assert keys == sorted(expected)
    scorer = Scorer(files)
    people = scorer.encode_users(valid_rows("user_features", N, ds=DS), idle(N))
    wanted = scorer.predict(people, [Context("on", "plain", "promo", "camera")])[:, 0]
    got = {
        row["ordinal"]: row["p_open"]
        for row in rows
        if (row["campaign_id"], row["material_id"]) == ("on", "plain")
    }
    assert got == {i: pytest.approx(wanted[i], abs=1e-9) for i in range(0, N, 2)}
    assert len(set(got.values())) > 1

    other = files | {
        "features.json": json.dumps(json.loads(files["features.json"]) | {"version": 99}).encode()
    }
    assert run_job(score_materials.main, ["--ds", DS, "--model", registry.add(DS, other)]) == 2
    assert "feature list version 99" in capsys.readouterr().err


def test_opens_since_the_training_move_the_next_scores(night, settings_home, files, monkeypatch) -> None:
    monkeypatch.setenv("ANGELIA_SPARK_MASTER", "inline")
    registry = Registry.open(settings_home / "models")
    # A slope that keeps the little model from being sure.
    version = registry.add("2026-11-10", files | {"calibration.json": b'{"slope": 0.05, "offset": -1.0}'})
    # All who got `plain` opened it, and nobody opened `bold`.
    at = datetime(2026, 11, 13, 12, tzinfo=UTC)
    pushes = []
    for i in range(300):
        row = {"ordinal": i, "message_id": f"{i:032x}", "campaign_id": "tried", "channel": "fcm",
               "material_id": ("bold", "plain")[i % 2], "at_ts": at, "sent_ts": at}  # fmt: skip
        pushes += [row | {"kind": kind} for kind in ("sent", "opened")[: 1 + i % 2]]
    with night.attempt("user_pushes", ds="2026-11-13") as attempt:
        attempt.write(table("user_pushes", pushes), "part.parquet")
        attempt.publish()
    score_materials.main(["--ds", DS, "--model", version])
    before = night.require("material_scores", ds=DS)
    assert (before.meta["shift"], before.meta["lately"]["until"]) == ({}, "")
    # Two nights ago the scores were the same: what was opened on the 13th is news of them.
    with night.attempt("material_scores", ds="2026-11-12") as attempt:
        attempt.write(night.read(before), "part.parquet")
        attempt.publish(meta=before.meta)
    score_materials.main(["--ds", DS, "--model", version])
    after = night.require("material_scores", ds=DS)
    assert after.meta["lately"]["until"] == "2026-11-12"
    shift = {name: mine[""] for name, mine in after.meta["shift"].items()}
    assert shift["plain"] > 0.3 > -0.3 > shift["bold"]
    assert after.meta["doubt"]["bold"] < before.meta["doubt"]["bold"] == 1.0
    was, now = (night.read(one)["p_open"].to_numpy() for one in (before, after))
    names, code = segments_of(valid_rows("user_features", N, ds=DS))
    by = [after.meta["shift"].get(row["material_id"], {}) for row in night.read(after).to_pylist()]
    segment = [names[code[row["ordinal"]]] for row in night.read(after).to_pylist()]
    odds = np.exp([mine.get(name, mine.get("", 0.0)) for mine, name in zip(by, segment, strict=True)])
    assert now == pytest.approx(was * odds / (was * odds + 1 - was), abs=1e-8)
    assert "material_scores/ds=2026-11-12@1" in " ".join(after.inputs)


def catalog_that_asks(lake: Lake) -> Catalog:
    catalog = load_snapshot(lake, DS)
    asking = parse_document(
        json.loads(canonical(catalog.campaigns["on"])) | {"uplift": {"model": "moved", "value": 9.0}}
    )
    return replace(catalog, campaigns={**catalog.campaigns, "on": asking})


def test_a_campaign_without_its_lift_model_says_so(night, settings_home, capsys) -> None:
    registry = Registry.open(settings_home / "models")
    models, facts = lift_models(registry, catalog_that_asks(night), ["on", "tried"])
    assert (models, facts) == ({}, {"on": {"model": None, "wanted": "moved"}})
    assert "campaign on: no lift model moved was kept" in capsys.readouterr().err
    assert lift_models(registry, load_snapshot(night, DS), ["on", "tried"]) == ({}, {})


def test_lift_stands_beside_each_score_of_its_campaign(night, settings_home, files, capsys) -> None:
    registry, people = Registry.open(settings_home / "models"), valid_rows("user_features", N, ds=DS)
    words = {name: [] for name in USER_COLUMNS}
    treated = np.arange(N) % 2 == 0
    model = fit(encode(people, words), treated, (np.arange(N) % 3 == 0).astype(float), 0.5, KEPT, [], 1)
    facts = {"metric": "converted", "scope": "all", "above_chance": False, "nights": [DS]}
    version = keep(registry.store, "moved", model, words, 2.0, facts)
    lifts, meta = lift_models(registry, catalog_that_asks(night), ["on", "tried"])
    assert meta["on"]["model"] == version
    assert "campaign on: the order of lift model moved may be chance" in capsys.readouterr().err
    wanted = [Candidate(Context("on", "plain"), ("even",)), Candidate(Context("tried", "plain"), ("even",))]
    members = {"even": BitMap(range(0, N, 2))}
    scores = score_shard(people, idle(N), members, wanted, Scorer(files), lift_of(people, lifts))
    got = {(row["ordinal"], row["campaign_id"]): row["lift"] for row in scores.to_pylist()}
    expected = model.score(encode(people, words)) / 2.0
    assert got == {
        **{(i, "on"): pytest.approx(expected[i], abs=1e-9) for i in range(0, N, 2)},
        **{(i, "tried"): None for i in range(0, N, 2)},
    }
