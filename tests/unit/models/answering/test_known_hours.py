"""The hour of an example counts by the curve that could have planned it."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.lake import Commit, Lake
from models.answering import known_hours
from models.answering.known_hours import hour_offsets


@pytest.fixture
def curves(lake: Lake) -> Lake:
    """Return a lake with curves of ten people in two files, as of one night."""
    hours = np.linspace(0.5, 1.5, 24)
    rows = [
        {
            "ordinal": i,
            "timezone": "UTC",
            "workday": (hours * (1 + i / 100)).tolist(),
            "day_off": hours[::-1].tolist(),
            "cluster": None,
            "evidence": 0.0,
        }
        for i in range(10)
    ]
    schema = arrow.schema(dataset("send_times"))
    with lake.attempt("send_times", ds="2026-11-05") as attempt:
        for number, part in enumerate((rows[:5], rows[5:])):
            attempt.write(pa.Table.from_pylist(part, schema=schema), f"part-{number:04d}.parquet")
        attempt.publish()
    return lake


def offsets(lake: Lake, ordinals: list[int], sent: list[datetime], known: list[int]) -> list[float]:
    """Return the factors of the hours of these people's pushes; `known` have features."""
    people = pa.table({"ordinal": pa.array(known, pa.uint32()), "timezone": ["UTC"] * len(known)})
    rows = pa.table(
        {
            "ordinal": pa.array(ordinals, pa.uint32()),
            "sent_us": [int(at.timestamp() * 1e6) for at in sent],
            "country": pa.nulls(len(sent), pa.string()),
            "category": pa.nulls(len(sent), pa.string()),
        }
    )
    logs, commits = hour_offsets(lake, rows, people, ds="2026-11-14", days=10)
    assert len(commits) <= 1
    return np.exp(logs).round(4).tolist()


def test_each_push_counts_by_its_persons_hour(curves: Lake) -> None:
    tuesday, sunday = datetime(2026, 11, 10, 23, tzinfo=UTC), datetime(2026, 11, 8, 23, tzinfo=UTC)
    before = datetime(2026, 11, 5, 12, tzinfo=UTC)  # no curve was made by then
    by_hand = [1.5 * 1.07, 0.5, 1.0, 1.5]
    given = offsets(curves, [7, 7, 7, 0], [tuesday, sunday, before, tuesday], [0, 7])
    assert given == pytest.approx(by_hand, abs=1e-4)


def test_curves_are_read_once_and_of_these_people_alone(
    curves: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[list[int]] = []
    read = known_hours._curves_of

    def watched(lake: Lake, commit: Commit, ordinal: pa.Array) -> object:
        order, curve = read(lake, commit, ordinal)
        kept.append(order.tolist())
        assert curve.shape == (2, 48)
        return order, curve

    monkeypatch.setattr(known_hours, "_curves_of", watched)
    days = [datetime(2026, 11, day, 9, tzinfo=UTC) for day in range(8, 14)]
    offsets(curves, [3] * len(days), days, [3, 8])
    assert kept == [[3, 8]]
