"""Events that campaigns wait for and nobody did are named."""

from __future__ import annotations

import pyarrow as pa

from angelia.catalog.checking import happenings
from angelia.contracts import arrow, dataset
from angelia.lake import Lake
from tests.unit.catalog.test_triggers import LEFT, campaign


def test_an_event_that_nobody_did_is_named(lake: Lake) -> None:
    documents = {
        ("campaign", "sale"): campaign(cancel_on="purchas"),
        ("campaign", "left"): campaign(id="left", trigger=LEFT | {"event": "kart"}),
    }
    assert list(happenings.notices(documents, lake)) == []  # before the first night nothing is known
    rows = {
        "ordinal": [0, 0],
        "event_type": ["cart", "purchase"],
        "item": [None, None],
        "n_events": [1, 1],
        "value_sum": [0.0, 0.0],
        "hours": [1, 1],
    }
    with lake.attempt("user_days", ds="2026-11-14") as attempt:
        table = pa.table(rows, schema=arrow.schema(dataset("user_days")))
        attempt.write(table, "part-0000.parquet", shards=(0, 0))
        attempt.publish()
    assert [str(notice) for notice in happenings.notices(documents, lake)] == [
        "campaign/left: trigger.event: nobody did 'kart' lately; did you mean cart?",
        "campaign/sale: cancel_on: nobody did 'purchas' lately; did you mean purchase?",
    ]
