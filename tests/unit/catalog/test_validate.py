"""Documents as a whole: what they name is there, and conditions can be read."""

from __future__ import annotations

from typing import Any

import pytest

from angelia.catalog.documents import parse_document
from angelia.catalog.validate import Whole
from tests.planned_night import CHANNEL, EVERYONE, POLICY, SALE, SHOE, TEMPLATE
from tests.unit.catalog.test_triggers import AUDIENCE, LEFT


def test_a_condition_is_checked_when_it_is_applied() -> None:
    raws = [POLICY, SHOE, AUDIENCE, SALE | {"trigger": LEFT | {"where": "agee > 3"}}]
    problems = [
        problem for key, problem in Whole(map(parse_document, raws)).problems() if key[0] == "campaign"
    ]
    assert [problem.dotted for problem in problems if "agee" in problem.message] == ["trigger.where"]


PLAIN = TEMPLATE | {"variables": {"item": {}, "province": {"source": "user.province", "default": "you"}}}
WHOLE = (POLICY, SHOE, PLAIN, CHANNEL, EVERYONE, SALE)


def problems(*changed: dict[str, Any], without: tuple[str, ...] = ()) -> list[str]:
    by_key = {(raw["kind"], raw["id"]): raw for raw in (*WHOLE, *changed) if raw["kind"] not in without}
    return [
        f"{kind}/{name}: {problem}"
        for (kind, name), problem in Whole(map(parse_document, by_key.values())).problems()
    ]


def test_documents_that_fit_have_no_problems() -> None:
    assert problems() == []


@pytest.mark.parametrize(
    ("changed", "without", "says"),
    [
        ((SALE | {"audience": "everyon"},), (), "campaign/sale: audience: no audience 'everyon'"),
        ((SALE | {"channels": ["fcm", "sms"]},), (), "campaign/sale: channels[1]: no channel 'sms'"),
        ((SALE | {"materials": ["shoes"]},), (), "campaign/sale: materials[0]: no material 'shoes'"),
        (
            (TEMPLATE | {"channels": ["email"]},),
            (),
            "shoe's template plain is for email, the campaign for fcm",
        ),
        ((EVERYONE | {"predicate": "in_audience('all')"},), (), "audience/everyone: predicate: "),
        ((), ("policy",), "policy/default: there is no policy"),
        ((PLAIN | {"link": "https://shop.example/{{ colour }}"},), (), "template/plain: "),
    ],
)
def test_what_does_not_fit_is_named_at_its_place(
    changed: tuple[dict[str, Any], ...], without: tuple[str, ...], says: str
) -> None:
    assert [line for line in problems(*changed, without=without) if says in line], says
