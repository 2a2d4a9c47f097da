"""Why one person is, or is not, in an audience: its condition, part by part.

Grain: person x node of a plan. Reads the bitmap index as the night's selection did, and evaluates with the
same code: a `PersonBlock` is a block in which every set is cut down to one person. Surprise: a part may be
neither true nor false, where what it asks about is unknown; then the person does not belong, and neither
would they under its opposite.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from pyroaring import BitMap

from angelia.audience.bitmaps.arrays import Numbers
from angelia.audience.bitmaps.blobs import Blobs, Key
from angelia.audience.bitmaps.block import I64, U32, Block
from angelia.audience.bitmaps.daily import MICROS
from angelia.audience.bitmaps.index import Index
from angelia.audience.bitmaps.sets import NOBODY, Dense, Set
from angelia.audience.evaluate import evaluate
from angelia.audience.language import nodes
from angelia.audience.language.fields import FIELDS, FieldKind
from angelia.audience.language.plan import AllOf, AnyOf, Plan, PlanStep, make_plan
from angelia.output import written_out

HELD, FAILED, UNKNOWN = "held", "failed", "unknown"


@dataclass(frozen=True)
class Clause:
    """One part of a condition: its text, whether it held for the person, and what they have.

    Attributes:
        depth: how deep it stands: 0 is the whole condition, an audience's own parts stand below its name.
        text: SQL, or AND and OR over the parts below.
        truth: `held`, `failed`, or `unknown` where the person's value is.
        has: the person's value, for people: a number, the channels that reach them, the topics they refused;
            None where there is none to show.
        decides: it stands on the way from the whole to the answer: a failed part of an AND, a held one of an
            OR.
    """

    depth: int
    text: str
    truth: str
    has: str | None
    decides: bool


class PersonBlock(Block):
    """A block of the index in which one person lives.

    Its files and sets are those of `whole`, the block of everybody: where that is kept, nothing is read.
    """

    def __init__(self, index: Index, ordinal: int, whole: Block | None = None) -> None:
        super().__init__(index, ordinal >> index.block_bits)
        self.position = ordinal - self.base
        self.whole = whole or Block(index, self.number)

    def _rows(self, field_name: str, day: str | None) -> tuple[Blobs | None, dict[Key, int], bool]:
        return self.whole._rows(field_name, day)

    def _get(self, field_name: str, day: str | None, key: Key) -> Set:
        members = self.whole._get(field_name, day, key)
        return BitMap([self.position]) if _holds(members, self.position) else NOBODY

    def amounts(self, event_type: str, days: Sequence[str]) -> tuple[I64, I64]:
        """Return the person's rows of what a block's people spent."""
        positions, micros = super().amounts(event_type, days)
        mine = positions == self.position
        return positions[mine], micros[mine]

    def _rare(self, event_type: str, item: str, day: str) -> tuple[U32, Numbers]:
        positions, counts = super()._rare(event_type, item, day)
        mine = positions == self.position
        return positions[mine], counts[mine]


def _holds(members: Set, position: int) -> bool:
    if isinstance(members, Dense):
        byte = position >> 3
        return byte < len(members.bits) and bool(members.bits[byte] >> (position & 7) & 1)
    return position in members


def explain(plan: Plan, block: PersonBlock, person: Mapping[str, Any]) -> list[Clause]:
    """Return the parts of a predicate from the whole down, held against one person.

    Args:
        plan: the predicate's, from `Audience.plan`.
        block: the person's, kept between audiences so that nothing is read twice.
        person: their row of `user_features`, for the values shown.
    """
    return list(_clauses(plan, block, person, 0, True))


def _clauses(
    plan: Plan, block: PersonBlock, person: Mapping[str, Any], depth: int, decides: bool
) -> Iterator[Clause]:
    truth = _truth(plan, block)
    has = None
    inside: tuple[Plan, ...] = ()
    if isinstance(plan, AllOf | AnyOf):
        inside = plan.children
    elif isinstance(plan.leaf, nodes.InAudience):
        inside = (make_plan(plan.leaf.predicate),)
    else:
        has = _value(plan.leaf, block, person)
    yield Clause(depth, str(plan), truth, has, decides)
    # An AND fails by its failed parts, an OR holds by its held ones; a saved audience has one part, itself.
    wanted = {HELD} if truth == HELD else {FAILED, UNKNOWN}
    for child in inside:
        counts = len(inside) == 1 or _truth(child, block) in wanted
        yield from _clauses(child, block, person, depth + 1, decides and counts)


def _truth(plan: Plan, block: PersonBlock) -> str:
    if len(evaluate(plan, block)):
        return HELD
    return FAILED if len(evaluate(_opposite(plan), block)) else UNKNOWN


def _opposite(plan: Plan) -> Plan:
    match plan:
        case AllOf(children):
            return AnyOf(tuple(_opposite(child) for child in children))
        case AnyOf(children):
            return AllOf(tuple(_opposite(child) for child in children))
        case _:
            return PlanStep(plan.leaf, not plan.negated)


def _value(leaf: nodes.Leaf, block: PersonBlock, person: Mapping[str, Any]) -> str | None:
    """Return what the person has of what a leaf asks about; None if its answer says it all."""
    match leaf:
        case nodes.Compare(term, _, _) | nodes.OneOf(term, _) | nodes.IsNull(term):
            return _term(term, block, person)
        case nodes.Prefix(term, _):
            return _term(term, block, person)
        case nodes.Reachable(_):
            return _listed(person.get("channels"))
        case nodes.OptedOut(_):
            return _listed(person.get("opted_out_topics"))
    return None


def _listed(values: Sequence[str] | None) -> str:
    return ", ".join(values or ()) or "none"


def _term(term: nodes.Term, block: PersonBlock, person: Mapping[str, Any]) -> str:
    index = block.index
    match term:
        case nodes.CountEvents(event_type, item, days):
            counts = [block.day_counts(event_type, item, day) for day in index.last_days(days)]
            # A slice holds the people whose count has this bit; of one person that is 1 or 0.
            return f"{sum(len(part) << bit for slices in counts for bit, part in enumerate(slices)):,}"
        case nodes.SumEvents(event_type, days):
            _, micros = block.amounts(event_type, index.last_days(days))
            return f"{int(np.sum(micros)) / MICROS:,.2f}"
        case nodes.DaysSince(event_type):
            days_since = (
                n
                for n, day in enumerate(index.last_days(index.history_days))
                if len(block.did(event_type, None, day))
            )
            latest = next(days_since, None)
            return f"none in {index.history_days} days" if latest is None else f"{latest}"
    field = FIELDS[term.name]
    value = person.get(field.column)
    if value is None:
        return "unknown"
    if field.kind is FieldKind.SET:
        return _listed(value)
    if field.kind is FieldKind.DATE:
        # Features hold how many days ago it was; conditions, and those who read them, write the date.
        return (index.day - timedelta(days=int(value))).isoformat()
    return (
        str(value).lower()
        if field.kind is FieldKind.FLAG
        else written_out(value)
        if _is_real(value)
        else str(value)
    )


def _is_real(value: object) -> bool:
    return isinstance(value, float)
