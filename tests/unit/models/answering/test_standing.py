"""A year of draws tells materials apart, whoever got them, and luck is shrunk."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.lake import Lake
from models.answering.standing import read_standing, standing_of

AT = datetime(2026, 10, 1, 9, tzinfo=UTC)


def write(lake: Lake, ds: str, *rows: tuple[str, str, float | None, int]) -> None:
    """Write a day's pushes: material, kind, chance of the draw, and how many of them."""
    whole = [
        {"ordinal": 4, "message_id": "m", "campaign_id": "sale", "material_id": material, "channel": "fcm",
         "kind": kind, "at_ts": AT, "sent_ts": AT, "material_propensity": chance}
        for material, kind, chance, n in rows for _ in range(n)
    ]  # fmt: skip
    with lake.attempt("user_pushes", ds=ds) as attempt:
        schema = arrow.schema(dataset("user_pushes"))
        attempt.write(pa.Table.from_pylist(whole, schema=schema), "part-0000.parquet", shards=(0, 0))
        attempt.publish()


def test_draws_of_the_eager_do_not_praise_a_material(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path / "lake"))
    # Half the people open one in two and are drawn shoes three times as often; the others open one in ten.
    eager = [("shoes", "sent", 0.75, 300), ("shoes", "opened", 0.75, 150), ("hats", "sent", 0.25, 100)]
    calm = [("shoes", "sent", 0.25, 100), ("shoes", "opened", 0.25, 10), ("hats", "sent", 0.75, 300)]
    opens = [("hats", "opened", 0.25, 50), ("hats", "opened", 0.75, 30)]
    write(lake, "2026-10-17", *eager, *calm, *opens, ("hats", "sent", None, 900))
    write(lake, "2026-10-18", ("hats", "opened", 0.5, 500))
    alike = read_standing(lake, last="2026-10-17")
    assert alike.effects(["shoes", "hats", "new"]) == pytest.approx([0.0, 0.0, 0.0], abs=1e-9)
    assert [commit.partition["ds"] for commit in alike.inputs] == ["2026-10-17"]
    later = read_standing(lake, last="2026-10-18")
    assert later.effects(["hats"])[0] > 0.3
    # Of more pushes than are wanted days are left out; the newest one stays.
    few = read_standing(lake, last="2026-10-18", most=1000)
    assert [commit.partition["ds"] for commit in few.inputs] == ["2026-10-18"]
    assert read_standing(lake, last="2024-01-01").effects(["hats"]).tolist() == [0.0]


def test_what_chance_may_have_made_is_shrunk() -> None:
    draw = np.random.default_rng(5)
    names, truth = [f"m{k}" for k in range(40)], draw.normal(0.0, 0.2, 40)
    n = np.where(np.arange(40) < 20, 4000, 400)
    opened = draw.poisson(0.1 * n * np.exp(truth))
    pairs = {("sale", name): np.array([n[k], opened[k], opened[k]], float) for k, name in enumerate(names)}
    known = standing_of(pairs)
    assert known.spread == pytest.approx(0.04, rel=0.5)
    effects = known.effects(names)
    assert np.corrcoef(effects[:20], truth[:20])[0, 1] > 0.9
    often, seldom, new = known.variances(["m0", "m30", "new"])
    assert 0.0 < often < seldom < new == known.spread
    # Materials that are alike get nothing, however their luck was.
    same = {pair: np.array([1000.0, k, k]) for pair, k in zip(pairs, draw.poisson(100, 40), strict=True)}
    assert abs(standing_of(same).effects(names)).max() < 0.05
    assert standing_of({("sale", "m0"): np.array([100.0, 2.0, 2.0])}).effects(["m0"]).tolist() == [0.0]
