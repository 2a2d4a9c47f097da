"""Categories' hours before the window are kept once a week, as if every day had been read."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.contracts.rows import valid_rows
from angelia.lake import Lake
from angelia.timing.category_hours import HALF_LIFE
from angelia.timing.evidence import CELLS
from spark_jobs.shard_work.curve_shard import CurveInputs, Users
from spark_jobs.shard_work.past_categories import RECORD, CategoryPast, count_older

N, BITS, DS = 20, 8, "2026-11-14"
LAST = date(2026, 10, 17)
CATEGORY = {"boot": "shoes", "paper": "news"}
CURVE, RATE = np.linspace(0.5, 1.5, N * CELLS).reshape(N, CELLS), np.linspace(0.05, 0.1, N)


def write(lake: Lake, name: str, table: pa.Table, ds: str) -> None:
    with lake.attempt(name, ds=ds) as attempt:
        attempt.write(table, "part-0000.parquet", conform=False, shards=(0, 0))
        attempt.publish()


def pushed_on(back: int, i: int) -> tuple[datetime, str, timedelta | None]:
    """Return when user i was pushed so many days ago, what, and after how long it was opened."""
    midnight = datetime.combine(LAST - timedelta(days=back), datetime.min.time(), tzinfo=UTC)
    hour = (7 * i + 5 * back) % 24
    wait = [None, timedelta(hours=1), timedelta(hours=20), timedelta(hours=30)][(i + back) % 4]
    return midnight + timedelta(hours=hour), ("boot", "paper", "plain")[(i + back) % 3], wait


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake.open(str(tmp_path / "lake"))
    people = valid_rows("user_features", N, ds=DS)
    for name, value in (("timezone", "UTC"), ("country", None)):
        at = people.schema.get_field_index(name)
        people = people.set_column(at, people.schema.field(at), pa.array([value] * N, pa.string()))
    write(lake, "user_features", people, DS)
    return lake


def write_pushes(lake: Lake, days: int) -> None:
    """Write user_pushes of so many days up to the last, opens on the day they came."""
    by_day: dict[date, list[dict[str, object]]] = {}
    for back in range(days):
        for i in range(N):
            sent, material, wait = pushed_on(back, i)
            push = {"ordinal": i, "message_id": f"{back * N + i:032x}", "campaign_id": "sale",
                    "material_id": material, "channel": "fcm", "kind": "sent", "at_ts": sent, "sent_ts": sent,
                    "slot_propensity": None, "material_propensity": None}  # fmt: skip
            by_day.setdefault(sent.date(), []).append(push)
            if wait is not None:
                row = push | {"kind": "opened", "at_ts": sent + wait}
                by_day.setdefault((sent + wait).date(), []).append(row)
    for day, rows in by_day.items():
        rows.sort(key=lambda row: int(str(row["ordinal"])))
        table = pa.Table.from_pylist(rows, schema=arrow.schema(dataset("user_pushes")))
        write(lake, "user_pushes", table, day.isoformat())


def record_of(lake: Lake, ds: str, last: date) -> CategoryPast:
    """Fold what a night folds, and keep it in a commit of that night."""
    features = lake.require("user_features", ds=DS)
    inputs = CurveInputs(lake, features, [], [], ds, 28, 14.0, BITS, CATEGORY)
    past = CategoryPast.find(lake, ds, last.isoformat())
    users = Users.read(lake, features, 0, BITS)
    record = past.with_([count_older(inputs, past, users, CURVE, RATE, 0)])
    with lake.attempt("send_times", ds=ds) as attempt:
        attempt.write(valid_rows("send_times", 1), "part-0000.parquet", conform=False, shards=(0, 0))
        attempt.publish(inputs=past.commits(), meta=record.to_meta())
    return record


def directly(days: int) -> dict[str, np.ndarray]:
    """Return the sums of all days at once: opens within a day, and opens to expect."""
    sums = {name: np.zeros((2, CELLS + 7)) for name in sorted(CATEGORY.values())}
    for back in range(days):
        for i in range(N):
            sent, material, wait = pushed_on(back, i)
            if material not in CATEGORY:
                continue
            share, day = 0.5 ** (back / HALF_LIFE), sent.weekday()
            cell = sent.hour + 24 * (day >= 5)
            is_open = wait is not None and wait <= timedelta(days=1)
            # An open of the day after the last is in no file yet that was read.
            is_open = is_open and (sent + (wait or timedelta())).date() <= LAST
            for at in (cell, CELLS + day):
                sums[CATEGORY[material]][:, at] += share * np.array([is_open, RATE[i] * CURVE[i, cell]])
    return sums


def test_weeks_fold_into_the_same_as_all_days_at_once(lake: Lake) -> None:
    write_pushes(lake, 50)
    first = record_of(lake, "2026-11-07", LAST - timedelta(days=7))
    second = record_of(lake, DS, LAST)
    assert (first.ds, second.ds) == ("2026-10-10", "2026-10-17")
    cited = [str(source) for source in lake.require("send_times", ds=DS).inputs]
    assert sum("user_pushes" in source for source in cited) == 7
    expected = directly(50)
    assert list(second.sums) == list(expected) == ["news", "shoes"]
    for name, values in expected.items():
        np.testing.assert_allclose(second.sums[name], values, atol=0.01)
    assert second.faded(DS)["news"].sum() == pytest.approx(
        0.5 ** (28 / HALF_LIFE) * second.sums["news"].sum()
    )


def test_days_wait_until_a_week_is_due(lake: Lake) -> None:
    write_pushes(lake, 20)
    record_of(lake, "2026-11-08", LAST - timedelta(days=6))
    second = record_of(lake, DS, LAST)
    assert (second.ds, second.parts) == ("2026-10-11", ())
    cited = " ".join(str(commit.ref) for commit in second.commits())
    assert "send_times/ds=2026-11-08" in cited
    assert lake.require("send_times", ds=DS).meta[RECORD]["ds"] == "2026-10-11"


def test_no_push_so_early_keeps_nothing(lake: Lake) -> None:
    record = record_of(lake, DS, LAST)
    assert (record.ds, record.to_meta(), record.faded(DS)) == (None, {}, {})
