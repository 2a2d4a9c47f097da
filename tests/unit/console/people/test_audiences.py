"""The newest index kept for questions, and conditions as they are asked."""

from __future__ import annotations

import pytest

from angelia.audience.language.predicate import parse
from angelia.console.people.audiences import TEXT_CHARS_AT_MOST, ConditionProblem, checked
from angelia.errors import InvalidInput, NotFound
from spark_jobs import build_bitmaps
from tests.planned_night import DS


def test_one_index_stays_open_and_a_new_one_replaces_it(console, known):
    from angelia.console.people.audiences import Keeper

    client, engine = console("VIEWER"), console.app.state.engine
    client.post("/audiences/count", data={"text": "gender = 'f'"})
    lake = engine.lake()
    keeper = engine.kept(("audiences", lake.store.url), Keeper)
    first = keeper.newest(lake, engine.now().date())
    assert keeper.newest(lake, engine.now().date()) is first
    build_bitmaps.main(["--ds", DS])
    assert keeper.newest(lake, engine.now().date()) is not first


def test_a_condition_is_asked_without_its_edges() -> None:
    assert checked("  gender = 'f'\r\n AND TRUE \n") == "gender = 'f'\n AND TRUE"
    for text, says in (("  \n", "there is no condition yet"), ("x" * (TEXT_CHARS_AT_MOST + 1), "at most")):
        with pytest.raises(InvalidInput, match=says):
            checked(text)
    assert checked("x" * TEXT_CHARS_AT_MOST)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [("gendr = 'f'", "gendr"), ("gender = 'f' AND ", " "), ("age_years > nan_value", "nan_value")],
)
def test_a_mistake_is_cut_out_of_its_text(text: str, wrong: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(text)
    problem = ConditionProblem.of(refused.value, text)
    assert problem.before + problem.wrong + problem.after == text
    assert problem.wrong == wrong
    assert problem.at == len(problem.before)


def test_a_mistake_without_a_place_shows_no_text() -> None:
    problem = ConditionProblem.of(NotFound("no list 'vip'", fix="make it"), "in_list('vip')")
    assert (problem.message, problem.fix, problem.at, problem.before) == (
        "no list 'vip'",
        "make it",
        None,
        "",
    )


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        ("gendr = 'f'", "unknown field 'gendr'", "did you mean gender?"),
        ("zzz = 'f'", "unknown field 'zzz'", None),  # completions list what is known
        ("gender = 'f' AND", "something is missing after 'AND'", None),
        ("gender = 'f' AND\nzz", "unknown field 'zz'", None),
    ],
)
def test_a_page_says_what_is_wrong_without_its_place(text: str, message: str, fix: str | None) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(text)
    problem = ConditionProblem.of(refused.value, text)
    assert (problem.message, problem.fix) == (message, fix)
