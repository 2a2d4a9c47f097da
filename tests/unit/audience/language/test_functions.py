"""Functions of the language: what a call stands for, and what its arguments may be."""

from __future__ import annotations

import pytest
from sqlglot import exp

from angelia.audience.language import nodes
from angelia.audience.language.functions import FUNCTIONS, bind_function, is_function
from angelia.audience.language.sql_text import read_sql
from angelia.errors import InvalidInput

HISTORY = 28


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("count_events('view', 7)", nodes.CountEvents("view", None, 7)),
        ("count_events('view', NULL, 28)", nodes.CountEvents("view", None, 28)),
        ("COUNT_EVENTS('view', 'spa', 1)", nodes.CountEvents("view", "spa", 1)),
        ("sum_events('buy', field='value', INTERVAL '1' WEEK)", nodes.SumEvents("buy", 7)),
        ("days_since('open')", nodes.DaysSince("open")),
        ("opted_out('promo')", nodes.OptedOut("promo")),
        ("reachable('fcm')", nodes.Reachable("fcm")),
        ("reachable('huawei')", nodes.Reachable("huawei")),
        ("received('sale', 3)", nodes.Received("sale", 3)),
        ("opened('sale', 3)", nodes.Opened("sale", 3)),
        ("in_list('vip')", nodes.InList("vip")),
        ("in_audience('women')", nodes.InAudience("women", nodes.Const(False))),
    ],
)
def test_a_call_stands_for_its_term_or_condition(text: str, bound: nodes.Node | nodes.Term) -> None:
    call = read_sql(text)
    assert is_function(call)
    assert bind_function(text, call, HISTORY) == bound


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("count_events('view')", "count_events: takes 2 to 3 arguments, got 1"),
        ("opted_out('a', 'b')", "opted_out: takes 1 arguments, got 2"),
        ("count_events(view, 7)", "event type is a quoted name"),
        ("count_events('View', 7)", "'View' is not a name"),
        ("count_events('view', 0)", "days is between 1 and 28"),
        ("count_events('view', 29)", "days is between 1 and 28"),
        ("count_events('view', 1.5)", "days is a whole number"),
        ("count_events('view', INTERVAL '5' WEEK)", "days is between 1 and 28"),
        ("sum_events('buy', field='price', 3)", "the only field of an event"),
        ("reachable('fmc')", "no channel 'fmc'"),
    ],
)
def test_a_wrong_argument_is_named_with_the_usage(text: str, problem: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        bind_function(text, read_sql(text), HISTORY)
    assert problem in refused.value.message
    assert refused.value.fix


def test_other_calls_are_none_of_the_languages() -> None:
    assert not is_function(read_sql("no_such_function(1)"))
    assert not is_function(exp.column("opted_out"))
    assert all(function.usage.startswith(f"{name}(") for name, function in FUNCTIONS.items())
