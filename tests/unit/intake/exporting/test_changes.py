"""Marks of what changed: a row an hour and transaction, gone once it is exported."""

from __future__ import annotations

from sqlalchemy.engine import Engine

from angelia.databases import writing
from angelia.intake.exporting.changes import hour_name, hour_number, mark, marked, unmark
from angelia.intake.message import new_id

HOUR_US = 3_600_000_000


def test_hours_have_names_and_numbers() -> None:
    number = hour_number("2026-11-28T21")
    assert hour_name(number) == "2026-11-28T21"
    assert hour_name(number + 3) == "2026-11-29T00"


def test_an_hour_is_marked_once_a_transaction_on_each_store(any_engine: Engine) -> None:
    first = hour_number("2026-11-28T21") * HOUR_US
    ids = [new_id(at) for at in (first, first + HOUR_US - 1_000, first + HOUR_US)]
    for _ in range(2):
        with writing(any_engine) as connection:
            mark(connection, ids)
    with any_engine.connect() as connection:
        tokens = marked(connection)
    assert {hour: len(marks) for hour, marks in tokens.items()} == {"2026-11-28T21": 2, "2026-11-28T22": 2}
    unmark(any_engine, tokens["2026-11-28T21"])
    with any_engine.connect() as connection:
        assert set(marked(connection)) == {"2026-11-28T22"}
