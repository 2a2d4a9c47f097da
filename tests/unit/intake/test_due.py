"""Due messages are found by an index, and no priority starves."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import Engine

from angelia.intake.dispatching.due import due_query, share_out
from tests.unit.intake.conftest import NOW_US


@pytest.mark.parametrize(
    ("waiting", "limit", "shares"),
    [
        ([100, 100, 100], 10, [7, 2, 1]),
        ([100, 0, 100], 10, [9, 0, 1]),
        ([3, 100, 100], 10, [3, 6, 1]),
        ([0, 1, 100], 10, [0, 1, 9]),
        ([100, 100, 100], 1, [1, 0, 0]),
        ([1, 1, 1], 10, [1, 1, 1]),
    ],
)
def test_a_claim_starves_no_priority(waiting: list[int], limit: int, shares: list[int]) -> None:
    assert share_out(waiting, limit) == shares


def test_the_due_query_reads_one_range_of_its_index(engine: Engine) -> None:
    text = due_query(0, NOW_US, 10).compile(engine, compile_kwargs={"literal_binds": True})
    with engine.connect() as connection:
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]
    index = "intake_due_open (is_open=? AND priority=? AND due_us<?)"
    assert plan == [f"SEARCH intake_messages USING INDEX {index}"]
