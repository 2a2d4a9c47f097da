"""Answers to what-ifs, kept beside the night's verdicts."""

from __future__ import annotations

import json

import pytest

from angelia.asking import kept
from angelia.asking.settings import texts_of
from angelia.asking.whatif import Pair, PlanFigures, WhatIf
from angelia.errors import Corrupt, InvalidInput
from angelia.lake import Lake

DS = "2026-11-14"


def answer(plan: str = f"decisions/ds={DS}@1", **settings: str) -> WhatIf:
    pair = Pair(PlanFigures(3, 2_000_000, 0.5), PlanFigures(2, 1_000_000, 0.25))
    return WhatIf(DS, plan, settings, pair, (3, 2), {"sale": pair}, {"fcm": pair}, {}, {}, {})


def test_an_answer_is_found_again_by_its_question(lake: Lake) -> None:
    name = kept.keep(lake, answer(quiet_hours="none", min_gap_hours="2"))
    assert name == kept.question(f"decisions/ds={DS}@1", {"min_gap_hours": "2", "quiet_hours": "none"})
    kept_answer = kept.load(lake, DS, name)
    assert kept_answer is not None
    assert kept_answer["total"]["what_if"] == {"messages": 2, "value_micros": 1_000_000, "opens": 0.25}
    assert kept.names(lake, DS) == [name]


def test_another_plan_is_another_question(lake: Lake) -> None:
    kept.keep(lake, answer(min_gap_hours="2"))
    assert kept.load(lake, DS, kept.question(f"decisions/ds={DS}@2", {"min_gap_hours": "2"})) is None
    assert kept.names(lake, "2026-11-13") == []


def test_the_newest_of_two_answers_holds(lake: Lake) -> None:
    for _ in range(2):
        name = kept.keep(lake, answer())
    assert kept.names(lake, DS) == [name]
    assert [key[-9:] for key in lake.store.list(f"quality/main/{DS}")] == ["0001.json", "0002.json"]


@pytest.mark.parametrize("name", ["", "x", "../guard", "0" * 13, "A" * 12])
def test_a_name_that_is_no_question_is_refused(lake: Lake, name: str) -> None:
    with pytest.raises(InvalidInput, match="no such question"):
        kept.load(lake, DS, name)


def test_a_damaged_answer_is_named(lake: Lake) -> None:
    lake.store.create(f"quality/main/{DS}/what-if-0123456789ab/0001.json", b"{")
    with pytest.raises(Corrupt, match="not JSON"):
        kept.load(lake, DS, "0123456789ab")


def test_settings_come_as_an_object_of_texts_or_numbers() -> None:
    assert texts_of(json.dumps({"caps.user_per_day": 1, "window.sale": "9-18"})) == [
        "caps.user_per_day=1",
        "window.sale=9-18",
    ]
    assert texts_of("") == texts_of("{}") == []


@pytest.mark.parametrize("text", ["[]", "{", '{"a": []}', '{"a": null}', "1", "[" * 10_000])
def test_other_settings_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="not a JSON object"):
        texts_of(text)
