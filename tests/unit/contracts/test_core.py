"""A dataset knows its columns by name, and refuses a declaration that contradicts itself."""

from __future__ import annotations

import pyarrow as pa
import pytest

from angelia.contracts.core import Column, Dataset

ID = Column("id", pa.string(), "who")
AGE = Column("age", pa.int16(), "years", nullable=True)


def dataset(*columns: Column, key: tuple[str, ...] = ("id",)) -> Dataset:
    return Dataset("people", 1, "person", key, ("ds",), columns, ("a job",))


def test_columns_are_read_by_name_in_declared_order() -> None:
    people = dataset(AGE, ID)
    assert people["age"] is AGE
    assert people.names == ["age", "id"]
    assert ("id" in people, "height" in people) == (True, False)
    with pytest.raises(KeyError):
        people["height"]


def test_a_column_declared_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="people: a column is declared twice"):
        dataset(ID, AGE, ID)


def test_a_key_that_is_no_column_is_refused() -> None:
    with pytest.raises(ValueError, match="people: key column ordinal is not declared"):
        dataset(ID, key=("id", "ordinal"))


def test_what_words_mean_does_not_make_another_column() -> None:
    assert Column("kind", pa.string(), "kind", words={"a": "first"}) == Column("kind", pa.string(), "kind")
