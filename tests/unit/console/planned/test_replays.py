"""Past nights decided again: branches with plans are replays, whatever lies beside."""

from __future__ import annotations

import pytest

from angelia.console.planned.replays import Replay, replays, require
from angelia.errors import NotFound
from angelia.lake import Lake


def plan(lake: Lake, branch: str, *days: str) -> None:
    for ds in days:
        with Lake(lake.store, branch).attempt("decisions", ds=ds) as attempt:
            attempt.publish()


def test_branches_with_plans_are_replays_the_newest_night_first(lake: Lake) -> None:
    plan(lake, "main", "2026-11-14")
    plan(lake, "replay-a", "2026-11-10", "2026-11-11")
    plan(lake, "replay-b", "2026-11-12")
    with Lake(lake.store, "replay-empty").attempt("catalog_snapshot", ds="2026-11-14") as attempt:
        attempt.publish()
    lake.store.create("exports/x.json", b"{}")
    assert replays(lake) == [
        Replay("replay-b", ("2026-11-12",)),
        Replay("replay-a", ("2026-11-10", "2026-11-11")),
    ]


def test_a_replay_that_has_no_plan_yet_is_under_way(lake: Lake) -> None:
    plan(lake, "replay-a", "2026-11-10")
    assert require(lake, "replay-a") == Replay("replay-a", ("2026-11-10",))
    assert require(lake, "replay-b") is None


@pytest.mark.parametrize("name", ["main", "replay-", "replay-A", "replay-../main", "replay-" + "x" * 81])
def test_a_name_that_no_replay_can_have_is_not_found(lake: Lake, name: str) -> None:
    with pytest.raises(NotFound, match="no such replay"):
        require(lake, name)
