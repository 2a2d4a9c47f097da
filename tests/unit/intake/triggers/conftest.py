"""A night whose people leave carts."""

from __future__ import annotations

import pytest

from tests.unit.intake.dispatching import Bench
from tests.unit.intake.triggers.setting import LEFT, documents, index


@pytest.fixture
def shop(bench: Bench) -> Bench:
    bench.night(documents=documents(LEFT))
    index(bench.lake)
    return bench
