"""Hints: names that nobody has, with their neighbours, and conditions that are never true."""

from __future__ import annotations

from types import ModuleType

import pytest

from angelia.audience.hints import hints
from angelia.audience.query import AudienceQuery
from angelia.lake import Lake

World = tuple[Lake, ModuleType]


def lines(small_world: World, text: str) -> list[str]:
    lake, w = small_world
    return hints(AudienceQuery(lake, w.DS, audiences={"spas": "tag = 'spo'"}), text)


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("NOT tag = 'spo'", "note: nobody has tag = 'spo'; did you mean spa"),
        ("tag IN ('spa', 'spq')", "note: nobody has tag = 'spq'"),
        ("province LIKE 'guan%'", "note: nobody has province LIKE 'guan%'"),
        ("opted_out('prom')", "note: nobody has opted out of 'prom'; did you mean promo"),
        ("received('sal', 3)", "note: nobody received 'sal' in 6 days; did you mean sale"),
        ("count_events('vew', 3) > 1", "note: nobody did 'vew' in 6 days; did you mean view"),
        ("in_audience('spas')", "note: nobody has tag = 'spo'"),
        ("days_since('view') > 9", "note: "),
    ],
)
def test_a_condition_without_people_has_a_line(small_world: World, text: str, starts: str) -> None:
    (line,) = lines(small_world, text)
    assert line.startswith(starts)


@pytest.mark.parametrize(
    "text",
    [
        "tag = 'spa' AND received('sale', 3)",
        "count_events('view', 'any_item', 3) > 1",
        "gender LIKE 'f%'",
        "age_years = 99",
    ],
)
def test_a_condition_with_people_has_none(small_world: World, text: str) -> None:
    assert lines(small_world, text) == []
