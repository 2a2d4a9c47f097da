"""Nights since the training tell what the model did not know, and luck moves nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.contracts.rows import valid_rows
from angelia.lake import Commit, Lake
from models.answering.lately import Cell, Lately, ScoreShift, read_lately, segments_of

NIGHT, DS = "2026-11-10", "2026-11-12"  # its messages go out on the 11th, and are ripe when the 12th closes
NOON = datetime(2026, 11, 11, 12, tzinfo=UTC)


def record(expected: np.ndarray, opened: np.ndarray, segment: str = "f, under 30") -> Lately:
    rows = enumerate(zip(expected, opened, strict=True))
    counts: dict[Cell, np.ndarray] = {("sale", f"m{k}", segment): np.array([e, o, o]) for k, (e, o) in rows}
    return Lately("v", NIGHT, counts)


def test_what_is_opened_more_than_expected_moves_up() -> None:
    draw, expected = np.random.default_rng(4), np.full(20, 80.0)
    truth = np.zeros(20)
    truth[[3, 7]] = np.log(2.0), np.log(0.1)
    lately = record(expected, draw.poisson(expected * np.exp(truth)).astype(float))
    shift = lately.shift().by
    assert shift["m3"][""] == pytest.approx(np.log(2.0), abs=0.25)
    # Few opens of many expected say as much as many of few.
    assert shift["m7"][""] < -0.7
    others = [mine[""] for name, mine in shift.items() if name not in ("m3", "m7")]
    assert len(others) == 18
    assert np.abs(others).max() < 0.25
    doubt = lately.doubt({"m3": 1.0, "m7": 0.05, "new": 1.0})
    assert doubt["m3"] < 0.3
    assert (doubt["m7"], doubt["new"]) == (0.05, 1.0)


def test_luck_moves_nothing() -> None:
    draw, worst = np.random.default_rng(5), []
    for _ in range(50):
        lately = record(np.full(20, 80.0), draw.poisson(80.0, 20).astype(float))
        worst.append(max((abs(mine[""]) for mine in lately.shift().by.values()), default=0.0))
    # Luck alone makes the furthest of twenty differ by a fifth.
    assert np.median(worst) < 0.03
    # Nobody beside it, or nothing opened: no difference can be told.
    assert record(np.array([9.0]), np.array([30.0])).shift().by == {}
    assert record(np.array([9.0, 9.0]), np.zeros(2)).shift().by == {}


def test_a_campaign_of_one_material_changes_no_other() -> None:
    lately = record(np.array([50.0, 50.0]), np.array([20.0, 80.0]))
    alone = {("digest", "news", "f, under 30"): np.array([900.0, 500.0, 500.0])}
    more = Lately("v", NIGHT, {**lately.counts, **alone})
    assert more.shift() == lately.shift() != ScoreShift()


def test_a_segment_moves_within_its_material() -> None:
    draw, counts = np.random.default_rng(6), {}
    for k in range(10):
        for segment in ("f, under 30", "m, under 30"):
            more = 2.0 if k == 0 and segment[0] == "f" else 0.5 if k == 0 else 1.0
            opened = float(draw.poisson(200 * more))
            counts["sale", f"m{k}", segment] = np.array([200.0, opened, opened])
    lately = Lately("v", NIGHT, counts)
    mine = lately.shift().by["m0"]
    assert mine["f, under 30"] - mine["m, under 30"] > 0.7
    people = pa.table({"gender": ["f", "m", None], "age_years": pa.array([29, 30, None], pa.int32())})
    names, code = segments_of(people)
    assert [names[c] for c in code] == ["f, under 30", "m, 30 and over", "unknown, age unknown"]
    p = np.array([0.1, 0.1, 0.1])
    moved = lately.shift().moved(p, "m0", names, code)
    wanted = [mine["f, under 30"], mine[""], mine[""]]
    assert np.log(moved / (1 - moved) / (p / (1 - p))) == pytest.approx(wanted)
    assert lately.shift().moved(p, "never seen", names, code) is p


def test_a_record_fades_and_survives_its_file() -> None:
    lately = record(np.array([8.0]), np.array([4.0]))
    later = lately.plus("2026-11-24", {("sale", "m0", "f, under 30"): np.array([1.0, 1.0, 1.0])})
    assert later.counts["sale", "m0", "f, under 30"].tolist() == [5.0, 3.0, 2.0]
    again = Lately.of({"lately": later.as_dict()}, "v")
    assert again.as_dict() == later.as_dict()
    assert Lately.of({"lately": later.as_dict()}, "another").counts == {}
    assert Lately.of({}, "v").until == ""


def write(lake: Lake, name: str, ds: str, rows: list[dict[str, object]], **meta: object) -> Commit:
    with lake.attempt(name, ds=ds) as attempt:
        attempt.write(pa.Table.from_pylist(rows, schema=arrow.schema(dataset(name))), "part.parquet")
        return attempt.publish(meta=meta)


def sent(i: int, material: str, after_h: float = 0.0, opened_h: float | None = None) -> list[dict]:
    at = NOON + timedelta(hours=after_h)
    row = {"ordinal": i, "message_id": f"{i:016x}{material.encode().hex():>016}", "campaign_id": "sale",
           "material_id": material, "channel": "fcm", "kind": "sent", "at_ts": at, "sent_ts": at}  # fmt: skip
    more = [] if opened_h is None else [row | {"kind": "opened", "at_ts": at + timedelta(hours=opened_h)}]
    return [row, *more]


@pytest.fixture
def shop(tmp_path: Path) -> tuple[Lake, Commit]:
    """Return a lake with one night's scores and what came of them, and tonight's features."""
    lake = Lake.open(str(tmp_path / "lake"))
    people = valid_rows("user_features", 8).to_pylist()
    facts = {"timezone": "UTC", "country": "DE", "gender": "f", "age_years": 40}
    features = write(lake, "user_features", DS, [row | facts for row in people])
    row = {"campaign_id": "sale", "p_open": 0.1, "lift": None}
    scores = [row | {"ordinal": i, "material_id": name} for i in range(8) for name in ("bags", "hats")]
    shift = {"bags": {"": float(np.log(0.1 / 0.9 / (0.2 / 0.8)))}}
    write(lake, "material_scores", NIGHT, scores, model="v", shift=shift)
    write(lake, "send_times", NIGHT, [], categories={"sport": [1.5] * 48}, category_days={})
    rows = [
        *sent(0, "bags", opened_h=23.9), *sent(1, "bags", opened_h=24.0), *sent(2, "hats"),
        *sent(3, "hats", after_h=-8.0), *sent(4, "hats", after_h=11.99, opened_h=2.0),
        *sent(5, "hats", after_h=-8.01), *sent(6, "hats", after_h=12.0),  # an hour of another night; too late
        *sent(7, "shoes"),  # was not scored
        *sent(999, "hats"),  # nobody knows this person
    ]  # fmt: skip
    for day in ("2026-11-11", "2026-11-12"):
        write(lake, "user_pushes", day, [row for row in rows if row["at_ts"].date().isoformat() == day])
    return lake, features


def test_a_ripe_night_is_counted_beside_its_scores(shop: tuple[Lake, Commit]) -> None:
    lake, features = shop

    def read(ds: str, model: str = "v") -> tuple[Lately, list[Commit]]:
        return read_lately(lake, features, {"hats": "sport"}, ds=ds, model=model, lead_hours=28)

    lately, inputs = read(DS)
    # Bags were scored .2 by the model itself, before the shift; hats are opened 1.5 times as often at noon.
    assert {cell[1:]: sums.tolist() for cell, sums in lately.counts.items()} == {
        ("bags", "f, 30 and over"): pytest.approx([0.4, 1.0, 1.0], abs=1e-5),
        ("hats", "f, 30 and over"): pytest.approx([0.45, 1.0, 1.0], abs=1e-5),
    }
    assert lately.until == NIGHT
    assert sorted(commit.ref.split("@")[0] for commit in inputs) == [
        "material_scores/ds=2026-11-10", "send_times/ds=2026-11-10",
        "user_pushes/ds=2026-11-11", "user_pushes/ds=2026-11-12",
    ]  # fmt: skip
    assert read("2026-11-11")[0].counts == {}  # not ripe
    assert read(DS, "another model")[0].counts == {}
    # The next night goes on from the record, and counts no night twice.
    write(lake, "material_scores", "2026-11-12", [], model="v", lately=lately.as_dict())
    again, inputs = read("2026-11-13")
    assert again.as_dict() == lately.as_dict()
    assert [commit.ref for commit in inputs] == ["material_scores/ds=2026-11-12@1"]


def test_a_night_without_files_is_no_news(shop: tuple[Lake, Commit]) -> None:
    lake, features = shop
    with lake.attempt("material_scores", ds=NIGHT) as attempt:
        attempt.publish(meta={"model": "v"})
    lately, _ = read_lately(lake, features, {}, ds=DS, model="v", lead_hours=28)
    assert (lately.counts, lately.until) == ({}, NIGHT)


def test_nobody_written_to_is_no_news(shop: tuple[Lake, Commit]) -> None:
    lake, features = shop
    for day in ("2026-11-11", "2026-11-12"):
        write(lake, "user_pushes", day, [])
    lately, _ = read_lately(lake, features, {}, ds=DS, model="v", lead_hours=28)
    assert (lately.counts, lately.until, lately.shift()) == ({}, NIGHT, ScoreShift())
