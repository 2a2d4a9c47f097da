"""Curves of 600 people who were pushed once a day for four weeks, without Spark.

Each shard runs in this process. tests/unit/spark_jobs/test_build_features.py runs on Spark, from features
that were built; tests/unit/timing tests the mathematics.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from angelia import cli
from angelia.catalog.documents import canonical, parse_document
from angelia.catalog.snapshot import StoredDocument, catalog_of
from angelia.contracts import arrow, dataset
from angelia.contracts.rows import valid_rows
from angelia.lake import Commit, Lake
from angelia.timing.busiest import busiest_of
from angelia.timing.category_hours import STRENGTHS
from angelia.timing.choosing import CHOSEN_ON
from angelia.timing.curves import CURVE_RANGE, Strength
from angelia.timing.habits import Habit
from spark_jobs import build_send_times
from spark_jobs.running.session import run_job
from tests.user_index import append_people

DS, N, DAYS = "2026-11-14", 600, 28
COLD = 5
# Even people are active and open at 8, odd ones at 20; news is opened in the evening only, shoes at any time.
MATERIALS = {"boot": "shoes", "paper": "news", "plain": None}
POLICY = {
    "kind": "policy", "id": "default", "salt": "s", "holdout": {"share_pct": 0, "salt": "h"},
    "explore": {"slot_share_pct": 5, "epsilon": 0.1},
}  # fmt: skip
TEMPLATE = {
    "kind": "template",
    "id": "t",
    "channels": ["fcm"],
    "variants": {"en": {"title": "t", "body": "b"}},
}

AUDIENCE = {"kind": "audience", "id": "all", "predicate": "days_since('open') >= 0"}
SALE = {
    "kind": "campaign", "id": "sale", "name": "Sale", "topic": "promo", "owner": "growth", "audience": "all",
    "materials": ["paper"], "channels": ["fcm"], "choose_channel": "best", "value_per_open": 0.1,
    "occurrence": {"every": "daily"}, "start_date": "2026-11-01", "end_date": "2026-12-31",
}  # fmt: skip


def rows(name: str, values: list[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(values, schema=arrow.schema(dataset(name)))


def write(lake: Lake, name: str, table: pa.Table, ds: str = DS, last_shard: int = 2) -> None:
    with lake.attempt(name, ds=ds) as attempt:
        attempt.write(table, "part-0000.parquet", conform=False, shards=(0, last_shard))
        attempt.publish()


def write_history(lake: Lake) -> None:
    """Write each day's events and pushes; an open comes an hour after its push."""
    rng = np.random.default_rng(3)
    names, opened_next = list(MATERIALS), []
    for number in range(DAYS):
        day = date.fromisoformat(DS) - timedelta(days=DAYS - 1 - number)
        midnight = datetime.combine(day, datetime.min.time(), tzinfo=UTC)
        days, pushes, opened_next = [], opened_next, []
        for i in set(range(N)) - {COLD}:
            own, hour, material = 8 if i % 2 == 0 else 20, int(rng.integers(24)), names[int(rng.integers(3))]
            days.append({"ordinal": i, "event_type": "view", "item": None, "n_events": 1, "value_sum": 0.0,
                         "hours": 1 << own})  # fmt: skip
            sent = midnight + timedelta(hours=hour, minutes=10)
            push = {
                "ordinal": i, "message_id": f"{number * N + i:032x}", "campaign_id": "sale",
                "material_id": material, "channel": "email" if material == "paper" else "fcm",
                "kind": "sent", "at_ts": sent, "sent_ts": sent,
                "slot_propensity": 1 / 24, "material_propensity": 1 / 3,
            }  # fmt: skip
            pushes.append(push)
            chance = 0.5 if abs(hour - own) <= 2 else 0.2
            if material == "paper" and not 17 <= hour <= 23:
                chance = 0.02
            if rng.random() < chance:
                opened = sent + timedelta(hours=1)
                is_same_day = opened.date() == day
                (pushes if is_same_day else opened_next).append(push | {"kind": "opened", "at_ts": opened})
        pushes.sort(key=lambda row: row["ordinal"])
        write(lake, "user_days", rows("user_days", days), day.isoformat())
        write(lake, "user_pushes", rows("user_pushes", pushes), day.isoformat())


def write_catalog(lake: Lake) -> None:
    """Write a snapshot with the materials and their categories."""
    materials = [
        {"kind": "material", "id": name, "template": "t"} | ({"category": category} if category else {})
        for name, category in MATERIALS.items()
    ]
    bodies = [
        {"kind": raw["kind"], "id": raw["id"], "version": 1, "body": canonical(parse_document(raw))}
        for raw in (POLICY, TEMPLATE, AUDIENCE, *materials, SALE)
    ]
    write(lake, "catalog_snapshot", rows("catalog_snapshot", bodies))


def curves_of(home: Path, shard_bits: int, *, has_catalog: bool = True) -> Lake:
    """Run the job in a home of its own and return its lake."""
    lake = Lake.open(str(home / "lake"))
    append_people(lake, [valid_rows("user_index", N)], shard_bits=shard_bits)
    people = valid_rows("user_features", N, ds=DS)
    for name, value in (("timezone", "UTC"), ("country", None)):
        at = people.schema.get_field_index(name)
        people = people.set_column(at, people.schema.field(at), pa.array([value] * N, pa.string()))
    write(lake, "user_features", people, last_shard=(N - 1) >> shard_bits)
    write_history(lake)
    if has_catalog:
        write_catalog(lake)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANGELIA_HOME", str(home))
        patch.setenv("ANGELIA_SPARK_MASTER", "inline")
        # Of the three blocks of 256 people, parameters are chosen on two.
        patch.setattr(build_send_times, "SAMPLE_USERS", 512)
        build_send_times.main(["--ds", DS])
    return lake


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Lake]:
    """Return the same night's curves made in three shards and in two, by shard bits."""
    return {bits: curves_of(tmp_path_factory.mktemp(f"bits-{bits}"), bits) for bits in (8, 9)}


def grid(lake: Lake) -> np.ndarray:
    """Return everybody's curve by cell, (n, 48), in ordinal order."""
    table = lake.read(lake.require("send_times", ds=DS)).sort_by("ordinal")
    halves = [table[name].combine_chunks().flatten().to_numpy() for name in ("workday", "day_off")]
    return np.hstack([half.reshape(-1, 24) for half in halves]).astype(np.float64)


def test_two_shard_sizes_make_the_same_curves(nights: dict[int, Lake]) -> None:
    written, metas, files = [], [], []
    for lake in nights.values():
        commit = lake.require("send_times", ds=DS)
        sink = pa.BufferOutputStream()
        pq.write_table(lake.read(commit).sort_by("ordinal").combine_chunks(), sink)
        written.append(sink.getvalue().to_pybytes())
        metas.append(json.dumps(commit.meta, sort_keys=True))
        files.append(len(commit.files))
    assert files == [3, 2]
    assert written[0] == written[1]
    assert metas[0] == metas[1]


def test_curves_have_mean_one_over_the_reference(nights: dict[int, Lake]) -> None:
    lake = nights[8]
    meta, curves = lake.require("send_times", ds=DS).meta, grid(lake)
    reference = np.array(meta["reference"])
    assert reference.sum() == pytest.approx(1, abs=0.01)
    # A curve that was cut at either end of its range has lost its mean.
    whole = ((curves > CURVE_RANGE[0]) & (curves < CURVE_RANGE[1])).all(axis=1)
    assert whole.mean() > 0.9
    assert curves[whole] @ reference == pytest.approx(np.ones(whole.sum()), abs=0.01)
    assert np.array(meta["population"]) @ reference == pytest.approx(1, abs=0.01)


def test_the_busiest_hour_is_nearly_the_best(nights: dict[int, Lake]) -> None:
    # Everybody is active in one hour only, and opens in it.
    workday, day_off = busiest_of(nights[8].require("send_times", ds=DS).meta)
    assert 0.7 < workday <= 1.0
    assert 0.7 < day_off <= 1.0


def test_quiet_hours_are_nobodys_busiest() -> None:
    assert build_send_times.awake_hours(None).all()
    quiet = SimpleNamespace(policy=SimpleNamespace(quiet_hours=SimpleNamespace(start=22, end=8)))
    assert np.flatnonzero(build_send_times.awake_hours(quiet)).tolist() == list(range(8, 22))  # type: ignore[arg-type]


def test_each_persons_own_hour_stands_out(nights: dict[int, Lake]) -> None:
    curves = grid(nights[8])
    warm = np.arange(N) != COLD
    even = warm & (np.arange(N) % 2 == 0)
    odd = warm & (np.arange(N) % 2 == 1)
    assert (curves[even, 8] > curves[even, 20]).mean() > 0.95
    assert (curves[odd, 20] > curves[odd, 8]).mean() > 0.95
    table = nights[8].read(nights[8].require("send_times", ds=DS)).to_pylist()
    assert len(table) == N
    assert table[COLD]["evidence"] == 0.0
    assert table[COLD]["cluster"] is None


def test_categories_have_their_factors_in_the_meta(nights: dict[int, Lake]) -> None:
    meta = nights[8].require("send_times", ds=DS).meta
    assert set(meta["categories"]) == set(meta["category_days"]) == {"news", "shoes"}
    assert [len(meta["categories"][name]) for name in ("news", "shoes")] == [48, 48]
    assert [len(meta["category_days"][name]) for name in ("news", "shoes")] == [7, 7]
    news, shoes = (np.array(meta["categories"][name][:24]) for name in ("news", "shoes"))
    assert news[20] > 1.2 > 0.8 > news[10]
    assert shoes[10] > news[10]
    assert meta["category_strengths"][0] in STRENGTHS


def test_responses_of_channels_are_learned_if_asked_for(nights: dict[int, Lake]) -> None:
    known = [lake.require("send_times", ds=DS).meta["channel_responses"] for lake in nights.values()]
    assert known[0] == known[1]
    assert known[0]["fcm"] > 1.2 > 0.8 > known[0]["email"], "mail has the paper, which is opened less"


def test_without_a_catalog_no_category_is_invented(tmp_path: Path) -> None:
    meta = curves_of(tmp_path, 9, has_catalog=False).require("send_times", ds=DS).meta
    assert (meta["categories"], meta["category_days"]) == ({}, {})
    assert meta["category_strengths"] == [None, None]
    assert "channel_responses" not in meta, "no campaign asks"


def test_without_features_the_line_names_their_job(settings_home, capsys) -> None:
    assert run_job(build_send_times.main, ["--ds", DS]) == 2
    assert "build_features" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["0", "-3", "inf", "nan"])
def test_a_half_life_is_above_zero_and_finite(value: str, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        build_send_times.main(["--ds", DS, "--half-life-days", value])
    assert f"{value} is not above 0" in capsys.readouterr().err


def shown(lake: Lake, user: int, capsys, *words: str) -> str:
    """Return what `angelia timing show` prints of a person."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANGELIA_HOME", str(Path(lake.store.root).parent))
        with pytest.raises(SystemExit) as ended:
            cli.main(["timing", "show", "--ds", DS, "--user", f"u{user:07d}", *words])
    printed = capsys.readouterr()
    assert f"u{user:07d}" not in printed.out + printed.err
    return printed.out if ended.value.code == 0 else printed.err


def test_show_prints_curve_evidence_and_parameters(nights: dict[int, Lake], capsys) -> None:
    text = shown(nights[8], 7, capsys)
    assert text.count("█") > 48
    assert f"in {DAYS} days {DAYS} active hours on {DAYS} days, {DAYS} pushes" in text
    assert "most of all" in text
    assert "most active at 20:00 on workdays" in text
    assert f"chosen on {DS} by the responses" in text
    facts = json.loads(shown(nights[8], 7, capsys, "--json"))
    assert facts["workday"] == pytest.approx(grid(nights[8])[7, :24].tolist(), abs=1e-4)
    assert facts["chosen"]["habit"] == nights[8].require("send_times", ds=DS).meta["habit"]


def test_show_says_that_a_cold_person_has_everybodys(nights: dict[int, Lake], capsys) -> None:
    assert "everybody of the timezone" in shown(nights[8], COLD, capsys)


def test_show_of_an_unknown_person_is_one_line(nights: dict[int, Lake], capsys) -> None:
    line = shown(nights[8], 9_999_999, capsys)
    assert line.startswith("error: user_features of")
    assert line.count("\n") == 1


def test_nights_go_on_with_what_one_of_them_chose(lake: Lake) -> None:
    params = {"half_life_days": 14.0, "history_days": 28}
    chosen = {"habit": asdict(Habit()), "strength": asdict(Strength(elasticity=1.25)), "gain": 0.1}

    def night(ds: str, on: str, by: str = "responses") -> Commit:
        with lake.attempt("send_times", ds=ds) as attempt:
            attempt.write(valid_rows("send_times", 5, seed=1, ds=ds), "part-0000.parquet")
            return attempt.publish(params=params, meta={**chosen, "chosen_by": by, CHOSEN_ON: on})

    last = night("2026-11-12", "2026-11-08")
    settled, cited = build_send_times.settled_before(lake, "2026-11-14", params)
    assert (settled and settled.strength.elasticity, settled and settled.on) == (1.25, "2026-11-08")
    assert cited == [last]
    # A week after it was chosen, or by other settings, everything is chosen anew; so it is where few open.
    assert build_send_times.settled_before(lake, "2026-11-15", params) == (None, [])
    assert build_send_times.settled_before(lake, "2026-11-14", params | {"history_days": 90}) == (None, [])
    night("2026-11-13", "2026-11-13", "activity")
    assert build_send_times.settled_before(lake, "2026-11-14", params) == (None, [])


def test_the_last_manifest_says_how_many_devices_there_were(lake) -> None:
    def catalog(way: dict[str, str]) -> Any:
        raws = (POLICY, TEMPLATE, AUDIENCE, SALE | way)
        return catalog_of(StoredDocument(parse_document(raw), 1) for raw in raws)

    to_all = catalog({"devices": "all"})
    assert build_send_times.last_manifest(lake, DS, to_all) is None
    for meta in ({}, {"requests_a_message": {"channels": {}, "campaigns": {}}}):
        with lake.attempt("dispatch_manifest", ds="2026-11-13") as attempt:
            attempt.write(valid_rows("dispatch_manifest", 1), "part-0000.parquet", conform=False)
            commit = attempt.publish(meta=meta)
        expected = commit if meta else None
        assert build_send_times.last_manifest(lake, DS, to_all) == expected
        assert build_send_times.last_manifest(lake, DS, catalog({})) is None
