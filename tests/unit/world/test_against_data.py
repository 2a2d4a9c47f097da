"""Recompute the committed marginals from the real sets, where ANGELIA_DATA points at them.

In CI (variable CI set) a missing folder is a failure.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from angelia.world.marginals import Values, committed, distance, measure


@pytest.fixture(scope="module")
def measured(real_data: Callable[..., Path]) -> Values:
    return measure(real_data("kuairand_pure", "online_retail"))


def test_committed_marginals_are_those_of_the_data(measured: Values) -> None:
    assert set(measured) == set(committed())
    for name, row in committed().items():
        assert distance(row["value"], measured[name], relative=False) < 1e-4, name
