"""The mart of a night whose plan has its pairs beside it, and of one without."""

from __future__ import annotations

from typing import Any

import pytest

from angelia.contracts.planned.pairs import PairWords, number_pairs
from angelia.effects.attribution.mart import refresh
from angelia.effects.attribution.night_pairs import find_pairs
from angelia.errors import GateClosed
from angelia.lake import Commit, Lake
from tests.unit.effects.attribution.conftest import Story
from tests.unit.effects.conftest import DS, put


def number(lake: Lake, plan: Commit, n_people: int = 4) -> Commit:
    """Write the pairs of a plan's first people, as the planner does."""
    decided = lake.read(plan).slice(0, n_people)
    words = PairWords().with_words_of(decided)
    with lake.attempt("decided_pairs", ds=DS) as attempt:
        attempt.write(number_pairs(decided, words), "part-0000.parquet")
        return attempt.publish(inputs=[plan], meta=words.meta())


def mart(connection: Any, lake: Lake) -> Any:
    return refresh(connection, lake, [DS], lead_hours=28, conversion="purchase")[0].commit


def test_pairs_and_plan_make_the_same_mart(connection: Any, lake: Lake, story: Story) -> None:
    from_plan = lake.read(mart(connection, lake))
    pairs = number(lake, lake.require("decisions", ds=DS))
    commit = mart(connection, lake)
    assert pairs.citation() in commit.inputs
    assert commit.number == 2
    assert lake.read(commit) == from_plan
    assert "holdout_global" in from_plan["side"].to_pylist()
    number(lake, lake.require("decisions", ds=DS), 3)  # all but the one who is held out: the plan is not read
    assert set(lake.read(mart(connection, lake))["side"].to_pylist()) == {"treated"}


def test_pairs_of_another_plan_are_not_read(connection: Any, lake: Lake, story: Story) -> None:
    plan = lake.require("decisions", ds=DS)
    pairs = number(lake, plan)
    put(lake, "decisions", lake.read(plan).slice(0, 1), dict(plan.meta), ds=DS)
    newer = lake.require("decisions", ds=DS)
    assert find_pairs(lake, newer) is None
    number(lake, newer)
    assert find_pairs(lake, plan) == pairs  # the older plan is the one that may have been sent


def test_a_person_who_stands_twice_closes_the_gate(connection: Any, lake: Lake, story: Story) -> None:
    features = lake.read(lake.require("user_features", ds=DS))
    put(lake, "user_features", features.take([0, 0, 1, 2, 3]), ds=DS)
    with pytest.raises(GateClosed, match="pairs_once"):
        mart(connection, lake)
