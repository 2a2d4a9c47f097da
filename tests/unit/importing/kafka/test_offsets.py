"""How far a topic was read stands in the commit that holds the rows."""

from __future__ import annotations

import pytest

from angelia.errors import Conflict
from angelia.importing.kafka.offsets import TopicPosition, find, publish
from angelia.lake import Lake

FIRST, SECOND = "2026-11-28", "2026-11-29"


def test_a_day_that_is_over_names_the_next(lake: Lake) -> None:
    assert find(lake, "shop:events", FIRST) == TopicPosition(FIRST, 0, None)
    publish(lake, TopicPosition(FIRST, 0, None), "shop:events", None, {0: 5, 1: 7})
    assert find(lake, "shop:events", FIRST) == TopicPosition(FIRST, 1, {0: 5, 1: 7})
    assert find(lake, "shop:events", SECOND) == TopicPosition(SECOND, 0, {0: 5, 1: 7})
    closed = lake.require("user_events", ds=FIRST)
    assert closed.meta["kafka"] == {"shop:events": {"offsets": {"0": 5, "1": 7}, "next": SECOND}}
    # A clock that stands behind goes on where the other one is.
    assert find(lake, "shop:events", FIRST) == TopicPosition(SECOND, 0, {0: 5, 1: 7})


def test_who_read_an_older_head_publishes_nothing(lake: Lake) -> None:
    place = find(lake, "shop:events", FIRST)
    publish(lake, place, "other:events", None, {0: 1}, rejects={"bad": 1})
    with pytest.raises(Conflict):
        publish(lake, place, "shop:events", None, {0: 1})
    later = find(lake, "shop:events", FIRST)
    commit = publish(lake, later, "shop:events", None, {0: 3}, rejects={"bad": 2})
    assert set(commit.meta["kafka"]) == {"other:events", "shop:events"}, "a source keeps another's note"
    assert commit.rejects == {"bad": 3}
    assert len(commit.files) == 1
