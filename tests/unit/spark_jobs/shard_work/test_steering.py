"""The sample has the same people at any width of shards."""

from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from angelia.lake import Lake
from angelia.planning.eligibility import assemble
from angelia.planning.reading import Blocks
from angelia.timing.busiest import META
from spark_jobs.shard_work import steering
from spark_jobs.shard_work.problems import PlanContext
from spark_jobs.shard_work.steering import (
    BLOCK_BITS,
    BLOCKS,
    SAMPLE_USERS,
    kept_samples,
    risk_sample,
    sample_shard,
    sampled_blocks,
    sampled_shards,
    sampled_share,
)
from tests.unit.planning.few_people import TERMS
from tests.unit.planning.later.test_refusals import FREE, OLD, pairs, some_people

LIMITED = replace(FREE, refusals_at_most=1.0)
BUSIEST = (0.5, 0.25)
BY_PAIR = ("campaign", "p_open", "has_material", "category")


@pytest.mark.parametrize("shard_bits", [10, BLOCK_BITS, 14])
def test_the_same_people_at_any_width(shard_bits: int) -> None:
    n_users = 100_000
    blocks = sampled_blocks(TERMS, n_users)
    assert len(blocks) == BLOCKS
    shards = range((n_users - 1 >> shard_bits) + 1)
    chosen = sampled_shards(shards, blocks, shard_bits)
    assert len(chosen) < len(shards)
    ordinals = np.arange(n_users)
    wanted = ordinals[np.isin(ordinals >> BLOCK_BITS, blocks)]
    assert set(wanted >> shard_bits) == set(chosen)
    assert sampled_share(blocks, n_users) == SAMPLE_USERS / len(wanted)


def test_few_people_are_all_in_the_sample() -> None:
    blocks = sampled_blocks(TERMS, 600)
    assert blocks == [0]
    assert sampled_share(blocks, 600) == 1.0
    assert sampled_shards(range(3), blocks, 8) == [0, 1, 2]
    assert sampled_blocks(TERMS, 0) == []
    assert sampled_share([], 0) == 1.0


def test_a_sample_comes_back_from_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, who = Lake.open(str(tmp_path)), some_people(40)
    whole_pairs = pairs(40)
    built = assemble(LIMITED, who, whole_pairs, OLD)
    halves = {0: slice(0, 20), 1: slice(20, 40)}

    def prepare(context: PlanContext, number: int, blocks: Blocks) -> Any:
        assert blocks == Blocks((0,), BLOCK_BITS)
        own = {one.name: getattr(who, one.name) for one in fields(who) if one.name != "own_quiet"}
        people = replace(who, **{name: values[halves[number]] for name, values in own.items()})
        rows = whole_pairs.user // 20 == number
        theirs = replace(
            whole_pairs,
            user=whole_pairs.user[rows] - 20 * number,
            **{name: getattr(whole_pairs, name)[rows] for name in BY_PAIR},
        )
        part = assemble(LIMITED, people, theirs, OLD)
        waits = np.where(theirs.campaign == 0, 2, 0)  # the first campaign's messages wait
        own = SimpleNamespace(people=people)
        return SimpleNamespace(
            problem=part.problem, later=part.later, shard=own, allowed=part.allowed, nights=waits
        )

    monkeypatch.setattr(steering, "prepare", prepare)
    inputs: Any = SimpleNamespace(send_times=SimpleNamespace(meta={META: BUSIEST}))
    context = PlanContext(lake, inputs, LIMITED, None, "attempt")  # type: ignore[arg-type]
    for number in halves:
        assert sample_shard(context, [0], 1.0, number).files == []
    sample, whole = kept_samples(context, [0, 1]), risk_sample(built, LIMITED, who, BUSIEST)
    assert sample.problem.n_users == 40
    assert np.array_equal(sample.problem.value, whole.problem.value)
    assert np.array_equal(sample.risk, whole.risk)
    assert np.array_equal(sample.weight, whole.weight)
    assert np.array_equal(sample.usual.best, whole.usual.best)
    assert np.array_equal(sample.usual.reach, whole.usual.reach)
    assert np.array_equal(sample.waits, sample.problem.pair_campaign == 0)
    assert not whole.waits.any()
    reach = set(sample.usual.reach.tolist())
    assert all(BUSIEST[1] < one < BUSIEST[0] for one in reach), "a Sunday, and a few hours of Monday"
    assert (whole.weight[whole.problem.is_exempt] == 0).all()
    assert not list(lake.store.list("attempt")), "nothing stays beside the attempt"


def test_nothing_known_of_fatigue_is_no_risk() -> None:
    built = assemble(LIMITED, some_people(5), replace(pairs(5), fatigue=None), OLD)
    sample = risk_sample(built, LIMITED, some_people(5), BUSIEST)
    assert (sample.risk == 0).all()
    assert sample.price(LIMITED, LIMITED.limits(), 5, lambda line: None) is None
