"""The learner orders people by a planted lift, and only by that."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from models.uplift.learning import Uplift, UpliftReadOut, train

NAMES = ("risk", "moved", "kind")


def world(
    seed: int, n: int = 8_000, *, lift: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """A fifth are held out; `moved` above zero gains, `risk` only raises the level."""
    rng = np.random.default_rng(seed)
    matrix = np.column_stack([rng.normal(size=n), rng.normal(size=n), rng.integers(0, 3, n)])
    treated = rng.random(n) < 0.8
    chance = 0.15 + 0.1 * (matrix[:, 0] > 0) + lift * treated * (matrix[:, 1] > 0)
    return matrix.astype(np.float32), treated, (rng.random(n) < chance).astype(float)


def learn(seed: int, lift: float) -> tuple[Uplift, UpliftReadOut]:
    return train(*world(seed, lift=lift), share=0.8, names=NAMES, categorical=[2], seed=seed)


@pytest.fixture(scope="module")
def learnt() -> tuple[Uplift, UpliftReadOut]:
    return learn(4, 0.3)


def test_who_is_moved_stands_first_on_people_not_seen(learnt: tuple[Uplift, UpliftReadOut]) -> None:
    model, read_out = learnt
    assert read_out.ranking.low > 0
    assert read_out.deciles[0].realised > read_out.deciles[-1].realised + 0.1
    assert read_out.n_trained + read_out.n_held == 8_000
    matrix = world(9, lift=0.3)[0]
    score = model.score(matrix)
    moved = matrix[:, 1] > 0
    assert score[moved].mean() == pytest.approx(0.3, abs=0.08)
    assert score[~moved].mean() == pytest.approx(0.0, abs=0.08)


def test_the_same_people_and_seed_give_the_same_scores(learnt: tuple[Uplift, UpliftReadOut]) -> None:
    matrix = world(9, lift=0.3)[0]
    again, read_out = learn(4, 0.3)
    np.testing.assert_array_equal(again.score(matrix), learnt[0].score(matrix))
    assert read_out == learnt[1]
    read_back = Uplift.from_text(again.to_text())
    np.testing.assert_allclose(read_back.score(matrix), again.score(matrix))
    assert len(again.score(matrix[:0])) == 0


def test_where_nobody_is_moved_the_order_may_be_chance() -> None:
    assert learn(5, 0.0)[1].ranking.low <= 0
