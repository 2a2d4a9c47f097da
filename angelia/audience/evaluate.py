"""Evaluate a plan on one shard: bitmaps in, one bitmap or only its cardinality out.

What would surprise: the order of work follows cost, not the text. Cheap leaves come first, an empty intermediate result ends the AND before
dearer leaves are read, differences are taken before intersections while sets are dense (4x at 10 % density), and the last
operation of a count yields a number, not a set.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce

import numpy as np
from pyroaring import BitMap

from angelia.audience import nodes
from angelia.audience.bitmaps import event_field
from angelia.audience.fields import FIELDS, Kind
from angelia.audience.plan import AllOf, AnyOf, Plan, Step, make_plan
from angelia.audience.shard import NOBODY, Shard
from angelia.audience.slices import add, bitmap_of, compare, real_key, whole

_FLIP = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_HOLDS: dict[str, Callable[[float, float], bool]] = {"=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
# Below this share of a shard roaring holds arrays, not bitsets, and intersecting first is cheaper.
_SPARSE = 1 / 16


def evaluate(plan: Plan, shard: Shard) -> BitMap:
    """Return the people of one shard for whom the plan is true. The result may be a bitmap of the shard: do not change it."""
    match plan:
        case Step(leaf, negated):
            true, known = _leaf(leaf, shard)
            if not negated:
                return true
            return (shard.everyone() if known is None else known) - true
        case AnyOf(children):
            return BitMap.union(*(evaluate(child, shard) for child in children))
        case AllOf():
            operands = _operands(plan, shard)
            if operands is None:
                return NOBODY
            first, minus, rest = operands
            return reduce(operator.and_, rest, reduce(operator.sub, minus, first))


def count(plan: Plan, shard: Shard) -> int:
    """Return how many people of one shard the plan is true for, without making the last set."""
    match plan:
        case Step(leaf, negated):
            true, known = _leaf(leaf, shard)
            return len(true) if not negated else (shard.everyone() if known is None else known).difference_cardinality(true)
        case AnyOf(children):
            *head, last = (evaluate(child, shard) for child in children)
            return int(BitMap.union(*head).union_cardinality(last))
        case AllOf():
            operands = _operands(plan, shard)
            if operands is None:
                return 0
            first, minus, rest = operands
            if rest:
                return int(reduce(operator.and_, rest[:-1], reduce(operator.sub, minus, first)).intersection_cardinality(rest[-1]))
            return int(reduce(operator.sub, minus[:-1], first).difference_cardinality(minus[-1])) if minus else len(first)


def _operands(plan: AllOf, shard: Shard) -> tuple[BitMap, list[BitMap], list[BitMap]] | None:
    """Return (first, to subtract, to intersect) of an AND in the order of work; None as soon as nobody can be left."""
    plus: list[BitMap] = []
    minus: list[BitMap] = []
    for child in sorted(plan.children, key=cost):
        if isinstance(child, Step) and child.negated:
            true, known = _leaf(child.leaf, shard)
            minus.append(true)
            if known is None:
                continue
            plus.append(known)
        else:
            plus.append(evaluate(child, shard))
        if not plus[-1]:
            return None
    everyone = shard.everyone()
    plus = sorted(plus, key=len) or [everyone]
    minus = sorted((bitmap for bitmap in minus if bitmap), key=len, reverse=True)
    first, rest = plus[0], plus[1:]
    if minus and rest and len(first) < _SPARSE * len(everyone):
        first, rest = reduce(operator.and_, rest, first), []
    return first, minus, rest


def cost(plan: Plan) -> int:
    """Return a rank of how dear a part is: bitmaps of values, slices, days, and last what must be counted from user_days."""
    if not isinstance(plan, Step):
        return 3 + max(cost(child) for child in plan.children)
    match plan.leaf:
        case nodes.Compare(term, _, _) | nodes.OneOf(term, _) | nodes.IsNull(term):
            if isinstance(term, nodes.FieldTerm):
                return 1 if FIELDS[term.name].kind in (Kind.INTEGER, Kind.REAL, Kind.DATE) else 0
            return 9 if isinstance(term, nodes.SumEvents) else 5 if isinstance(term, nodes.CountEvents) and term.item else 4
        case nodes.InAudience():
            return 4
        case nodes.Received() | nodes.Opened() | nodes.Prefix():
            return 2
        case _:
            return 0


def _leaf(leaf: nodes.Leaf, shard: Shard) -> tuple[BitMap, BitMap | None]:
    """Return (people it is true for, people it is known for; None = everyone)."""
    match leaf:
        case nodes.Const(value):
            return (shard.everyone() if value else NOBODY), None
        case nodes.Compare(term, op, value):
            return _compare(term, op, value, shard)
        case nodes.OneOf(term, values):
            parts = [_compare(term, "=", value, shard) for value in values]
            return BitMap.union(*(true for true, _ in parts)), parts[0][1]
        case nodes.Prefix(term, prefix):
            found = [shard.get(term.name, "value", value) for value in shard.values(term.name) if value.startswith(prefix)]
            return (BitMap.union(*found) if found else NOBODY), shard.known(term.name)
        case nodes.IsNull(term):
            _, known = _known(term, shard)
            return (NOBODY if known is None else shard.everyone() - known), None
        case nodes.OptedOut(topic):
            return shard.get("opted_out", "value", topic), None
        case nodes.Reachable(channel):
            return shard.get("reachable", "value", channel), None
        case nodes.Received(campaign, days):
            return _any_day(f"received:{campaign}", days, shard), None
        case nodes.Opened(campaign, days):
            return _any_day(f"opened:{campaign}", days, shard), None
        case nodes.InList(name):
            return shard.list_members(name), None
        case nodes.InAudience(name, predicate):
            if name not in shard.audiences:
                shard.audiences[name] = evaluate(make_plan(predicate), shard)
            return shard.audiences[name], None


def _known(term: nodes.Term, shard: Shard) -> tuple[None, BitMap | None]:
    if isinstance(term, nodes.FieldTerm):
        column = FIELDS[term.name]
        return None, shard.known(column.column if column.kind is Kind.DATE else column.name)
    if isinstance(term, nodes.DaysSince):
        return None, _any_day(event_field(term.event_type, None), shard.index.history_days, shard)
    return None, None


def _compare(term: nodes.Term, op: str, value: nodes.Value, shard: Shard) -> tuple[BitMap, BitMap | None]:
    match term:
        case nodes.CountEvents(event_type, item, days):
            return _count_events(event_type, item, shard.index.last_days(days), op, float(value), shard), None  # type: ignore[arg-type]
        case nodes.SumEvents(event_type, days):
            return _sum_events(event_type, shard.index.last_days(days), op, float(value), shard), None  # type: ignore[arg-type]
        case nodes.DaysSince(event_type):
            return _days_since(event_type, op, float(value), shard)  # type: ignore[arg-type]
    field = FIELDS[term.name]
    if field.kind in (Kind.TEXT, Kind.SET):
        return shard.get(field.name, "value", str(value)), shard.known(field.name)
    if field.kind is Kind.FLAG:
        known, true = shard.known(field.name), shard.get(field.name, "value", "true")
        return (true if value else (shard.everyone() if known is None else known) - true), known
    column = field.name
    if isinstance(value, nodes.DateValue):
        # X_date = ds - days_since_X, so the comparison turns round.
        column, op, value = field.column, _FLIP[op], (shard.index.day - value.resolve(shard.index.day)).days
    known = shard.known(column)
    if field.kind is Kind.REAL:
        target: int | None = real_key(float(value))
    else:
        op, target = whole(op, float(value))
    offset, slices = shard.slices(column)
    if target is None or not slices:
        return NOBODY, known
    return compare(shard.everyone() if known is None else known, slices, op, target - offset), known


def _any_day(field: str, days: int, shard: Shard) -> BitMap:
    found = [shard.get(field, "value", day) for day in shard.index.last_days(days)]
    return BitMap.union(*found)


def _count_events(event_type: str, item: str | None, days: list[str], op: str, value: float, shard: Shard) -> BitMap:
    op, target = whole(op, value)
    if target is None:
        return NOBODY
    if op in (">", "<="):
        op, target = (">=" if op == ">" else "<"), target + 1
    if target <= 0 and op in ("<", ">="):
        return shard.everyone() if op == ">=" else NOBODY
    if target < 0:
        return NOBODY
    everyone = shard.everyone()
    if not shard.index.has_bitmaps(event_type, item):
        who, n, _ = shard.user_days(event_type, item, days)
        totals = _totals(who, n.astype(np.float64), shard)
        # User_days may hold people of a younger index than this one's.
        return _select(totals, op, float(target), shard) & everyone
    if (target == 1 and op in ("<", ">=")) or target == 0:
        field = event_field(event_type, item)
        present = BitMap.union(*(shard.get(field, "value", day) for day in days))
        return present if op == ">=" else everyone - present
    daily = [shard.day_counts(event_type, item, day) for day in days]
    while len(daily) > 1:  # a tree of additions: operands stay narrow
        daily = [add(daily[i], daily[i + 1]) if i + 1 < len(daily) else daily[i] for i in range(0, len(daily), 2)]
    return compare(everyone, daily[0], op, target)


def _sum_events(event_type: str, days: list[str], op: str, value: float, shard: Shard) -> BitMap:
    who, _, values = shard.user_days(event_type, None, days)
    # Days are sums of millionths; adding them as integers keeps the total exact, whatever the order.
    totals = _totals(who, np.round(values * 1e6), shard)
    return _select(totals, op, value * 1e6, shard) & shard.everyone()


def _totals(ordinals: np.ndarray, amounts: np.ndarray, shard: Shard) -> np.ndarray:
    size = 1 << shard.index.shard_bits
    return np.bincount(ordinals.astype(np.int64) - shard.number * size, weights=amounts, minlength=size)


def _select(totals: np.ndarray, op: str, value: float, shard: Shard) -> BitMap:
    numpy_op = {"=": np.equal, "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}[op]
    return bitmap_of(np.flatnonzero(numpy_op(totals, value)) + (shard.number << shard.index.shard_bits))


def _days_since(event_type: str, op: str, value: float, shard: Shard) -> tuple[BitMap, BitMap]:
    field, seen, true = event_field(event_type, None), BitMap(), BitMap()
    for back, day in enumerate(shard.index.last_days(shard.index.history_days)):
        present = shard.get(field, "value", day)
        if _HOLDS[op](back, value):
            true |= present - seen
        seen |= present
    return true, seen
