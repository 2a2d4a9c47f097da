"""An effect is found within people, and leans to zero where little tells."""

import numpy as np
import pytest

from models.tiring.within import SPREAD, RateEffect, conditional


def lives(seed: int, effect: float, people: int = 3000) -> tuple[np.ndarray, ...]:
    """People who open more are sent more: pooled, messages would seem to wake them."""
    rng = np.random.default_rng(seed)
    rate = np.exp(rng.normal(-2.5, 0.8, people))
    n = np.clip(rng.poisson(120 * rate), 2, 40)
    person = np.repeat(np.arange(people), n)
    felt = np.log1p(rng.gamma(2.0, 6 * rate[person]))
    offset = rng.normal(0.0, 0.3, len(person))
    chance = np.minimum(rate[person] * np.exp(effect * felt + offset), 1.0)
    return felt, offset, (rng.random(len(person)) < chance).astype(float), person


def test_an_effect_is_found_within_people() -> None:
    felt, offset, label, person = lives(1, -0.4)
    own = conditional(felt, offset, label, person)
    pooled = conditional(felt, offset, label, np.zeros(len(person), np.int64))
    assert pooled.counted > 0.2, "between people the sign is the other one"
    assert abs(own.counted + 0.4) < 3 * own.error
    assert own.error < 0.1
    assert own.counted < own.leaning < 0.0


def test_its_interval_covers() -> None:
    """The truth lies in 95 % of intervals; 17 of 20 is what luck leaves of that."""
    intervals = [conditional(*lives(seed, -0.3, people=600)) for seed in range(20)]
    assert sum(abs(one.counted + 0.3) < 1.96 * one.error for one in intervals) >= 17


def test_little_evidence_leans_to_zero() -> None:
    felt, offset, label, person = lives(2, -0.4, people=15)
    few = conditional(felt, offset, label, person)
    assert few.error > SPREAD / 2
    assert abs(few.leaning) < 0.85 * abs(few.counted)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_no_evidence_is_no_effect(label: float) -> None:
    x = np.linspace(0.0, 1.0, 10)
    nothing = conditional(x, np.zeros(10), np.full(10, label), np.arange(10))
    assert (nothing.leaning, nothing.n) == (0.0, 0)
    assert nothing.as_dict()["low"] is None
    assert conditional(np.ones(10), np.zeros(10), x, np.zeros(10, int)) == RateEffect(
        0.0, float("inf"), 0.0, 0
    )
