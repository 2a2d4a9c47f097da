"""Looks before the window are kept once a week, and scores see them as if read by day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from angelia.asking.score import _behaviour
from angelia.contracts import arrow, dataset
from angelia.contracts.rows import valid_rows
from angelia.lake import Commit, Lake
from angelia.users.one_person import PersonLake
from models.behaviour import Population
from models.taste import LOOK_COLUMNS, LOOKS_HALF_LIFE, PastLooks, visits
from spark_jobs.running.reading import read_window, window_commits
from spark_jobs.score_materials import PastDays, shard_behaviour
from spark_jobs.shard_work.past_looks import past_looks

N, BITS = 300, 8
LAST = date(2026, 10, 17)
CATEGORIES = ("camera", "shoes")
CATEGORY_OF = {"sale_camera": "camera", "news_camera": "camera", "sale_shoes": "shoes"}


def write(lake: Lake, name: str, table: pa.Table, ds: str) -> None:
    with lake.attempt(name, ds=ds) as attempt:
        attempt.write(table, "part-0000.parquet", conform=False, shards=(0, 1))
        attempt.publish()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Return a lake with 60 days of looks, and features of the last day."""
    lake = Lake.open(str(tmp_path / "lake"))
    write(lake, "user_features", valid_rows("user_features", N, ds=LAST.isoformat()), LAST.isoformat())
    rng = np.random.default_rng(1)
    schema = arrow.schema(dataset("user_days"))
    for back in range(60):
        rows = [
            {"ordinal": i, "event_type": "view", "item": ("camera", "shoes", "sofa")[int(rng.integers(3))],
             "n_events": 1, "value_sum": 0.0, "hours": int(rng.integers(1, 1 << 24))}
            for i in range(N) if back % (i % 5 + 1) == 0
        ]  # fmt: skip
        table = pa.Table.from_pylist(rows, schema=schema)
        write(lake, "user_days", table, (LAST - timedelta(days=back)).isoformat())
    return lake


def kept(lake: Lake, last: date) -> Commit:
    features = lake.require("user_features", ds=LAST.isoformat())
    commit = past_looks(None, lake, features, last.isoformat(), [0, 1], BITS, CATEGORY_OF)  # type: ignore[arg-type]
    assert commit is not None
    return commit


def looks_of(lake: Lake, last: date, days: int) -> np.ndarray:
    """Return the looks of shard 0 of so many days at once, each faded by its own age."""
    window = window_commits(lake, "user_days", last.isoformat(), days)
    rows = read_window(lake, "user_days", window, ["item", "hours"], 0, BITS)
    return visits(rows, CATEGORIES, since=-1, day=days - 1, n=1 << BITS, half_life=LOOKS_HALF_LIFE)


def test_weeks_fold_into_the_looks_of_all_days(lake: Lake) -> None:
    first = kept(lake, LAST - timedelta(days=10))
    assert kept(lake, LAST - timedelta(days=4)) == first  # no week is due
    second = kept(lake, LAST)
    assert "user_looks/ds=2026-10-07" in " ".join(str(source) for source in second.inputs)
    table = lake.read(second, LOOK_COLUMNS)
    assert set(table["item"].to_pylist()) == set(CATEGORIES)  # nothing is about sofas
    ordinal = np.arange(1 << BITS)
    folded = PastLooks.of(table, ordinal, day=0).counts(CATEGORIES, len(ordinal))
    np.testing.assert_allclose(folded, looks_of(lake, LAST, 60), atol=2e-3)
    assert folded.min(axis=0).tolist() != folded.max(axis=0).tolist()


def test_likings_rest_on_the_record_and_the_window(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("models.taste", "models.behaviour", "spark_jobs.shard_work.past_looks"):
        monkeypatch.setattr(f"{module}.LOOKS_HALF_LIFE", 1e12)
    users = lake.read(lake.require("user_features", ds=LAST.isoformat())).slice(0, 1 << BITS)
    days = read_window(lake, "user_days", window_commits(lake, "user_days", LAST.isoformat(), 60),
                       ["event_type", "item", "n_events", "hours"], 0, BITS)  # fmt: skip
    population = Population(CATEGORIES, np.array([0.5, 0.5]), 0.1).knowing(days, users, day=59)
    assert population.taste is not None
    looks = visits(days, CATEGORIES, since=-1, day=59, n=1 << BITS)
    whole = population.taste.of(looks, users)
    # The record ends ten days before the window begins, so that gap is read from its own rows.
    record = kept(lake, LAST - timedelta(days=38))
    past = PastDays.of(lake, LAST.isoformat(), {}, record)
    assert (past.n_days, len(past.days)) == (38, 38)
    behaved = shard_behaviour(lake, past, population, users, BITS, 0)
    np.testing.assert_allclose(behaved.pair["taste"], whole, atol=1e-3)
    # The other numbers keep to their window.
    alone = PastDays.of(lake, LAST.isoformat(), {}, None)
    known = shard_behaviour(lake, alone, population, users, BITS, 0)
    np.testing.assert_allclose(behaved.pair["category_looks"], known.pair["category_looks"])
    assert not np.allclose(behaved.pair["taste"], known.pair["taste"], atol=1e-2)


def test_one_person_is_explained_by_the_same_looks(lake: Lake) -> None:
    write(lake, "user_pushes", arrow.schema(dataset("user_pushes")).empty_table(), LAST.isoformat())
    users = lake.read(lake.require("user_features", ds=LAST.isoformat())).slice(0, 1 << BITS)
    days = read_window(lake, "user_days", window_commits(lake, "user_days", LAST.isoformat(), 60),
                       ["item", "hours"], 0, BITS)  # fmt: skip
    population = Population(CATEGORIES, np.array([0.5, 0.5]), 0.1).knowing(days, users, day=59)
    past = PastDays.of(lake, LAST.isoformat(), {}, kept(lake, LAST - timedelta(days=33)))
    assert past.looks is not None
    everybody = shard_behaviour(lake, past, population, users, BITS, 0)
    cited = (*(commit for _, commit in (*past.days, *past.pushes)), past.looks)
    resident = SimpleNamespace(night=SimpleNamespace(ds=LAST.isoformat()), scored_from=cited)
    for number in (3, 40):
        alone = _behaviour(PersonLake(lake, number, BITS), resident, {}, population, users.slice(number, 1))  # type: ignore[arg-type]
        for name, values in (alone.pair | alone.user).items():
            wanted = (everybody.pair | everybody.user)[name][number]
            np.testing.assert_allclose(values[0], wanted, atol=1e-9, err_msg=name)


def test_no_day_so_early_means_no_record_of_looks(lake: Lake) -> None:
    features = lake.require("user_features", ds=LAST.isoformat())
    early = (LAST - timedelta(days=70)).isoformat()
    assert past_looks(None, lake, features, early, [0, 1], BITS, CATEGORY_OF) is None  # type: ignore[arg-type]
    assert lake.partitions("user_looks") == []


def test_pushes_of_a_category_are_kept_with_its_looks(lake: Lake) -> None:
    at, schema = datetime(2026, 10, 1, 9, tzinfo=UTC), arrow.schema(dataset("user_pushes"))
    rows = [
        {"ordinal": 3, "message_id": f"{material}-{kind}", "campaign_id": "c", "material_id": material,
         "channel": "fcm", "kind": kind, "at_ts": at, "sent_ts": at}
        for material, kind in (("sale_camera", "sent"), ("news_camera", "sent"), ("sale_shoes", "sent"),
                               ("sale_shoes", "opened"), ("no_such", "sent"))
    ]  # fmt: skip
    for ds, record in (("2026-10-04", "2026-10-07"), ("2026-10-15", "2026-10-17")):
        write(lake, "user_pushes", pa.Table.from_pylist(rows, schema=schema), ds)
        table = lake.read(kept(lake, date.fromisoformat(record)), LOOK_COLUMNS)
    past = PastLooks.of(table, np.array([3]), day=0)
    left = 0.5 ** (13 / LOOKS_HALF_LIFE) + 0.5 ** (2 / LOOKS_HALF_LIFE)
    assert past.counts(CATEGORIES, 1, "sent")[0] == pytest.approx([2 * left, left], abs=1e-3)
    assert past.counts(CATEGORIES, 1, "opened")[0] == pytest.approx([0.0, left], abs=1e-3)
