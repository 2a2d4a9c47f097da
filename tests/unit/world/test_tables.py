"""Rows of the world as the contracts have them."""

from __future__ import annotations

import re

from angelia.contracts import ids
from angelia.lake import Lake

DS = "2026-11-14"


def test_message_ids_are_the_contracts_for_reachable_people(world_lake: Lake) -> None:
    reachable = {
        (row["user_id"], row["channel"])
        for row in world_lake.read(world_lake.require("user_endpoints", ds=DS)).to_pylist()
        if row["is_active"] and row["user_id"]
    }
    rows = world_lake.read(world_lake.require("push_history", ds=DS)).to_pylist()
    for row in rows:
        assert row["message_id"] == ids.message_id(row["campaign_id"], row["user_id"], DS)
        assert row["opened_ts"] is None or row["opened_ts"] > row["sent_ts"]
        assert re.fullmatch(r"u\d{7}", row["user_id"])
    # Endpoint rows whose user id was soiled are a handful.
    assert sum((row["user_id"], row["channel"]) not in reachable for row in rows) <= 3
