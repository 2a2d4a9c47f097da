"""What was answered before a kill is compared with what the database has after it."""

from __future__ import annotations

from benchmarks.messages.kills import compared

PAIRS = [("a", "1"), ("b", "2")]


def test_what_is_kept_once_is_neither_lost_nor_doubled() -> None:
    figures = compared([*PAIRS, ("a", "1")], [*PAIRS, ("c", "3")])
    assert figures == {"lost": 0, "doubled": 0, "acknowledged_under_kills": 2}


def test_an_id_that_the_database_lacks_is_lost() -> None:
    assert compared(PAIRS, [("a", "1"), ("b", "9")])["lost"] == 1
    assert compared(PAIRS, [("a", "1")])["lost"] == 1


def test_a_key_with_two_ids_is_doubled_on_either_side() -> None:
    assert compared([*PAIRS, ("a", "3")], [*PAIRS, ("a", "3")])["doubled"] == 1
    assert compared([*PAIRS, ("a", "3")], PAIRS)["doubled"] == 1
    assert compared(PAIRS, [*PAIRS, ("b", "4")])["doubled"] == 1
