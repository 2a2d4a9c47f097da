"""Sets of one day: who did what, how often, for how much; common and rare pairs."""

from __future__ import annotations

import pyarrow as pa

from angelia.audience.bitmaps.arrays import decode
from angelia.audience.bitmaps.blobs import BitmapRow
from angelia.audience.bitmaps.daily import event_field, event_rows, find_item, push_rows
from angelia.audience.bitmaps.sets import positions_of

BITS = 4


def days(*rows: tuple[int, str, str | None, int, float]) -> pa.Table:
    names = ("ordinal", "event_type", "item", "n_events", "value_sum")
    kinds = (pa.uint32(), pa.string(), pa.string(), pa.int32(), pa.float64())
    columns = zip(*rows, strict=True) if rows else [()] * 5
    return pa.table(
        {name: pa.array(list(column), kind) for name, column, kind in zip(names, columns, kinds, strict=True)}
    )


def sets(rows: list[BitmapRow]) -> dict[tuple[int, str, str, int | None], list[int]]:
    return {
        (row.block, row.field, row.kind, row.bit): positions_of(row.content).tolist()
        for row in rows
        if not isinstance(row.content, tuple)
    }


def arrays(rows: list[BitmapRow], field: str, kind: str) -> list:
    (row,) = [row for row in rows if (row.field, row.kind) == (field, kind)]
    return decode(memoryview(row.content[1]))


def test_a_field_is_named_by_type_and_item() -> None:
    assert event_field("view", None) == "event:view"
    assert event_field("view", "spa") == "event:view:spa"


def test_who_did_it_and_how_often_by_block() -> None:
    rows = event_rows(
        days((17, "view", None, 4, 0.0), (1, "view", "spa", 1, 0.0), (1, "view", None, 1, 0.0)), BITS
    )
    assert sets(rows) == {
        (0, "event:view", "value", None): [1],
        (0, "event:view", "slice", 0): [1],
        (1, "event:view", "value", None): [1],
        (1, "event:view", "slice", 0): [1],
        (1, "event:view", "slice", 1): [1],
        (0, "event:view:spa", "value", None): [1],
    }
    assert event_rows(days(), BITS) == []


def test_amounts_are_millionths_of_those_who_paid() -> None:
    rows = event_rows(
        days((1, "buy", None, 1, 2.5), (2, "buy", None, 1, 0.0), (3, "buy", None, 1, -1.0)), BITS
    )
    unit, positions, amounts = arrays(rows, "event:buy", "amounts")
    assert positions.tolist() == [1, 3]
    assert (amounts.astype(int) * int(unit[0])).tolist() == [2_500_000, -1_000_000]


def test_rare_items_share_a_list() -> None:
    table = days(
        (1, "view", "common", 1, 0.0),
        (2, "view", "common", 1, 0.0),
        (3, "view", "é", 2, 0.0),
        (4, "view", "e", 3, 0.0),
    )
    rows = event_rows(table, BITS, max_items=1)
    assert [field for _, field, _, _ in sets(rows) if ":common" in field or field[-2:] == ":e"] == [
        "event:view:common"
    ]
    listed = arrays(rows, "event:view", "items")
    assert [part.tolist() for part in find_item(listed, "é")] == [[3], [2]]
    assert [part.tolist() for part in find_item(listed, "e")] == [[4], [3]]
    assert [len(part) for part in find_item(listed, "common")] == [0, 0]


def test_pushes_are_received_or_opened() -> None:
    table = pa.table(
        {
            "ordinal": pa.array([1, 1, 17], pa.uint32()),
            "campaign_id": ["sale", "sale", "news"],
            "kind": ["sent", "opened", "sent"],
        }
    )
    assert sets(push_rows(table, BITS)) == {
        (0, "received:sale", "value", None): [1],
        (0, "opened:sale", "value", None): [1],
        (1, "received:news", "value", None): [1],
    }
