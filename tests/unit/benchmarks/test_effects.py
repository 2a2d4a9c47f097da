"""The effects benchmark: its moments are those of the persons, its figures seeded."""

from __future__ import annotations

import numpy as np
import pytest

from angelia.errors import InvalidInput
from benchmarks import effects
from tests.unit.effects.test_adjusting import side_of


def test_moments_are_those_of_the_persons() -> None:
    rng = np.random.default_rng(6)
    x = rng.gamma(1.0, 2.0, 300)
    looks = np.cumsum(rng.gamma(1.0, 1.0, (4, 300)) * x, axis=0)
    ours, plain = effects.moments(x, looks), side_of(x, looks)
    for name in plain.__dataclass_fields__:
        np.testing.assert_allclose(getattr(ours, name), getattr(plain, name), err_msg=name)


def test_a_small_run_has_every_figure_and_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "_TRUTH_PEOPLE", 200_000)
    words = ["--people", "1000", "--nights", "5", "--repetitions", "12", "--mart-people", "0"]
    words += ["--uplift-people", "10000", "--uplift-repetitions", "1"]
    first, again = effects.main(words), effects.main(words)
    for name in ("coverage_fixed_pct", "coverage_sequential_pct", "type1_daily_looks_pct"):
        assert 0 <= first["ours"][name] <= 100
        assert first["ours"][name] == again["ours"][name]
    assert first["ours"]["coverage_sequential_pct"] >= 75


def test_too_few_people_are_refused() -> None:
    with pytest.raises(InvalidInput, match="--people"):
        effects.main(["--people", "5"])
