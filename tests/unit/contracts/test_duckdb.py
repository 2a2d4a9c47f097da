"""Patterns mean the same in Python and DuckDB; DDL takes what the contract takes."""

from __future__ import annotations

import re

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from angelia.contracts import CONTRACTS
from angelia.contracts import duckdb as to_duckdb
from angelia.contracts.rows import valid_rows

PATTERNS = sorted(
    {column.pattern for contract in CONTRACTS.values() for column in contract.columns if column.pattern}
)
TEXTS = st.one_of(
    st.text(max_size=80),
    st.text(alphabet="aZ09_.:@-f\n\x7f\t ", max_size=70),
    st.sampled_from(["", "a" * 64, "a" * 65, "0" * 32, "x" * 4096, "x" * 4097]),
)
CONNECTION = duckdb.connect()


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=20))
def test_patterns_agree_with_python(texts: list[str]) -> None:
    texts = [text for text in texts if "\x00" not in text] or [""]
    for pattern in PATTERNS:
        answers = CONNECTION.execute(
            f"SELECT {to_duckdb.matches('t', pattern)} FROM (SELECT unnest($texts) AS t)", {"texts": texts}
        ).fetchall()
        assert [row[0] for row in answers] == [re.fullmatch(pattern, text) is not None for text in texts], (
            pattern
        )


def test_a_pattern_re2_cannot_count_is_refused_when_declared() -> None:
    with pytest.raises(ValueError, match="more than 1000"):
        to_duckdb.matches("t", "^(ab){1,2000}$")


@pytest.mark.parametrize("name", CONTRACTS)
def test_ddl_takes_valid_rows_in_declared_types(name: str) -> None:
    connection = duckdb.connect()
    connection.execute(to_duckdb.ddl(CONTRACTS[name]))
    connection.register("rows", valid_rows(name, 50))
    connection.execute(f"INSERT INTO {name} SELECT * FROM rows")
    assert to_duckdb.given_types(connection, f"SELECT * FROM {name}") == to_duckdb.expected_types(
        connection, CONTRACTS[name]
    )


def test_ddl_refuses_what_the_contract_refuses() -> None:
    connection = duckdb.connect()
    connection.execute(to_duckdb.ddl(CONTRACTS["audience_members"]))
    connection.execute("INSERT INTO audience_members VALUES ('fine', 0, 1, ''::BLOB)")
    for values in (
        "('Not fine', 0, 1, ''::BLOB)",
        "('fine', -1, 1, ''::BLOB)",
        "('fine', NULL, 1, ''::BLOB)",
    ):
        with pytest.raises(duckdb.ConstraintException):
            connection.execute(f"INSERT INTO audience_members VALUES {values}")
