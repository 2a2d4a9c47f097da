"""Hints for conditions that match no person: misspelt names, and what can never be true.

A misspelt `NOT x = 'vlaue'` matches everyone, so each name gets a line with its nearest neighbours. Reads the
directories of bitmap_index, and of bitmap_days if events or campaigns are named. Saved audiences are looked
into. Items of events are not checked: most of them stand in lists.
"""

from __future__ import annotations

from collections.abc import Iterator

from angelia.audience.bitmaps.daily import event_field
from angelia.audience.language import nodes
from angelia.audience.language.fields import FIELDS, FieldKind
from angelia.audience.language.never import never_true
from angelia.audience.language.plan import Plan, make_plan, steps
from angelia.audience.language.predicate import suggest
from angelia.audience.query import AudienceQuery

EVENT, RECEIVED = event_field("", None), "received:"


def hints(audience: AudienceQuery, text: str) -> list[str]:
    """Return a line for each name without any person, and each condition that is never true."""
    tree = audience.tree(text)
    never = [
        f"note: {conflict}" for conflict in never_true(tree, audience.index.history_days, audience.index.day)
    ]
    leaves = list(dict.fromkeys(_leaves(make_plan(tree))))
    values = dict.fromkeys(pair for leaf in leaves for pair in _values(leaf))
    names = dict.fromkeys(name for leaf in leaves for name in _names(leaf))
    there: dict[str, set[str]] = {field: set() for field, _ in values}
    # Blocks are opened only if the predicate names values: their directories list all that somebody has.
    for block in audience.blocks() if there else ():
        for field in there:
            there[field].update(block.values(field))
    lines = never + [
        f"note: nobody has {_said(field, value)}; {suggest(value.rstrip('%'), sorted(there[field]))}"
        for field, value in values
        if not (
            any(other.startswith(value[:-1]) for other in there[field])
            if value.endswith("%")
            else value in there[field]
        )
    ]
    if names:
        known = _fields_of_days(audience, set(names))
        for name in names:
            if name not in known:
                # Only names of the same kind are neighbours: event types without items, or campaigns.
                start = EVENT if name.startswith(EVENT) else RECEIVED
                near = {
                    other.removeprefix(start)
                    for other in known
                    if other.startswith(start) and ":" not in other.removeprefix(start)
                }
                what = "nobody did" if start == EVENT else "nobody received"
                lines.append(
                    f"note: {what} {name.removeprefix(start)!r} in {audience.index.history_days} "
                    f"days; {suggest(name.removeprefix(start), near)}"
                )
    return lines


def _leaves(plan: Plan) -> Iterator[nodes.Leaf]:
    for step in steps(plan):
        if isinstance(step.leaf, nodes.InAudience):
            yield from _leaves(make_plan(step.leaf.predicate))
        else:
            yield step.leaf


def _values(leaf: nodes.Leaf) -> Iterator[tuple[str, str]]:
    """Yield (field, value) of sets that the leaf reads; a value that ends with % is a prefix."""
    match leaf:
        case nodes.OptedOut(topic):
            yield "opted_out", topic
        case nodes.Prefix(nodes.FieldTerm(name), prefix):
            yield name, f"{prefix}%"
        case nodes.Compare(nodes.FieldTerm(name), _, value) if FIELDS[name].kind in (
            FieldKind.TEXT,
            FieldKind.SET,
        ):
            yield name, str(value)
        case nodes.OneOf(nodes.FieldTerm(name), several) if FIELDS[name].kind in (
            FieldKind.TEXT,
            FieldKind.SET,
        ):
            yield from ((name, str(value)) for value in several)


def _names(leaf: nodes.Leaf) -> Iterator[str]:
    """Yield the fields of bitmap_days that the leaf reads."""
    match leaf:
        case nodes.Received(campaign, _) | nodes.Opened(campaign, _):
            yield RECEIVED + campaign
        case nodes.Compare(term, _, _) | nodes.OneOf(term, _) | nodes.IsNull(term) if not isinstance(
            term, nodes.FieldTerm
        ):
            yield event_field(term.event_type, None)


def _fields_of_days(audience: AudienceQuery, wanted: set[str]) -> set[str]:
    """Return the fields that the days have.

    If all that is wanted appears in the newest days and first blocks, only theirs.
    """
    names: set[str] = set()
    days = audience.index.last_days(audience.index.history_days)
    for block in audience.blocks():
        for day in days:
            if wanted <= names:
                return names
            names |= block.fields_on(day)
    return names


def _said(field: str, value: str) -> str:
    if field == "opted_out":
        return f"opted out of {value!r}"
    return f"{field} LIKE {value!r}" if value.endswith("%") else f"{field} = {value!r}"
