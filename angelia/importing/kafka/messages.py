"""Messages as an input of a mapping: a column a field, every value a text.

Grain: message. Reads an Arrow table; writes a table of the connection. A message that is not a JSON object is
counted, and named by its topic, partition and offset.
"""
# ruff: noqa: S608 - statements are made of quoted identifiers and names of our own; every value is a parameter.

from __future__ import annotations

import duckdb
import pyarrow as pa

from angelia.importing.csv_files import BrokenLine
from angelia.importing.inputs import OpenedInput, quote
from angelia.importing.kafka.source import KafkaSource
from angelia.importing.layers import FILE, ROW

NO_OBJECT = "message is not a JSON object"
TIMESTAMP = "kafka.timestamp"
SCHEMA = pa.schema(
    [
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("timestamp_ms", pa.int64()),
        ("value", pa.string()),  # null: no UTF-8, or deleted
    ]
)
_SAMPLES = 5


def open_messages(
    connection: duckdb.DuckDBPyConnection, source: KafkaSource, messages: pa.Table
) -> OpenedInput:
    """Make the relation of a portion of messages."""
    connection.register("kafka_messages", messages)
    # A CASE, as DuckDB may else ask for the type of a text that is no JSON.
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE kafka_portion AS SELECT *, coalesce("
        "CASE WHEN json_valid(value) THEN json_type(value) = 'OBJECT' END, false) AS is_object "
        "FROM kafka_messages"
    )
    connection.unregister("kafka_messages")
    columns, params = [], {"topic": f"{source.topic}/"}
    for position, name in enumerate(source.fields):
        params[f"p{position}"] = "$" + "".join(f'."{key}"' for key in name.split("."))
        columns.append(f"json_extract_string(value, $p{position}) AS {quote(name)}")
    columns.append(f"CAST(timestamp_ms AS VARCHAR) AS {quote(TIMESTAMP)}")
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE kafka_rows AS SELECT {', '.join(columns)}, "
        f'$topic || "partition" AS {FILE}, "offset" AS {ROW} FROM kafka_portion WHERE is_object',
        params,
    )
    ((n_broken,),) = connection.sql("SELECT count(*) FROM kafka_portion WHERE NOT is_object").fetchall()
    samples = connection.sql(
        'SELECT "partition", "offset" FROM kafka_portion WHERE NOT is_object '
        f'ORDER BY "partition", "offset" LIMIT {_SAMPLES}'
    ).fetchall()
    return OpenedInput(
        "kafka_rows",
        (),
        dict.fromkeys([*source.fields, TIMESTAMP], "VARCHAR"),
        n_broken,
        tuple(BrokenLine(f"{source.topic}/{partition}", at, NO_OBJECT) for partition, at in samples),
        NO_OBJECT,
    )
