"""A predicate as a plan over bitmaps: NOT only on leaves, constants folded, no repeats.

Only *true* selects a person, so the plan tracks truth alone: De Morgan's laws hold in three-valued logic, and
once every NOT stands on a leaf, `NOT leaf` is true exactly for those whom the leaf knows and does not hold
for (known ANDNOT true).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from angelia.audience.language import nodes


@dataclass(frozen=True)
class PlanStep:
    """One leaf of the plan: the people for whom it is true, or (negated) known to be false."""

    leaf: nodes.Leaf
    negated: bool = False

    def __str__(self) -> str:
        return nodes.sql(nodes.Not(self.leaf) if self.negated else self.leaf)


@dataclass(frozen=True)
class AllOf:
    """AND; at least two children."""

    children: tuple[Plan, ...]

    def __str__(self) -> str:
        return "AND"


@dataclass(frozen=True)
class AnyOf:
    """OR; at least two children."""

    children: tuple[Plan, ...]

    def __str__(self) -> str:
        return "OR"


Plan = PlanStep | AllOf | AnyOf
EVERYONE = PlanStep(nodes.Const(True))
NO_ONE = PlanStep(nodes.Const(False))


def make_plan(node: nodes.Node, negated: bool = False) -> Plan:
    """Return the simplified plan of a predicate."""
    match node:
        case nodes.Not(child):
            return make_plan(child, not negated)
        case nodes.Const(value):
            return EVERYONE if value != negated else NO_ONE
        case nodes.And(children) | nodes.Or(children):
            is_all = isinstance(node, nodes.And) != negated
            return _join(tuple(make_plan(child, negated) for child in children), is_all)
        case _:
            return PlanStep(node, negated)


def _join(children: tuple[Plan, ...], is_all: bool) -> Plan:
    neutral, absorbing = (EVERYONE, NO_ONE) if is_all else (NO_ONE, EVERYONE)
    kept: dict[Plan, None] = {}
    for child in children:
        for part in child.children if isinstance(child, AllOf if is_all else AnyOf) else (child,):
            if part == absorbing:
                return absorbing
            if part != neutral:
                kept[part] = None
    if is_all and any(
        isinstance(part, PlanStep) and PlanStep(part.leaf, not part.negated) in kept for part in kept
    ):
        # x AND NOT x is false or unknown, never true (its mirror image x OR NOT x leaves out the unknown)
        return NO_ONE
    if not kept:
        return neutral
    parts = tuple(kept)
    if len(parts) == 1:
        return parts[0]
    return AllOf(parts) if is_all else AnyOf(parts)


def steps(plan: Plan) -> Iterator[PlanStep]:
    """Yield the leaves of a plan."""
    if isinstance(plan, PlanStep):
        yield plan
    else:
        for child in plan.children:
            yield from steps(child)
