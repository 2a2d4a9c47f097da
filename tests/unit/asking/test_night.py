"""A planned night opened for questions."""

from __future__ import annotations

import pytest

from angelia.asking.whatif import what_if
from angelia.errors import NotFound
from angelia.lake import Lake


def test_a_night_without_plan_names_those_that_have_one(tight: Lake) -> None:
    with pytest.raises(NotFound) as refused:
        what_if(tight, "2026-11-20", {})
    assert "the last planned nights are 2026-11-13, 2026-11-14" in refused.value.one_line()
