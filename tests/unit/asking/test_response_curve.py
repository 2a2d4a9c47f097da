"""A person's curve: their own rows, what the window holds of them, what it shrank to."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from angelia.asking.response_curve import cohort_of, column_of, curve_of, history, row_of, shrank_to
from angelia.contracts import arrow, dataset
from angelia.contracts.rows import valid_rows
from angelia.errors import InvalidInput, NotFound
from angelia.lake import Commit, Lake
from angelia.timing.habits import Clusters

DS, NEXT = "2026-11-14", "2026-11-15"


def put(lake: Lake, name: str, rows: list[dict[str, object]], ds: str = DS, **more: object) -> Commit:
    schema = arrow.schema(dataset(name))
    plain = valid_rows(name, 1, ds=ds).to_pylist()[0]
    with lake.attempt(name, ds=ds) as attempt:
        table = pa.Table.from_pylist([plain | row for row in rows], schema=schema)
        attempt.write(table, "part-0000.parquet", shards=(0, 0))
        return attempt.publish(**more)  # type: ignore[arg-type]


def test_the_window_counts_hours_pushes_and_opens_of_one_person(lake: Lake) -> None:
    days = [
        {"ordinal": 1, "hours": 0b101, "event_type": "view"},
        {"ordinal": 1, "hours": 0b110, "event_type": "cart"},
        {"ordinal": 2, "hours": 0b1000, "event_type": "view"},
    ]
    put(lake, "user_days", days, NEXT)
    put(lake, "user_days", days[:1], DS)
    pushes = [{"ordinal": 1, "kind": kind} for kind in ("sent", "sent", "opened")] + [
        {"ordinal": 2, "kind": "sent"}
    ]
    put(lake, "user_pushes", pushes, NEXT)
    counts = history(lake, NEXT, 3, 1, 0)
    assert counts == {"active_hours": 3 + 2, "active_days": 2, "pushes": 2, "opens": 1}
    assert history(lake, NEXT, 1, 1, 0)["active_days"] == 1
    assert column_of(lake, "user_days", "2026-01-01", "hours", 1, 0) == []


def test_a_row_is_the_persons_own_or_missing(lake: Lake) -> None:
    commit = put(lake, "send_times", [{"ordinal": 3, "evidence": 1.5}, {"ordinal": 4, "evidence": 2.5}])
    assert row_of(lake, commit, 4, 0)["evidence"] == 2.5
    with pytest.raises(NotFound, match="no curve for this user"):
        row_of(lake, commit, 5, 0)
    with pytest.raises(InvalidInput, match="written by an older version") as refused:
        curve_of(lake, commit, 4, 0, None)
    assert refused.value.fix == f"run build_send_times --ds {DS} again"
    with lake.attempt("send_times", ds=NEXT) as attempt:
        attempt.write(lake.read(commit).drop_columns(["cluster"]), "part-0000.parquet", conform=False)
        old = attempt.publish(meta={"habit": {}})
    with pytest.raises(InvalidInput, match="written by an older version"):
        curve_of(lake, old, 4, 0, None)


def clusters() -> Clusters:
    hours = np.full((2, 48), 0.01)
    hours[0, [9, 24 + 12]], hours[1, [20, 24 + 21]] = 0.5, 0.5
    share = np.array([[0.1, 0.9], [0.75, 0.25], [0.5, 0.5]])
    return Clusters(("Asia/Tokyo", "UTC"), share, hours)


def test_a_cluster_is_shown_with_how_common_it_is() -> None:
    assert shrank_to("Asia/Tokyo", 1, clusters()) == {
        "cluster": 1,
        "share": 0.9,
        "workday_peak": 20,
        "day_off_peak": 21,
    }


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"cluster": 7}, "cluster-07"),
        ({"cluster": None}, "sparse"),
        ({"cohort": "UTC|cluster-07"}, "UTC|cluster-07"),  # a commit of 0.2.0
    ],
)
def test_habits_are_named_for_old_and_new_rows(row: dict[str, object], words: str) -> None:
    assert cohort_of(row) == words


def test_too_few_hours_mean_what_is_usual_in_the_timezone() -> None:
    assert shrank_to("UTC", None, clusters()) == {
        "cluster": None,
        "share": None,
        "workday_peak": 9,
        "day_off_peak": 12,
    }
