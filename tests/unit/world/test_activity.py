"""What people do in the app: events of their kind, within their day."""

from __future__ import annotations

import pyarrow.compute as pc

from angelia.lake import Lake

DS = "2026-11-14"


def test_events_are_of_their_kind(world_lake: Lake) -> None:
    events = world_lake.read(world_lake.require("user_events", ds=DS))
    clean = events.filter(
        pc.and_(
            pc.match_substring_regex(events["event_type"], "^[a-z]+$"),
            pc.less(pc.fill_null(pc.abs(events["value"]), 0), 1e6),
        )
    )
    for kind, has_item, has_value in (
        ("open", False, False),
        ("view", True, False),
        ("cart", True, False),
        ("purchase", True, True),
    ):
        rows = clean.filter(pc.equal(clean["event_type"], kind))
        assert len(rows), kind
        assert (rows["item"].null_count == 0) == has_item
        assert (rows["value"].null_count == 0) == has_value
