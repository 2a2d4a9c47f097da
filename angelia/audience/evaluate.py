"""Evaluate a plan on one block: sets in, one set or only its cardinality out.

Surprise: the order of work follows cost, not the text. Every AND is first flattened into sets to intersect
and sets to take away (a NOT, a range and its known people included). Cheap leaves come first, and an empty
operand ends the AND before costlier leaves are read. Then small roaring sets go first and packed words
follow; blocks are narrow enough for the words in hand to stay in the processor's cache.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np

from angelia.audience.bitmaps.block import Block
from angelia.audience.bitmaps.daily import MICROS, event_field
from angelia.audience.bitmaps.sets import NOBODY, Set, intersect, of_flags, union
from angelia.audience.bitmaps.slices import add, compare, real_key, whole
from angelia.audience.language import nodes
from angelia.audience.language.fields import FIELDS, FieldKind
from angelia.audience.language.plan import AllOf, AnyOf, Plan, PlanStep, make_plan

_HOLDS: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass
class Parts:
    """An AND before it is carried out: members of all of `plus` and of none of `minus`.

    Without `plus`, everyone.
    """

    plus: list[Set] = field(default_factory=list)
    minus: list[Set] = field(default_factory=list)

    def all_in(self, block: Block) -> Set:
        """Return the people it leaves."""
        return intersect(self.plus or [block.everyone()], self.minus, block.width)


NO_ONE = Parts([NOBODY])


def evaluate(plan: Plan, block: Block) -> Set:
    """Return the people of one block for whom the plan is true.

    The result may be a set of the block: do not change it.
    """
    return _parts(plan, block).all_in(block)


def count(plan: Plan, block: Block) -> int:
    """Return how many people of one block the plan is true for."""
    return len(evaluate(plan, block))


def _parts(plan: Plan, block: Block) -> Parts:
    match plan:
        case PlanStep(leaf, negated):
            true, known = _leaf(leaf, block)
            if not negated:
                return Parts(true.plus + ([known] if known is not None and not true.plus else []), true.minus)
            keep = [] if known is None else [known]
            # known AND NOT (known AND NOT x): those who are known to be x.
            if not true.plus and len(true.minus) == 1:
                return Parts([*keep, *true.minus])
            return Parts(
                keep,
                [
                    true.plus[0]
                    if len(true.plus) == 1 and not true.minus
                    else Parts(true.plus or keep, true.minus).all_in(block)
                ],
            )
        case AnyOf(children):
            return Parts([union([evaluate(child, block) for child in children], block.width)])
        case AllOf(children):
            parts = Parts()
            for child in sorted(children, key=cost):
                part = _parts(child, block)
                parts.plus += part.plus
                parts.minus += part.minus
                if not all(map(len, part.plus)):
                    return NO_ONE
            return parts


def cost(plan: Plan) -> int:
    """Return a part's cost rank; cheap leaves run first, counts over many days last."""
    if not isinstance(plan, PlanStep):
        return 3 + max(cost(child) for child in plan.children)
    match plan.leaf:
        case nodes.Compare(term, _, _) | nodes.OneOf(term, _) | nodes.IsNull(term):
            if isinstance(term, nodes.FieldTerm):
                return (
                    1 if FIELDS[term.name].kind in (FieldKind.INTEGER, FieldKind.REAL, FieldKind.DATE) else 0
                )
            return (
                9
                if isinstance(term, nodes.SumEvents)
                else 5
                if isinstance(term, nodes.CountEvents) and term.item
                else 4
            )
        case nodes.InAudience():
            return 4
        case nodes.Received() | nodes.Opened() | nodes.Prefix():
            return 2
        case _:
            return 0


def _leaf(leaf: nodes.Leaf, block: Block) -> tuple[Parts, Set | None]:
    """Return (people it is true for, people it is known for; None = everyone).

    All of the first are among the second, except where its `plus` is empty: then it means the known people
    less its `minus`.
    """
    match leaf:
        case nodes.Const(value):
            return (Parts() if value else NO_ONE), None
        case nodes.Compare(term, op, value):
            return _compare(term, op, value, block)
        case nodes.OneOf(term, values):
            # Which people are known depends on the term alone, so the first comparison's answer serves for
            # all.
            each = [_compare(term, "=", value, block) for value in values]
            known = each[0][1]
            return _any([_within(true, known, block) for true, _ in each], block), known
        case nodes.Prefix(term, prefix):
            matching = [
                block.get(term.name, "value", value)
                for value in block.values(term.name)
                if value.startswith(prefix)
            ]
            return _any(matching, block), block.known(term.name)
        case nodes.IsNull(term):
            known = _known(term, block)
            return (NO_ONE if known is None else Parts([], [known])), None
        case nodes.OptedOut(topic):
            return Parts([block.get("opted_out", "value", topic)]), None
        case nodes.Reachable(channel):
            return Parts([block.get("reachable", "value", channel)]), None
        case nodes.Received(campaign, days):
            return _any_day(f"received:{campaign}", days, block), None
        case nodes.Opened(campaign, days):
            return _any_day(f"opened:{campaign}", days, block), None
        case nodes.InList(name):
            return Parts([block.list_members(name)]), None
        case nodes.InAudience(name, predicate):
            # A saved audience named twice is evaluated once a block.
            if name not in block.audiences:
                block.audiences[name] = evaluate(make_plan(predicate), block)
            return Parts([block.audiences[name]]), None


def _within(true: Parts, known: Set | None, block: Block) -> Set:
    return Parts(true.plus or ([] if known is None else [known]), true.minus).all_in(block)


def _any(sets: list[Set], block: Block) -> Parts:
    return Parts([union(sets, block.width)])


def _known(term: nodes.Term, block: Block) -> Set | None:
    if isinstance(term, nodes.FieldTerm):
        return block.known(
            FIELDS[term.name].column if FIELDS[term.name].kind is FieldKind.DATE else term.name
        )
    if isinstance(term, nodes.DaysSince):
        return _any_day(event_field(term.event_type, None), block.index.history_days, block).plus[0]
    return None


def _compare(term: nodes.Term, op: str, value: nodes.Value, block: Block) -> tuple[Parts, Set | None]:
    match term:
        case nodes.CountEvents(event_type, item, days):
            return _count_events(
                event_type, item, block.index.last_days(days), op, _number(value), block
            ), None
        case nodes.SumEvents(event_type, days):
            return _sum_events(event_type, block.index.last_days(days), op, _number(value), block), None
        case nodes.DaysSince(event_type):
            return _days_since(event_type, op, _number(value), block)
    here = FIELDS[term.name]
    if here.kind in (FieldKind.TEXT, FieldKind.SET):
        return Parts([block.get(here.name, "value", str(value))]), block.known(here.name)
    if here.kind is FieldKind.FLAG:
        true = block.get(here.name, "value", "true")
        return (Parts([true]) if value else Parts([], [true])), block.known(here.name)
    column = here.name
    if isinstance(value, nodes.DateValue):
        # X_date = ds - days_since_X, so the comparison turns round.
        day = block.index.day
        column, op, value = here.column, nodes.FLIPPED[op], (day - value.resolve(day)).days
    known = block.known(column)
    offset, slices = block.slices(column)
    target: int | None
    if here.kind is FieldKind.REAL:
        op, target = (
            _level(levels, op, _number(value))
            if (levels := block.levels(column)) is not None
            else (op, real_key(_number(value)))
        )
    else:
        op, target = whole(op, _number(value))
    # No number can satisfy it, or nobody in the block has a number.
    if target is None or not slices:
        return NO_ONE, known
    return _sliced(slices, op, target - offset, block), known


def _number(value: nodes.Value) -> float:
    assert isinstance(value, int | float), "the parser lets only numbers be compared with numbers"
    return float(value)


def _level(levels: np.ndarray, op: str, value: float) -> tuple[str, int | None]:
    """Return a comparison with a number as one of ranks among the distinct numbers.

    None if the number is not among them and only equality was asked.
    """
    first, after = np.searchsorted(levels, [value], "left")[0], np.searchsorted(levels, [value], "right")[0]
    if op == "=":
        return op, int(first) if first < after else None
    return (
        ("<", int(first))
        if op == "<"
        else ("<", int(after))
        if op == "<="
        else (">=", int(after))
        if op == ">"
        else (">=", int(first))
    )


def _sliced(slices: list[Set], op: str, target: int, block: Block) -> Parts:
    sets = compare(slices, op, target, block.width)
    return NO_ONE if sets is None else Parts(*sets)


def _any_day(name: str, days: int, block: Block) -> Parts:
    return _any([block.on_day(name, day) for day in block.index.last_days(days)], block)


def _count_events(
    event_type: str, item: str | None, days: list[str], op: str, value: float, block: Block
) -> Parts:
    op, target = whole(op, value)
    if target is None:
        return NO_ONE
    if op in (">", "<="):
        op, target = (">=" if op == ">" else "<"), target + 1
    if target <= 0 and op in ("<", ">="):
        return Parts() if op == ">=" else NO_ONE
    if target < 0:
        return NO_ONE
    if (target == 1 and op in ("<", ">=")) or target == 0:
        present = union([block.did(event_type, item, day) for day in days], block.width)
        return Parts([present]) if op == ">=" else Parts([], [present])
    daily = [block.day_counts(event_type, item, day) for day in days]
    while len(daily) > 1:  # a tree of additions: operands stay narrow
        daily = [
            add(daily[i], daily[i + 1], block.width) if i + 1 < len(daily) else daily[i]
            for i in range(0, len(daily), 2)
        ]
    if not daily[0]:
        return NO_ONE if op in (">=", "=") else Parts()
    return _sliced(daily[0], op, target, block)


def _sum_events(event_type: str, days: list[str], op: str, value: float, block: Block) -> Parts:
    who, micros = block.amounts(event_type, days)
    # Sums of millionths are exact, whatever the order, below 2^53 of them.
    totals = np.bincount(who, weights=micros, minlength=max(64, block.width))
    # As a decimal: as a float, 2.01 times a million is not a whole number.
    op, target = whole(op, Decimal(repr(value)) * MICROS)
    if target is None:
        return NO_ONE
    numpy_op = {"=": np.equal, "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}[op]
    return Parts([of_flags(numpy_op(totals, float(target))), block.everyone()])


def _days_since(event_type: str, op: str, value: float, block: Block) -> tuple[Parts, Set]:
    name, width = event_field(event_type, None), block.width
    days = block.index.last_days(block.index.history_days)
    present = [block.on_day(name, day) for day in days]
    known = union(present, width)
    true = [back for back in range(len(days)) if _HOLDS[op](back, value)]
    if not true:
        return NO_ONE, known
    # The true days are one stretch: last done within it, and not after it.
    inside, after = union(present[true[0] : true[-1] + 1], width), present[: true[0]]
    return Parts([inside], [union(after, width)] if after else []), known
