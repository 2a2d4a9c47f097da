"""Opens are learned from examples, refusals from all kept pushes."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

from models.card import _fatigue
from models.tiring.learn import learn
from models.tiring.refusing import KeptPushes
from models.tiring.within import RateEffect

DAY_US = 86_400_000_000


def test_figures_of_opens_and_of_refusals_go_together() -> None:
    rng, n = np.random.default_rng(1), 4000
    felt, person = np.log1p(rng.gamma(1.0, 1.0, n)), np.arange(n) // 8
    opened = rng.random(n) < 0.3 * np.exp(-0.5 * felt)
    rows = pa.table({"felt": felt, "ordinal": person, "sent_us": (np.arange(n) % 8) * DAY_US})
    examples: Any = SimpleNamespace(rows=rows, offset=np.full(n, np.log(2.0)), label=opened.astype(float))
    kept = KeptPushes(np.zeros(10), np.zeros(10), np.array([1.0] + 9 * [0.0]))
    figures = learn(examples, kept)
    assert 0.2 < figures["tires"] < 0.8
    # The examples went out at hours twice as good as a mean one.
    assert figures["refuses"] == round(1.0 / (2.0 * 10.0 + 1000.0), 9)
    assert figures["rate"] == 1.0
    assert figures["evidence"]["refuses"]["pushes"] == 10


def test_the_card_says_what_is_unknown() -> None:
    effect = RateEffect(0.0, float("inf"), 0.0, 0).as_dict()
    refuses = {"n": 0, "pushes": 10, "low": 0.0, "high": 0.001}
    figures = {"tires": 0.0, "refuses": 0.0, "refuses_more": 0.0, "rate": 0.1, "tired_days": 2.0,
               "evidence": {"tires": effect, "refuses_more": effect, "refuses": refuses}}  # fmt: skip
    assert "| +0.000 | unknown | -0.000 |" in "\n".join(_fatigue(figures))
