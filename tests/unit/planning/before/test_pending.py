"""What the intake is to send counts among earlier messages."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa

from angelia.planning.before import add_pending


def test_people_of_the_shard_get_their_rows() -> None:
    at = [datetime(2026, 11, 15, 3, 30), datetime(2026, 11, 15, 6), datetime(2026, 11, 15, 7)]
    table = pa.table(
        {
            "message_id": ["m1", "m2", "m3"],
            "user_id": ["u2", "elsewhere", "u1"],
            "campaign_id": ["sale", "sale", "news"],
            "is_sent": [True, False, False],
            "at_ts": pa.array(at, pa.timestamp("us", tz="UTC")),
        }
    )
    user: list[np.ndarray] = []
    hours: list[np.ndarray] = []
    campaign: list[pa.Array] = []
    keys: list[pa.Array] = []
    add_pending(table, ["u1", "u2"], np.datetime64("2026-11-15T04", "us"), user, hours, campaign, keys)
    assert user[0].tolist() == [1, 0]
    assert hours[0].tolist() == [-0.5, 3.0]
    assert pa.chunked_array(campaign).to_pylist() == ["sale", "news"]
    assert pa.chunked_array(keys).to_pylist() == ["m1", "m3"]
