"""Messages as rows: every field a text, nested ones by their path."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from angelia.importing.kafka.messages import NO_OBJECT, SCHEMA, open_messages
from angelia.importing.kafka.source import KafkaSource


def test_fields_are_texts_and_nested_ones_have_paths() -> None:
    fields = ["id", "user.id", "user", "absent", "no"]
    source = KafkaSource(brokers="a:1", topic="t", fields=fields)
    values = ['{"id": 7.50, "user": {"id": "u"}, "no": null}', "[]", None, "{"]
    rows = [
        {"partition": 3, "offset": 10 + n, "timestamp_ms": 5, "value": value}
        for n, value in enumerate(values)
    ]
    connection = duckdb.connect(":memory:")
    opened = open_messages(connection, source, pa.Table.from_pylist(rows, SCHEMA))
    assert connection.sql(f"SELECT * FROM {opened.relation}").fetchall() == [
        ("7.5", "u", '{"id":"u"}', None, None, "5", "t/3", 10)
    ]
    assert (opened.n_broken_lines, opened.broken_reason) == (3, NO_OBJECT)
    assert [line.line for line in opened.broken_lines] == [11, 12, 13]
    connection.close()
