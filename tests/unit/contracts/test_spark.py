"""Spark schemas have the contract's columns, in types that hold every value."""

from __future__ import annotations

import pyarrow as pa
import pytest

from angelia.contracts import CONTRACTS
from angelia.contracts import spark as to_spark


@pytest.mark.parametrize("name", CONTRACTS)
def test_spark_schema_has_the_contracts_columns(name: str) -> None:
    schema = to_spark.schema(CONTRACTS[name])
    assert schema.names == CONTRACTS[name].names
    assert [field.nullable for field in schema.fields] == [
        column.nullable for column in CONTRACTS[name].columns
    ]


def test_unsigned_ordinals_fit_in_spark() -> None:
    assert to_spark.schema(CONTRACTS["user_index"])["ordinal"].dataType.simpleString() == "bigint"
    assert to_spark.ddl(CONTRACTS["user_index"]) == "`user_id` string NOT NULL, `ordinal` bigint NOT NULL"


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (pa.uint32(), "bigint"),
        (pa.timestamp("us", tz="UTC"), "timestamp"),
        (pa.list_(pa.float32()), "array<float>"),
        (pa.list_(pa.struct([("n", pa.int16()), ("s", pa.string())])), "array<struct<n:smallint,s:string>>"),
    ],
)
def test_types_are_translated_inside_lists_and_structs(kind: pa.DataType, name: str) -> None:
    assert to_spark.spark_type(kind).simpleString() == name


def test_a_type_without_a_translation_is_an_error() -> None:
    with pytest.raises(KeyError):
        to_spark.spark_type(pa.uint64())
