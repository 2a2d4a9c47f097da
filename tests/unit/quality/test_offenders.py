"""Rows that a check counted, with persons hidden."""

from __future__ import annotations

import pytest

from angelia.contracts.rows import valid_rows
from angelia.errors import InvalidInput
from angelia.lake import Lake
from angelia.quality import run_gate
from angelia.quality.offenders import check_names, offending_rows
from tests.unit.quality.test_gates import DS, N, failing, put, sources, with_column

__all__ = ["sources"]


def test_the_rows_shown_are_those_that_were_counted(sources: Lake) -> None:
    good = sources.require("user_events", ds=DS)
    bad = with_column(valid_rows("user_events", N), "item", lambda i, value: "a b" if i < 300 else value)
    put(sources, "user_events", bad)
    check = "user_events.item.pattern"
    assert failing(sources, "sources") == {check: 300}
    put(sources, "user_events", valid_rows("user_events", N))
    assert good.number + 2 == sources.require("user_events", ds=DS).number
    assert len(offending_rows(sources, "sources", check, DS, limit=400)) == 300


def test_unknown_gate_check_and_rows_of_no_rows(sources: Lake) -> None:
    with pytest.raises(InvalidInput, match="no gate 'source'"):
        run_gate(sources, "source", DS)
    with pytest.raises(InvalidInput, match="has no check") as refused:
        offending_rows(sources, "sources", "user_profiles.timezone.maxnull", DS)
    assert "user_profiles.timezone.max_null" in refused.value.one_line()
    with pytest.raises(InvalidInput, match="no rows to show"):
        offending_rows(sources, "sources", "user_profiles.partition.exists", DS)


def test_every_check_that_can_be_named_can_be_looked_at(sources: Lake) -> None:
    for check in check_names("sources"):
        if check.startswith("user_events."):
            assert isinstance(offending_rows(sources, "sources", check, DS), list)
