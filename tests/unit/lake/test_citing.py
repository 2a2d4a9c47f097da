"""What a commit was made from, and one line where it does not say."""

from __future__ import annotations

import pytest

from angelia.contracts.rows import valid_rows
from angelia.errors import NotFound
from angelia.lake import Commit, Lake
from angelia.lake.citing import input_of

DS = "2026-11-14"


def put(lake: Lake, name: str, *inputs: Commit) -> Commit:
    with lake.attempt(name, ds=DS) as attempt:
        attempt.write(valid_rows(name, 10), "part-0000.parquet", conform=False)
        return attempt.publish(inputs=inputs)


def test_an_input_is_the_commit_that_was_cited(lake: Lake) -> None:
    first = put(lake, "user_events")
    days = put(lake, "user_days", put(lake, "push_history"), first)
    put(lake, "user_events", days)
    assert input_of(lake, days, "user_events") == first
    replay = Lake(lake.store, "replay-x")
    own = put(replay, "user_events")
    assert input_of(replay, put(replay, "user_days", own), "user_events") == own


def test_a_commit_that_cites_no_input_names_its_writer(lake: Lake) -> None:
    days = put(lake, "user_days", put(lake, "user_events"))
    with pytest.raises(NotFound) as lacking:
        input_of(lake, days, "user_index")
    assert lacking.value.one_line() == (
        "user_days/ds=2026-11-14@1 does not say which user_index it was made from; "
        "make it again (aggregate_days --ds 2026-11-14), and all after it"
    )
