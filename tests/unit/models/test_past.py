"""Rounds: everything that was drawn counts, sent or not, and a night counts as a whole."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from angelia.catalog.documents import parse_document
from angelia.catalog.snapshot import catalog_of
from angelia.catalog.store import StoredDocument
from angelia.contracts import arrow, dataset, ids
from angelia.lake import Lake
from angelia.matching import assign_arms, draw, inverse_gap
from angelia.planning.offers import choice_sets
from models.dataset import Examples, read_examples
from models.evaluate import choices, eligible, play
from models.past import Logged, read_draws, read_past
from models.scorer import Scorer
from models.train import train

DS, CUTOFF = "2026-11-14", "2026-11-07"
SCORES = {"sale_camera": 0.06, "sale_shoes": 0.05, "sale_food": 0.04}


def draws(ds: str, grid: np.ndarray) -> tuple[list[str], np.ndarray, list[bytes]]:
    """Return what the own draw takes for each row: material, propensity, choice set."""
    chance = inverse_gap(grid, 0.1)
    picked = draw(chance, np.random.default_rng(int(ds[-2:])).random(len(grid)))
    names = [list(SCORES)[k] for k in picked]
    return names, chance[np.arange(len(grid)), picked], choice_sets(grid).to_pylist()


def plan(lake: Lake, ds: str, night: object, grid: np.ndarray, **meta: object) -> list[dict[str, object]]:
    """Write a plan that drew for everybody and sent cameras alone; return its pushes."""
    start = datetime.fromisoformat(ds).replace(tzinfo=UTC) + timedelta(hours=28)
    rows, pushes = [], []
    for i, (material, chance, bits) in enumerate(zip(*draws(ds, grid), strict=True)):
        is_sent = material == "sale_camera"
        key = ids.message_id("sale", f"u{i:05d}", f"plan {ds}")
        entry = {
            "campaign_id": "sale", "message_id": key, "occurrence": ds, "material_id": material,
            "material_propensity": chance, "eligible": bits, "slot": start if is_sent else None,
            "slot_propensity": None, "channel": "fcm" if is_sent else None,
            "outcome": "sent" if is_sent else "not_chosen", "p_open": 0.1, "value_micros": 1,
            "price_micros": 0, "arm": None, "is_explore": False,
        }  # fmt: skip
        rows.append({"ordinal": i, "user_id": f"u{i:05d}", "choices": [entry]})
        if is_sent:
            sent = {"ordinal": i, "message_id": key, "material_propensity": chance, "slot_propensity": None}
            pushes.append(night.push(i, 0, 0, material, "sent", at_ts=start, sent_ts=start) | sent)
    schema = arrow.schema(dataset("decisions"))
    with lake.attempt("decisions", ds=ds) as attempt:
        attempt.write(pa.Table.from_pylist(rows, schema=schema), "part-0000.parquet", shards=(0, 0))
        attempt.publish(meta={"materials": {"sale": list(SCORES)}} | meta)
    return pushes


def even_weights(examples: Examples, logged: Logged) -> np.ndarray:
    """Return an even draw's chance over the logged one, of the planned rounds."""
    usable, _ = choices(logged, examples.catalog)
    return np.concatenate(
        [
            (1.0 / may.sum(axis=1) / propensity)[logged.chosen_from[here] >= 0]
            for _, here, may, _, propensity in usable
        ]
    )


def even_scores() -> np.ndarray:
    """Return the same three scores for 900 people."""
    return np.tile(list(SCORES.values()), (900, 1))


def arm_scores() -> np.ndarray:
    """Return scores with arms: all materials, a fixed assortment, one material alone.

    Of the last third, some are in the audience of a material of its own, too.
    """
    grid, person = even_scores(), np.arange(900)
    grid[person % 3 == 1, 2] = np.nan
    grid[(person % 3 == 2) & (person % 7 > 2), 1] = np.nan
    grid[person % 3 == 2, 2] = np.nan
    return grid


@pytest.fixture
def planned(week: Lake, night: object, monkeypatch: pytest.MonkeyPatch, request) -> Lake:
    """Return the week with two plans: one whole, one cut by the examples' end."""
    monkeypatch.setattr("models.dataset.SHARES", (0.3, 0.45))
    food = ("material", "sale_food", {"template": "plain", "category": "food"})
    monkeypatch.setattr(night, "BODIES", [*night.BODIES, food])
    night.write_catalog(week)
    for ds, day in (("2026-11-10", "2026-11-11"), ("2026-11-12", "2026-11-13")):
        known = week.read(week.require("user_pushes", ds=day)).to_pylist()
        night.write_pushes(week, [*known, *plan(week, ds, night, getattr(request, "param", even_scores)())])
    return week


@pytest.mark.parametrize("planned", [even_scores, arm_scores], indirect=True)
def test_an_even_draw_weighs_one_on_own_sends(planned: Lake) -> None:
    examples = read_examples(planned, ds=DS, cutoff=CUTOFF)
    rounds = examples.rounds
    weight = even_weights(examples, rounds)
    spread = 1.96 * weight.std() / np.sqrt(len(weight))
    assert len(weight) == 900
    assert abs(weight.mean() - 1.0) < spread < 0.2
    # Of what was sent alone, or of what the catalog says and the plan does not, it weighs another sum.
    sent = rounds.reward >= 0
    sent[rounds.rows.num_rows - rounds.n_unsent :] = False
    sent_rounds = replace(
        rounds, rows=rounds.rows.filter(pa.array(sent)), chosen_from=rounds.chosen_from[sent]
    )
    assert even_weights(examples, sent_rounds).mean() < 0.8
    campaign = examples.catalog.campaigns["sale"].model_copy(update={"materials": tuple(SCORES)})
    catalog = replace(examples.catalog, campaigns={"sale": campaign})
    (_, here, may, _, propensity), *_ = choices(replace(rounds, chosen_from=np.full(len(sent), -1)), catalog)[
        0
    ]
    guessed = (1.0 / may.sum(axis=1) / propensity)[rounds.chosen_from[here] >= 0]
    assert (abs(guessed.mean() - 1.0) > 2 * spread) == (len(rounds.sets) > 1)


def test_all_draws_of_a_whole_night_count(planned: Lake) -> None:
    examples = read_examples(planned, ds=DS, cutoff=CUTOFF)
    rounds = examples.rounds
    assert rounds.n_unsent > 100
    unsent = slice(rounds.rows.num_rows - rounds.n_unsent, None)
    assert not rounds.reward[unsent].any()
    assert set(rounds.rows["material_id"].to_pylist()[unsent]) == {"sale_shoes", "sale_food"}
    assert len(rounds.behaviour.user["activity"]) == rounds.rows.num_rows
    assert {commit.dataset for commit in examples.inputs} >= {"decisions"}
    assert rounds.sets == (tuple(SCORES),)
    assert rounds.left_out == {"night_cut": 900}
    commit = planned.require("decisions", ds="2026-11-12")
    assert read_draws(planned, commit, 1.0).num_rows == 900
    assert read_draws(planned, commit, 0.0).num_rows == 0


def test_a_plan_without_choice_sets_is_left_out(planned: Lake) -> None:
    """As plans of before the sets were kept: without the field and its order of bits."""
    table = planned.read(planned.require("decisions", ds="2026-11-10"))
    lists = table["choices"].combine_chunks()
    flat = lists.flatten()
    names = [field.name for field in flat.type if field.name != "eligible"]
    old = pa.StructArray.from_arrays([pc.struct_field(flat, name) for name in names], names)
    choices_before = pa.ListArray.from_arrays(lists.offsets, old)
    with planned.attempt("decisions", ds="2026-11-10") as attempt:
        attempt.write(
            table.set_column(2, "choices", choices_before), "part-0000.parquet", conform=False, shards=(0, 0)
        )
        attempt.publish()
    rounds = read_examples(planned, ds=DS, cutoff=CUTOFF).rounds
    assert (rounds.n_unsent, rounds.sets) == (0, ())
    assert rounds.left_out == {"night_cut": 900, "no_choice_set": 900}


def test_what_the_catalog_lost_is_counted(planned: Lake, night: object, monkeypatch) -> None:
    examples = read_examples(planned, ds=DS, cutoff=CUTOFF)
    catalog = examples.catalog
    kept = {name: material for name, material in catalog.materials.items() if name != "sale_food"}
    _, left_out = choices(examples.rounds, replace(catalog, materials=kept))
    assert left_out == {"material_gone": 900}
    _, left_out = choices(examples.rounds, replace(catalog, campaigns={}))
    assert left_out == {"campaign_gone": examples.rounds.rows.num_rows}


def test_a_model_is_judged_on_all_rounds(planned: Lake, registry) -> None:
    trained = train(planned, registry, ds=DS, cutoff=CUTOFF, trees=5)
    judged = trained.metrics["rounds"]
    assert judged["unsent"] > 100
    assert judged["left_out"] == {"night_cut": 900}  # the night that the examples' end cuts
    assert 0 < judged["unplanned"] == judged["n"] - 900
    assert judged["even_weight"]["low"] < 1.0 < judged["even_weight"]["high"]
    assert "An even draw weighs" in registry.load(trained.version)["card.md"].decode()
    examples = read_examples(planned, ds=DS, cutoff=CUTOFF)
    seen = play(Scorer(registry.load(trained.version)), examples.rounds, examples.catalog)
    assert np.isfinite(seen.terms).all()
    assert seen.ratio.mean() == pytest.approx(1.0, abs=0.1)


def test_people_draw_within_their_arm_and_language() -> None:
    arms = [{"name": "a", "share_pct": 50, "materials": ["m1"]}, {"name": "b", "share_pct": 50}]
    campaign = {
        "kind": "campaign", "id": "c", "name": "C", "topic": "promo", "owner": "o", "audience": "all",
        "materials": ["m1", "m2", "m3"], "channels": ["fcm"], "value_per_open": 1.0, "experiment": "e",
        "occurrence": {"every": "daily"}, "start_date": "2026-09-01", "end_date": "2026-12-31",
    }  # fmt: skip
    material = {"kind": "material", "template": "t"}
    explore = {"slot_share_pct": 0, "epsilon": 0.1}
    holdout = {"share_pct": 0, "salt": "h"}
    documents = [
        {"kind": "policy", "id": "default", "salt": "s", "explore": explore, "holdout": holdout},
        campaign,
        {"kind": "experiment", "id": "e", "salt": "e", "arms": arms},
        material | {"id": "m1"},
        material | {"id": "m2", "locales": ["de-DE"]},
        material | {"id": "m3", "valid_from": "2026-11-12", "valid_until": "2026-11-12"},
    ]
    catalog = catalog_of([StoredDocument(parse_document(raw), 1) for raw in documents], ())
    people = [f"u{i:07d}" for i in range(40)]
    day = int(datetime(2026, 11, 12, tzinfo=UTC).timestamp()) * 1_000_000
    rows = pa.table(
        {
            "user_id": people * 2,
            "locale": pa.array((["de-DE", None] * 20) * 2, pa.string()),
            "sent_us": [day + 5] * 40 + [day + 86_400_000_000] * 40,
        }
    )
    may = eligible(catalog, "c", ["m1", "m2", "m3"], rows)
    first = assign_arms(ids.user_keys(people), "e", [50, 50]) == 0
    assert 5 < first.sum() < 35
    german = np.arange(40) % 2 == 0
    assert may[:40].tolist() == np.stack([np.ones(40, bool), ~first & german, ~first], axis=1).tolist()
    assert may[40:, 2].sum() == 0


def test_training_reads_looks_kept_by_the_cutoff(tmp_path) -> None:
    lake = Lake.open(str(tmp_path / "lake"))

    def write(name: str, ds: str, row: dict[str, object]) -> None:
        rows = pa.Table.from_pylist([row], schema=arrow.schema(dataset(name)))
        with lake.attempt(name, ds=ds) as attempt:
            attempt.write(rows, "part-0000.parquet", shards=(0, 0))
            attempt.publish()

    for ds, looks in (("2026-09-30", 3.0), ("2026-10-30", 5.0), ("2026-11-08", 99.0)):
        write("user_looks", ds, {"ordinal": 4, "item": "camera", "looks": looks})
    day = {"ordinal": 4, "event_type": "view", "item": "camera", "n_events": 1, "value_sum": 0.0, "hours": 1}
    for ds in ("2026-10-30", "2026-10-31", "2026-11-07"):
        write("user_days", ds, day)
    past = read_past(lake, "2026-11-14", 3, [4], looks_by="2026-11-07")
    assert past.looks is not None
    assert past.looks.counts(("camera",), 1).tolist() == [[5.0]]
    # Every day since the record is read, and none that it holds already.
    assert past.days["day"].to_pylist() == [past.looks.day + 8, past.looks.day + 1]
    assert "user_looks/ds=2026-10-30" in {commit.ref.split("@")[0] for commit in past.commits}
    assert read_past(lake, "2026-11-14", 3, [4]).looks is None
    assert read_past(lake, "2026-11-14", 3, [4], looks_by="2026-09-01").looks is None
    # A first model has no record to read, so older pushes are counted as they stand.
    push = {"ordinal": 4, "message_id": "m", "campaign_id": "c", "material_id": "c_camera",
            "kind": "sent", "channel": "fcm", "at_ts": 0, "sent_ts": 0}  # fmt: skip
    write("user_pushes", "2026-11-11", push)
    write("user_pushes", "2026-11-12", push)
    first = read_past(lake, "2026-11-14", 3, [4], looks_by="2026-09-01")
    assert first.looks is not None
    assert first.looks.pushes(1)[0].tolist() == [1.0]
    assert first.pushes["day"].to_pylist() == [first.looks.day + 1], "no push counts twice"
