"""Conditions of a predicate that nobody can match, whatever the data, and the reason.

`days_since('purchase') > 30` over 28 days of history, a count below zero, bounds that exclude each other, a
value that is NULL and compared, or something held and denied. Reads the typed tree only, so an answer costs
no bitmap.

Surprise: silence proves nothing. Only conditions on one field, one event type or one campaign are weighed
against each other, and a saved audience is opened once, where it is first required.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import combinations

from angelia.audience.language import nodes
from angelia.audience.language.fields import FIELDS, FieldKind
from angelia.audience.language.literals import kind_of
from angelia.audience.language.plan import PlanStep
from angelia.contracts.derived import USER_FEATURES

NEGATED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
PAIRED = 50
# A bound is (number, side): side 1 stands just above the number, -1 just below it.
Bound = tuple[float, int]


@dataclass(frozen=True)
class Never:
    """Conditions that are never true together, and why."""

    conditions: tuple[str, ...]
    why: str

    def __str__(self) -> str:
        return f"nobody can match {' AND '.join(self.conditions)}: {self.why}"


@dataclass
class Facts:
    """What conditions on one term leave of its values."""

    low: Bound = (-math.inf, 0)
    high: Bound = (math.inf, 0)
    is_whole: bool = False
    allowed: set[object] | None = None
    excluded: set[object] = field(default_factory=set)
    prefixes: list[str] = field(default_factory=list)
    is_null: bool = False
    is_known: bool = False

    def permits(self, value: object) -> bool:
        """Return whether a value is within bounds, begins as it must, and is not excluded."""
        if value in self.excluded:
            return False
        if isinstance(value, str):
            return all(value.startswith(prefix) for prefix in self.prefixes)
        return isinstance(value, bool) or (
            isinstance(value, int | float) and self.low <= (float(value), 0) <= self.high
        )

    def is_empty(self) -> bool:
        """Return whether no value is left, NULL included."""
        if self.is_null:
            return self.is_known
        if self.allowed is not None:
            return not any(map(self.permits, self.allowed))
        if any(not (a.startswith(b) or b.startswith(a)) for a, b in combinations(self.prefixes, 2)):
            return True
        if self.low > self.high:
            return True
        width = self.high[0] - self.low[0]
        # Few whole numbers, each of them excluded; more numbers than exclusions always leave one.
        return (
            self.is_whole
            and width < len(self.excluded)
            and not any(self.permits(self.low[0] + n) for n in range(int(width) + 1))
        )

    def bound(self, op: str, value: float) -> None:
        """Narrow the values to those for which `value op` holds."""
        if self.is_whole:
            # The whole numbers above 2.5 are those from 3 on.
            op, value = {
                ">": (">=", math.floor(value) + 1),
                ">=": (">=", math.ceil(value)),
                "<": ("<=", math.ceil(value) - 1),
                "<=": ("<=", math.floor(value)),
            }[op]
        if op in (">", ">="):
            self.low = max(self.low, (float(value), 1 if op == ">" else 0))
        else:
            self.high = min(self.high, (float(value), -1 if op == "<" else 0))


def never_true(node: nodes.Node, history_days: int, day: date) -> list[Never]:
    """Return the parts of a predicate that are true for nobody in an index of `day`."""
    return list(dict.fromkeys(_Search(history_days, day).walk(node, False, [])))


class _Search:
    """One search: the index's history, and the saved audiences that were opened already."""

    def __init__(self, history_days: int, day: date) -> None:
        self.history_days, self.day = history_days, day
        self.opened: set[str] = set()

    def walk(self, node: nodes.Node, negated: bool, given: list[PlanStep]) -> Iterator[Never]:
        """Yield the conflicts of a part, under conditions that hold beside it."""
        own: list[PlanStep] = []
        choices: list[tuple[nodes.Node, bool]] = []
        stack = [(node, negated)]
        while stack:
            current, turned = stack.pop()
            match current:
                case nodes.Not(child):
                    stack.append((child, not turned))
                case nodes.And(children) | nodes.Or(children):
                    if isinstance(current, nodes.And) != turned:
                        stack.extend((child, turned) for child in reversed(children))
                    else:
                        choices += [(child, turned) for child in children]
                case nodes.InAudience(name, predicate) if not turned and name not in self.opened:
                    # Each is opened once: audiences that name others twice would take exponential time.
                    self.opened.add(name)
                    own.append(PlanStep(current))
                    stack.append((predicate, False))
                case _:
                    own.append(PlanStep(current, turned))
        conflicts = list(self._conflicts(given, own))
        yield from conflicts
        # Below a conflict nothing can be true, so each of its choices would only repeat it.
        if not conflicts:
            for child, turned in choices:
                yield from self.walk(child, turned, given + own)

    def _conflicts(self, given: Sequence[PlanStep], own: Sequence[PlanStep]) -> Iterator[Never]:
        touched = {_subject(step.leaf) for step in own}
        by_subject: dict[object, list[PlanStep]] = {}
        for step in dict.fromkeys([*given, *own]):
            if (subject := _subject(step.leaf)) in touched and subject is not None:
                by_subject.setdefault(subject, []).append(step)
        new = set(own)
        for steps in by_subject.values():
            # The fewest conditions that conflict say it best; all of them together, if no two do. Conditions
            # that were given do not conflict among themselves, and long predicates are not paired to the end.
            pairs = combinations(steps[:PAIRED], 2)
            groups = [[step] for step in steps if step in new]
            groups += [[a, b] for a, b in pairs if a in new or b in new]
            for group in (*groups, steps):
                if why := self._why(group):
                    yield Never(tuple(map(str, group)), why)
                    break

    def _why(self, steps: Sequence[PlanStep]) -> str:
        """Return why conditions are never true together; empty if they may be."""
        if any(PlanStep(step.leaf, not step.negated) in steps for step in steps):
            return "one denies the other"
        windows = [step for step in steps if isinstance(step.leaf, nodes.Received | nodes.Opened)]
        if any(
            type(a.leaf) is type(b.leaf) and not a.negated and b.negated and _days(a) <= _days(b)
            for a in windows
            for b in windows
        ):
            return "the longer window holds the shorter one"
        facts: dict[nodes.Term, Facts] = {}
        for step in steps:
            leaf = step.leaf
            if isinstance(leaf, nodes.Compare | nodes.OneOf | nodes.Prefix | nodes.IsNull):
                self._add(facts.setdefault(leaf.term, self._start(leaf.term)), leaf, step.negated)
        for term, its in facts.items():
            if its.is_empty():
                return self._reason(term, its, len(steps))
        return self._between(facts)

    def _start(self, term: nodes.Term) -> Facts:
        """Return what holds for a term's values before any condition."""
        facts = Facts(is_whole=kind_of(term) in (FieldKind.INTEGER, FieldKind.DATE))
        match term:
            case nodes.DaysSince():
                facts.low, facts.high = (0, 0), (self.history_days - 1, 0)
            case nodes.CountEvents():
                facts.low, facts.is_known = (0, 0), True
            case nodes.SumEvents():
                facts.is_known = True
            case nodes.FieldTerm(name):
                here = FIELDS[name]
                facts.is_known = not here.nullable
                if here.kind is FieldKind.FLAG:
                    facts.allowed = {True, False}
                # The contract's own bounds; a day's column counts back from the index's day.
                column = USER_FEATURES[here.column]
                if column.minimum is not None:
                    facts.bound(">=", column.minimum)
                if column.maximum is not None:
                    facts.bound("<=", column.maximum)
                if here.kind is FieldKind.DATE:
                    today = self.day.toordinal()
                    facts.low, facts.high = (today - facts.high[0], 0), (today - facts.low[0], 0)
        return facts

    def _add(self, facts: Facts, leaf: nodes.Leaf, negated: bool) -> None:
        match leaf:
            case nodes.IsNull():
                facts.is_null, facts.is_known = facts.is_null or not negated, facts.is_known or negated
                return
            case nodes.Compare(term, op, value) if op != "=":
                facts.bound(NEGATED[op] if negated else op, _number(self._value(value)))
            case nodes.Compare(term, _, value):
                self._add_values(facts, term, [value], negated)
            case nodes.OneOf(term, values):
                self._add_values(facts, term, list(values), negated)
            case nodes.Prefix(term, prefix) if not negated and kind_of(term) is not FieldKind.SET:
                facts.prefixes.append(prefix)
        # Every comparison is unknown for NULL, and so is its negation.
        facts.is_known = True

    def _add_values(self, facts: Facts, term: nodes.Term, values: list[nodes.Value], negated: bool) -> None:
        # A person may have several tags, so that tags never exclude each other.
        if kind_of(term) is FieldKind.SET:
            return
        plain = {self._value(value) for value in values}
        if negated:
            facts.excluded |= plain
        elif facts.allowed is None:
            facts.allowed = plain
        else:
            facts.allowed &= plain
        if facts.allowed is not None and facts.is_whole:
            facts.allowed = {value for value in facts.allowed if _number(value).is_integer()}

    def _value(self, value: nodes.Value) -> object:
        return value.resolve(self.day).toordinal() if isinstance(value, nodes.DateValue) else value

    def _reason(self, term: nodes.Term, facts: Facts, n_conditions: int) -> str:
        if facts.is_null:
            return f"{term.sql()} is never NULL" if n_conditions == 1 else "NULL is never equal, less or more"
        if n_conditions > 1:
            return "they exclude each other"
        if isinstance(term, nodes.DaysSince):
            return (
                f"the index covers {self.history_days} days, so the event is 0 to {self.history_days - 1} "
                f"days ago; people without it match {term.sql()} IS NULL"
            )
        if isinstance(term, nodes.CountEvents):
            return "a count is a whole number from 0 on"
        if isinstance(term, nodes.FieldTerm) and (bounds := self._bounds(term)):
            return f"{term.name} is {bounds}"
        return f"{term.sql()} has no such value"

    def _bounds(self, term: nodes.FieldTerm) -> str:
        """Return the contract's bounds of a field in words; empty if it has none."""
        column = USER_FEATURES[FIELDS[term.name].column]
        if FIELDS[term.name].kind is FieldKind.DATE:
            return "at most the index's day" if column.minimum == 0 else ""
        words = ("at least", column.minimum), ("at most", column.maximum)
        return " and ".join(f"{word} {bound:g}" for word, bound in words if bound is not None)

    def _between(self, facts: dict[nodes.Term, Facts]) -> str:
        """Return why conditions on several windows of an event type conflict, or an empty text."""
        counts = {term: its for term, its in facts.items() if isinstance(term, nodes.CountEvents)}
        for inner, small in counts.items():
            for outer, large in counts.items():
                holds = outer.item in (None, inner.item) and inner.days <= outer.days
                if holds and _least(small) > _most(large):
                    return f"{outer.sql()} counts all that {inner.sql()} counts"
        for term, since in facts.items():
            if not isinstance(term, nodes.DaysSince):
                continue
            for outer, its in counts.items():
                # An event at most k days ago is one of the last k + 1 days.
                if since.is_known and outer.item is None and _most(its) < 1 and _most(since) < outer.days:
                    return f"such an event is one of {outer.sql()}"
                if _least(its) >= 1 and (since.is_null or _least(since) >= outer.days):
                    return f"an event of {outer.sql()} is at most {outer.days - 1} days ago"
        return ""


def _subject(leaf: nodes.Leaf) -> object:
    """Return what a leaf is about: only leaves with one subject are weighed together."""
    match leaf:
        case nodes.Compare(term, _, _) | nodes.OneOf(term, _) | nodes.Prefix(term, _) | nodes.IsNull(term):
            return term if isinstance(term, nodes.FieldTerm) else ("event", term.event_type)
        case nodes.Received(campaign, _) | nodes.Opened(campaign, _):
            return ("campaign", campaign)
        case nodes.Const():
            return None
        case _:
            return leaf


def _days(step: PlanStep) -> int:
    assert isinstance(step.leaf, nodes.Received | nodes.Opened)
    return step.leaf.days


def _number(value: object) -> float:
    assert isinstance(value, int | float), "the parser lets only numbers be compared with numbers"
    return float(value)


def _least(facts: Facts) -> float:
    """Return a number that no permitted value is below."""
    low = facts.low[0]
    return max(low, min(map(_number, facts.allowed))) if facts.allowed else low


def _most(facts: Facts) -> float:
    """Return a number that no permitted value is above."""
    high = facts.high[0]
    return min(high, max(map(_number, facts.allowed))) if facts.allowed else high
