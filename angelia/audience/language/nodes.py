"""The predicate language's typed tree: a parsed audience, independent of any engine.

Truth is SQL's three-valued logic: a comparison with an unknown (NULL) term is unknown, and only people for
whom the whole predicate is *true* belong. Functions that ask about membership (`opted_out`, `received`,
`in_audience`, …) are never unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta


@dataclass(frozen=True)
class DateValue:
    """A calendar day: absolute, or (base None) relative to the day the index is of."""

    base: date | None
    shift_days: int = 0

    def resolve(self, ds: date) -> date:
        """Return the day it means in an index of `ds`."""
        return (self.base or ds) + timedelta(days=self.shift_days)

    def sql(self) -> str:
        """Return it as predicate text."""
        text = f"DATE '{self.base.isoformat()}'" if self.base else "CURRENT_DATE"
        if not self.shift_days:
            return text
        return f"{text} {'+' if self.shift_days > 0 else '-'} INTERVAL '{abs(self.shift_days)}' DAY"


# The comparison that says the same with its sides exchanged.
FLIPPED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

Value = int | float | str | bool | DateValue


def literal(value: Value | None) -> str:
    """Return a value as predicate text."""
    if isinstance(value, DateValue):
        return value.sql()
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return "NULL" if value is None else repr(value)


@dataclass(frozen=True)
class FieldTerm:
    """A field of the person (`fields.FIELDS`)."""

    name: str

    def sql(self) -> str:
        """Return it as predicate text."""
        return self.name


@dataclass(frozen=True)
class CountEvents:
    """Number of events of a type, or of one item of it, in the last `days` UTC days.

    The days end with `ds`. Never unknown.
    """

    event_type: str
    item: str | None
    days: int

    def sql(self) -> str:
        """Return it as predicate text."""
        return f"count_events({literal(self.event_type)}, {literal(self.item)}, {self.days})"


@dataclass(frozen=True)
class SumEvents:
    """Sum of the events' values in the last `days` days; 0 without events, never unknown."""

    event_type: str
    days: int

    def sql(self) -> str:
        """Return it as predicate text."""
        return f"sum_events({literal(self.event_type)}, field='value', {self.days})"


@dataclass(frozen=True)
class DaysSince:
    """Whole UTC days since the last event of a type (0 = on `ds`).

    Unknown if the index's history has no such event.
    """

    event_type: str

    def sql(self) -> str:
        """Return it as predicate text."""
        return f"days_since({literal(self.event_type)})"


Term = FieldTerm | CountEvents | SumEvents | DaysSince


@dataclass(frozen=True)
class Const:
    """TRUE (everyone) or FALSE (no one)."""

    value: bool


@dataclass(frozen=True)
class Compare:
    """`term op value`; op is one of = < <= > >= (<> is parsed as NOT =)."""

    term: Term
    op: str
    value: Value


@dataclass(frozen=True)
class OneOf:
    """`term IN (values)`: at least one value, no NULL among them."""

    term: Term
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Prefix:
    """`field LIKE 'prefix%'`, case-sensitive."""

    term: FieldTerm
    prefix: str


@dataclass(frozen=True)
class IsNull:
    """`term IS NULL`; never unknown."""

    term: Term


@dataclass(frozen=True)
class OptedOut:
    """The person refused this topic."""

    topic: str


@dataclass(frozen=True)
class Reachable:
    """The person has an active, unrefused address on this channel and is not suppressed."""

    channel: str


@dataclass(frozen=True)
class Received:
    """The person was sent a message of this campaign in the last `days` days.

    Accepted or ambiguous ones count.
    """

    campaign: str
    days: int


@dataclass(frozen=True)
class Opened:
    """The person opened a message of this campaign in the last `days` days."""

    campaign: str
    days: int


@dataclass(frozen=True)
class InList:
    """The person is on this explicit user list."""

    name: str


@dataclass(frozen=True)
class InAudience:
    """The person belongs to this saved audience: membership, so never unknown."""

    name: str
    # Shared between all uses: comparing by name keeps hashing linear however deep audiences build on each
    # other.
    predicate: Node = field(compare=False, repr=False)


@dataclass(frozen=True)
class Not:
    """NOT child."""

    child: Node


@dataclass(frozen=True)
class And:
    """All children; at least two."""

    children: tuple[Node, ...]


@dataclass(frozen=True)
class Or:
    """Any child; at least two."""

    children: tuple[Node, ...]


Leaf = (
    Const | Compare | OneOf | Prefix | IsNull | OptedOut | Reachable | Received | Opened | InList | InAudience
)
Node = Leaf | Not | And | Or


def sql(node: Node, parent: str = "") -> str:
    """Return the node as canonical predicate text; parsing it again gives the same node."""
    match node:
        # An outermost list stands without brackets; inside another operator it needs them to bind as it did.
        case And(children) | Or(children):
            word = "AND" if isinstance(node, And) else "OR"
            text = f" {word} ".join(sql(child, word) for child in children)
            return f"({text})" if parent else text
        case Not(child):
            return f"NOT {sql(child, 'NOT')}"
        case Const(value):
            return literal(value)
        case Compare(term, op, value):
            return f"{term.sql()} {op} {literal(value)}"
        case OneOf(term, values):
            return f"{term.sql()} IN ({', '.join(literal(value) for value in values)})"
        case Prefix(term, prefix):
            return f"{term.sql()} LIKE {literal(prefix + '%')}"
        case IsNull(term):
            return f"{term.sql()} IS NULL"
        case OptedOut(name):
            return f"opted_out({literal(name)})"
        case Reachable(name):
            return f"reachable({literal(name)})"
        case Received(name, days):
            return f"received({literal(name)}, {days})"
        case Opened(name, days):
            return f"opened({literal(name)}, {days})"
        case InList(name):
            return f"in_list({literal(name)})"
        case InAudience(name, _):
            return f"in_audience({literal(name)})"


def leaves(node: Node) -> Iterator[Leaf]:
    """Yield the leaves of a predicate, not entering other audiences."""
    stack: list[Node] = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, And | Or):
            stack.extend(reversed(current.children))
        elif isinstance(current, Not):
            stack.append(current.child)
        else:
            yield current
