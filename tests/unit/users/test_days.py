"""Raw rows become a day's rows: duplicates by rule, sums in millionths, any order of rows."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from angelia.users.days import aggregate_events, distinct_events, distinct_pushes, first_of_each


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, 14, hour, minute, tzinfo=UTC)


def events(*rows: tuple[int, str, str, str | None, float | None, datetime]) -> pa.Table:
    kinds = [pa.uint32(), pa.string(), pa.string(), pa.string(), pa.float64(), pa.timestamp("us", tz="UTC")]
    names = ["ordinal", "event_id", "event_type", "item", "value", "event_ts"]
    columns = zip(*rows, strict=True) if rows else [[] for _ in names]
    return pa.table(
        {name: pa.array(column, kind) for name, column, kind in zip(names, columns, kinds, strict=True)}
    )


def test_a_persons_events_are_counted_by_type_and_item() -> None:
    days = aggregate_events(
        events(
            (2, "a", "view", "spa", None, at(0)),
            (1, "b", "view", None, None, at(23, 59)),
            (1, "c", "buy", "spa", 0.1, at(7)),
            (1, "d", "buy", "spa", 0.2, at(7, 59)),
            (1, "e", "view", "spa", None, at(8)),
        )
    )
    assert [tuple(row.values()) for row in days.to_pylist()] == [
        (1, "buy", "spa", 2, 0.3, 1 << 7),
        (1, "view", "spa", 1, 0.0, 1 << 8),
        (1, "view", None, 1, 0.0, 1 << 23),
        (2, "view", "spa", 1, 0.0, 1),
    ]


def test_a_day_without_events_has_no_rows() -> None:
    days = aggregate_events(events())
    assert days.num_rows == 0
    assert days.schema.field("hours").type == pa.int32()


def test_of_an_event_that_came_twice_the_earliest_counts() -> None:
    rows = events(
        (1, "a", "view", "spa", 2.0, at(9)),
        (1, "a", "view", "spa", 5.0, at(8)),
        (1, "a", "view", "spa", 4.0, at(8)),
        (2, "a", "view", "spa", 7.0, at(9)),
    )
    # Of equally early ones the smallest value.
    assert sorted(distinct_events(rows)["value"].to_pylist()) == [4.0, 7.0]


def test_the_order_of_rows_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    rows = events(
        *(
            (
                int(rng.integers(3)),
                f"e{rng.integers(40)}",
                "view",
                "spa" if rng.random() < 0.5 else None,
                0.1,
                at(int(rng.integers(24))),
            )
            for _ in range(200)
        )
    )
    whole = aggregate_events(distinct_events(rows))
    assert whole["n_events"].to_pylist() != []
    assert whole.equals(aggregate_events(distinct_events(rows.take(pa.array(rng.permutation(200))))))


def test_a_push_counts_once_a_kind() -> None:
    pushes = pa.table(
        {
            "message_id": ["m", "m", "m", "n"],
            "kind": ["sent", "opened", "sent", "sent"],
            "at_ts": [at(5), at(6), at(4), at(7)],
        }
    )
    kept = sorted(distinct_pushes(pushes).to_pylist(), key=lambda row: (row["message_id"], row["kind"]))
    assert [(row["message_id"], row["kind"], row["at_ts"].hour) for row in kept] == [
        ("m", "opened", 6),
        ("m", "sent", 4),
        ("n", "sent", 7),
    ]


def test_a_null_in_a_key_is_a_value_of_its_own() -> None:
    rows = pa.table({"k": [None, "a", None], "v": [2, 3, 1]})
    assert sorted(first_of_each(rows, ("k",), ("v",))["v"].to_pylist()) == [1, 3]
