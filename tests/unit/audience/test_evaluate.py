"""A plan on one block: each kind of leaf, three-valued truth, and cheap parts first."""

from __future__ import annotations

from types import ModuleType

import pytest

from angelia.audience.bitmaps.block import Block
from angelia.audience.bitmaps.index import Index
from angelia.audience.evaluate import cost, count, evaluate
from angelia.audience.language.plan import make_plan
from angelia.audience.language.predicate import parse
from angelia.lake import Lake

World = tuple[Lake, ModuleType]


@pytest.fixture(scope="module")
def block(small_world: World) -> Block:
    lake, w = small_world
    return Block(Index.open(lake, w.DS), 0)


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("TRUE", range(16)),
        ("NOT TRUE", []),
        ("gender = 'f' AND tag = 'spa'", []),
        ("tag = 'spa' OR age_years = 2", [2, 7]),
        # Every fourth person's age is unknown: they match neither a condition nor its opposite.
        ("age_years > 12", [13, 14]),
        ("NOT age_years > 2", [0, 1, 2]),
        ("age_years IS NULL", [3, 7, 11, 15]),
        ("NOT age_years IN (0, 1, 2, 4)", [5, 6, 8, 9, 10, 12, 13, 14]),
        ("value_28d <= 0.75", [0, 1]),
        ("value_28d = 0.7", []),
        ("value_28d > 7.25", [15]),
        ("signup_date < CURRENT_DATE - INTERVAL '13' DAY", [14, 15]),
        ("count_events('view', 1) >= 2", [2, 5, 8, 11, 14]),
        ("count_events('view', 'camera', 1) = 0", [0, 3, 6, 9, 12, 15]),
        ("count_events('view', 1) >= 0", range(16)),
        ("count_events('view', 1) < 0", []),
        ("sum_events('purchase', field='value', 4) > 2", range(10)),
        ("sum_events('purchase', field='value', 3) = 0", range(16)),
        ("days_since('purchase') = 3", range(10)),
        ("days_since('purchase') < 3", []),
        ("days_since('purchase') IS NULL", range(10, 16)),
        ("received('sale', 2) AND NOT opened('sale', 2)", [0, 1, 3, 4, 5]),
        ("reachable('email') AND age_years < 7", [1, 2, 4, 6]),
        ("opted_out('promo')", [8]),
        ("in_list('vip')", [1]),
        ("gender LIKE 'f%' AND age_years < 5", [0, 2, 4]),
    ],
)
def test_each_condition_selects_its_people(block: Block, text: str, people: list[int]) -> None:
    plan = make_plan(parse(text))
    assert sorted(block.ordinals(evaluate(plan, block))) == list(people)
    assert count(plan, block) == len(people)


def test_cheap_parts_go_before_costly_ones() -> None:
    texts = ["gender = 'f'", "age_years > 3", "received('a', 2)", "count_events('view', 7) > 1"]
    texts += ["count_events('view', 'spa', 7) > 1", "sum_events('buy', 'value', 7) > 1"]
    costs = [cost(make_plan(parse(text))) for text in texts]
    assert costs == sorted(set(costs))
    assert cost(make_plan(parse(" OR ".join(texts[:2])))) > costs[1]


def test_an_empty_part_ends_an_and_before_costlier_ones_are_read(small_world: World) -> None:
    lake, w = small_world
    block = Block(Index.open(lake, w.DS), 0)
    text = "sum_events('purchase', 'value', 4) > 1 AND tag = 'nobody_has_it'"
    assert count(make_plan(parse(text)), block) == 0
    assert not any(name.startswith("event:") for name in block.reads.fields)
    assert block.reads.rows == 0
