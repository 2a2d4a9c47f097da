"""The people of a batch are those of the newest night."""

from __future__ import annotations

import pytest

from angelia.errors import NotFound
from tests.unit.intake.dispatching import Bench, bench

__all__ = ["bench"]


def test_without_a_night_nothing_is_claimed(bench: Bench) -> None:
    (message,) = bench.accept({})
    with pytest.raises(NotFound, match="nobody can be reached"):
        bench.dispatch()
    assert bench.states([message]) == ["accepted"]
