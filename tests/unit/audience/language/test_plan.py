"""A predicate as a plan: constants folded, repeats dropped, NOT only on leaves."""

from __future__ import annotations

import pytest

from angelia.audience.language.plan import AllOf, AnyOf, Plan, make_plan
from angelia.audience.language.predicate import parse

F, OLD, TAG = "gender = 'f'", "age_years >= 60", "tag = 'spa'"


def written(plan: Plan) -> str:
    """Return a plan as text, every AND and OR in brackets."""
    if isinstance(plan, AllOf | AnyOf):
        return "(" + f" {plan} ".join(map(written, plan.children)) + ")"
    return str(plan)


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        (f"{F} AND TRUE", F),
        (f"{F} AND FALSE", "FALSE"),
        (f"{F} OR FALSE", F),
        (f"{F} OR TRUE", "TRUE"),
        (f"{F} AND {F}", F),
        (f"{F} OR {OLD} OR {F}", f"({F} OR {OLD})"),
        (f"({F} AND {OLD}) AND {TAG}", f"({F} AND {OLD} AND {TAG})"),
        (f"{F} OR ({OLD} OR ({TAG} OR {F}))", f"({F} OR {OLD} OR {TAG})"),
        (f"NOT ({F} AND {OLD})", f"(NOT {F} OR NOT {OLD})"),
        (f"NOT ({F} OR NOT {OLD})", f"(NOT {F} AND {OLD})"),
        (f"NOT NOT {F}", F),
        ("NOT TRUE", "FALSE"),
        (f"{F} AND NOT {F}", "FALSE"),
        (f"{F} OR NOT {F}", f"({F} OR NOT {F})"),  # whose gender is unknown is in neither
        (f"{F} AND (FALSE OR ({OLD} AND TRUE))", f"({F} AND {OLD})"),
        (f"{TAG} AND NOT ({F} OR FALSE)", f"({TAG} AND NOT {F})"),
    ],
)
def test_a_plan_is_simplified(text: str, plan: str) -> None:
    assert written(make_plan(parse(text))) == plan
