"""What waits between passes comes back as it was, from files and from a store without."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from angelia.lake import Lake
from angelia.planning import ShardRounds
from angelia.planning.choose import Bucket
from benchmarks.nights.plan_night import NightOf
from spark_jobs.shard_work.problems import (
    BUCKET,
    PACKED,
    THIN,
    WaitingParts,
    keep_night,
    keep_sample,
    keep_state,
    kept_night,
    kept_sample,
)

NIGHT = NightOf(299, campaigns=5)


class Remote:
    """A store whose objects are no local files."""

    def __init__(self, store: Any) -> None:
        self.store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def local_path(self, key: str) -> None:
        """There is none."""


@pytest.fixture(params=["local", "remote"])
def waiting(request: pytest.FixtureRequest, tmp_path: Path) -> WaitingParts:
    lake = Lake.open(str(tmp_path))
    if request.param == "remote":
        lake.store = Remote(lake.store)  # type: ignore[assignment]
    return WaitingParts(lake, "attempt")


def arrays_of(night: ShardRounds) -> list[np.ndarray]:
    of_buckets = [getattr(bucket, name) for bucket in night.packed.buckets for name in BUCKET]
    thin = [getattr(night.problem, name) for name in THIN]
    return [*thin, *(getattr(night.packed, name) for name in PACKED), *of_buckets]


def test_a_night_comes_back_as_it_was_kept(waiting: WaitingParts) -> None:
    night = ShardRounds.of(NIGHT.problem(0, 299), NIGHT.limits())
    assert set(BUCKET) == {field.name for field in fields(Bucket)} - {"bits"}
    keep_night(waiting, 3, night)
    rng = np.random.default_rng(1)
    chosen = rng.random(night.problem.n_pairs) < 0.4
    offered = replace(
        night.offered,
        slot=np.where(chosen, rng.integers(0, 24, len(chosen)), -1),
        channel=np.where(chosen, 1, -1),
        bid=np.where(chosen, rng.integers(1, 9_999, len(chosen)), 0),
    )
    asked = np.flatnonzero(chosen)[::2]
    changed = replace(night, offered=offered, refused=~chosen, asked=asked, regret=7 * asked)
    keep_state(waiting, 3, changed)
    back = kept_night(waiting, 3)
    for was, read in zip(arrays_of(changed), arrays_of(back), strict=True):
        assert np.array_equal(was, read)
        assert read.dtype == was.dtype
    for name in ("refused", "asked", "regret"):
        assert np.array_equal(getattr(back, name), getattr(changed, name))
    for held, other in ((back.held, night.held), (back.offered, offered)):
        assert all(
            np.array_equal(getattr(held, name), getattr(other, name)) for name in ("slot", "channel", "bid")
        )


def test_what_is_kept_begins_at_whole_words(waiting: WaitingParts) -> None:
    """NumPy copies arrays that begin between words before each step."""
    night = ShardRounds.of(NIGHT.problem(0, 299), NIGHT.limits())
    assert night.problem.n_pairs % 4
    keep_night(waiting, 0, night)
    assert all(array.flags.aligned for array in arrays_of(kept_night(waiting, 0)))


def test_a_sample_comes_back_as_it_was_kept(waiting: WaitingParts) -> None:
    sample = NIGHT.problem(0, 40)
    keep_sample(waiting.lake.store, "attempt/sample.npy", sample)
    back = kept_sample(waiting.lake.store, "attempt/sample.npy")
    for field in fields(sample):
        assert np.array_equal(getattr(sample, field.name), getattr(back, field.name))
