"""What several devices do with one message counts once, in every table of the report."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from angelia.effects.tables import make_table

NOON = "TIMESTAMPTZ '2026-11-15 12:00:00+00'"


@pytest.fixture
def tables() -> Iterator[duckdb.DuckDBPyConnection]:
    """Make a night of one message to three devices; two took it and opened it, an hour apart."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        f"CREATE TABLE delivery_ledger AS SELECT 'd' || n AS dispatch_id, 'm' AS message_id, 'u' AS user_id, "
        f"'sale' AS campaign_id, 'fcm' AS channel, if(n < 2, 'accepted', 'rejected') AS outcome, "
        f"{NOON} + to_hours(n::INTEGER) AS sent_ts FROM range(3) AS t (n)"
    )
    connection.execute(
        f"CREATE TABLE push_receipts AS SELECT 'd' || n AS dispatch_id, 'm' AS message_id, 'u' AS user_id, "
        f"kind, {NOON} + to_hours(n::INTEGER + 1) AS receipt_ts, {NOON} + to_hours(n::INTEGER) AS sent_ts, "
        f"NULL::VARCHAR AS reason FROM range(2) AS t (n), "
        "(VALUES ('delivered'), ('opened'), ('unsubscribed')) AS k (kind)"
    )
    connection.execute(
        f"CREATE TABLE dispatch_manifest AS SELECT 'd' || n AS dispatch_id, 'm' AS message_id, "
        f"{NOON} AS send_ts, 't' || n AS address FROM range(3) AS t (n)"
    )
    connection.execute(
        "CREATE TABLE considered AS SELECT 'u' AS user_id, 'sale' AS campaign_id, 'm' AS message_id, "
        "'paper' AS material_id, 'fcm' AS channel, 'sent' AS outcome, 'a' AS arm, TRUE AS was_eligible"
    )
    connection.execute("CREATE TABLE campaigns AS SELECT 'sale' AS campaign_id, 'x' AS experiment")
    connection.execute(
        "CREATE TABLE attribution_campaigns AS SELECT 'sale' AS campaign_id, 'delivered' AS since, "
        "24 AS open_hours, 24 AS conversion_hours, 'purchase' AS conversion"
    )
    connection.execute(
        f"CREATE TABLE user_events AS SELECT 'u' AS user_id, 'purchase' AS event_type, {NOON} AS event_ts"
    )
    yield connection
    connection.close()


def figures(connection: duckdb.DuckDBPyConnection, name: str, columns: str, **values: object) -> object:
    make_table(connection, name, values)
    return connection.execute(f"SELECT {columns} FROM {name}").fetchall()


def test_each_message_counts_once(tables: duckdb.DuckDBPyConnection) -> None:
    assert figures(tables, "opened", "count(*)") == [(1,)]
    steps = figures(tables, "funnel", "list(n ORDER BY step)")
    assert steps == [([1] * 7,)]
    assert figures(tables, "experiments", "n_users, n_planned, n_sent, n_opened") == [(1, 1, 1, 1)]
    day = {"plan_start": "2026-11-15 04:00:00+00", "plan_end": "2026-11-16 04:00:00+00"}
    assert figures(tables, "sends_by_hour", "sum(planned), sum(sent), sum(opened)", **day) == [(1, 1, 1)]
    window = {"window_end": "2026-11-17 04:00:00+00", "conversion": "purchase"}
    columns = "n_users, n_sent, n_opened, n_converted, n_unsubscribed"
    day |= window
    assert figures(tables, "campaign_effects", columns, **day) == [(1, 1, 1, 1, 1)]
    touch = {"first_touch": 0, "plan_end": day["plan_end"], "conversion": "purchase"}
    assert figures(tables, "attribution_touches", "count(*)", **touch) == [(1,)]
