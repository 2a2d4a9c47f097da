"""Count and select people by predicate, from the bitmap index of one day: the Python API behind `angelia audience`.

    audience = Audience(lake, "2026-11-14", audiences=catalog_predicates)
    audience.count("gender = 'f' AND days_since('open') <= 7")      -> 1204
    audience.members("gender = 'f'", shard=0)                       -> roaring bitmap of ordinals

Reads bitmap_index; `user_days` for what has no bitmap (`explain` says so). Writes nothing. Shards are evaluated one after the other: memory
is that of one shard.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyroaring import BitMap

from angelia.audience import nodes
from angelia.audience.evaluate import count, evaluate
from angelia.audience.fields import FIELDS, Kind
from angelia.audience.plan import AllOf, AnyOf, Plan, Step, make_plan, steps
from angelia.audience.predicate import parse
from angelia.audience.shard import Index, Reads, Shard, no_list
from angelia.errors import InvalidInput
from angelia.lake import Lake


@dataclass(frozen=True)
class Counted:
    """One answer: the number of people, and what it took."""

    count: int
    engine_ms: float
    bitmaps_read: int
    bytes_read: int
    user_days_rows: int

    def as_dict(self) -> dict[str, Any]:
        """Return it for `--json`."""
        return {
            "count": self.count,
            "engine_ms": round(self.engine_ms, 3),
            "bitmaps_read": self.bitmaps_read,
            "bytes_read": self.bytes_read,
            "user_days_rows": self.user_days_rows,
        }


@dataclass
class Line:
    """One node of an explained plan."""

    depth: int
    text: str
    count: int = 0
    bitmaps: int = 0
    bytes: int = 0
    user_days_rows: int = 0
    note: str = ""
    children: list[Line] = field(default_factory=list)


class Audience:
    """Questions about the people of one day.

    Args:
        lake: where the index is.
        ds: the closed UTC day of the index.
        audiences: saved predicates by name, for `in_audience`.
        commit: number of the index commit; default the newest.
    """

    def __init__(self, lake: Lake, ds: str, audiences: Mapping[str, str] | None = None, *, commit: int | None = None) -> None:
        self.index = Index.open(lake, ds, commit)
        self.audiences = dict(audiences or {})

    def plan(self, text: str) -> Plan:
        """Return the simplified plan of a predicate.

        Raises:
            InvalidInput: the predicate is not in the language, or asks for more history than the index has.
            NotFound: it names a list that does not exist.
        """
        node = parse(text, self.audiences, history_days=self.index.history_days)
        plan = make_plan(node)
        for step in steps(plan):
            if isinstance(step.leaf, nodes.InList) and step.leaf.name not in self.index.list_names:
                raise no_list(step.leaf.name, self.index.list_names)
        return plan

    def count(self, text: str) -> int:
        """Return how many people a predicate is true for."""
        return self.measure(text).count

    def measure(self, text: str) -> Counted:
        """Return how many people a predicate is true for, with time (planning included) and reads."""
        began = time.perf_counter()
        plan, reads, total = self.plan(text), Reads(), 0
        for shard in self.shards(reads):
            total += count(plan, shard)
        return Counted(total, (time.perf_counter() - began) * 1000, reads.bitmaps, reads.bytes, reads.user_days_rows)

    def members(self, text: str, shard: int) -> BitMap:
        """Return the ordinals of one shard that a predicate is true for."""
        return evaluate(self.plan(text), Shard(self.index, shard)).copy()

    def all_members(self, text: str) -> Iterator[BitMap]:
        """Yield each shard's ordinals that a predicate is true for, shard by shard."""
        plan = self.plan(text)
        for shard in self.shards():
            yield evaluate(plan, shard).copy()

    def explain(self, text: str) -> tuple[Counted, list[Line]]:
        """Return the count and the plan's nodes from the root, each with its own cardinality and reads over all shards."""
        began = time.perf_counter()
        plan = self.plan(text)
        root = _line(plan, 0, self.index)
        reads = Reads()
        for shard in self.shards(reads):
            _measure(plan, root, shard)
        counted = Counted(root.count, (time.perf_counter() - began) * 1000, reads.bitmaps, reads.bytes, reads.user_days_rows)
        return counted, list(_flatten(root))

    def breakdown(self, text: str, by: str) -> dict[str, int]:
        """Return the people of a predicate by the values of a text, flag or set field, largest first; `(null)` for the unknown.

        Raises:
            InvalidInput: no such field, or it is a number or a date.
        """
        by = by.lower()
        if by not in FIELDS or FIELDS[by].kind not in (Kind.TEXT, Kind.FLAG, Kind.SET):
            allowed = ", ".join(sorted(name for name, found in FIELDS.items() if found.kind in (Kind.TEXT, Kind.FLAG, Kind.SET)))
            raise InvalidInput(f"cannot break down by {by!r}", fix=f"one of {allowed}")
        plan, found = self.plan(text), dict[str, int]()
        for shard in self.shards():
            people = evaluate(plan, shard)
            known = shard.known(by)
            for value in shard.values(by):
                found[value] = found.get(value, 0) + people.intersection_cardinality(shard.get(by, "value", value))
            if FIELDS[by].kind is Kind.FLAG:
                known_people = people if known is None else people & known
                found["false"] = found.get("false", 0) + known_people.difference_cardinality(shard.get(by, "value", "true"))
            if known is not None:
                found["(null)"] = found.get("(null)", 0) + people.difference_cardinality(known)
        return dict(sorted(((value, n) for value, n in found.items() if n), key=lambda item: (-item[1], item[0])))

    def overlap(self, first: str, second: str) -> dict[str, int]:
        """Return how many people two predicates select, alone and together."""
        one, two = self.plan(first), self.plan(second)
        sizes = {"first": 0, "second": 0, "both": 0}
        for shard in self.shards():
            a, b = evaluate(one, shard), evaluate(two, shard)
            sizes["first"] += len(a)
            sizes["second"] += len(b)
            sizes["both"] += a.intersection_cardinality(b)
        return {**sizes, "either": sizes["first"] + sizes["second"] - sizes["both"]}

    def shards(self, reads: Reads | None = None) -> Iterator[Shard]:
        """Yield the index's shards, each fresh; their reads add up in `reads`."""
        for number in range(self.index.n_shards):
            yield Shard(self.index, number, reads)


def _line(plan: Plan, depth: int, index: Index) -> Line:
    children = [] if isinstance(plan, Step) else [_line(child, depth + 1, index) for child in plan.children]
    note = ""
    if isinstance(plan, Step):
        term = getattr(plan.leaf, "term", None)
        if isinstance(term, nodes.SumEvents) or (isinstance(term, nodes.CountEvents) and not index.has_bitmaps(term.event_type, term.item)):
            note = "counted from user_days: no bitmaps for it"
    return Line(depth, str(plan), note=note, children=children)


def _measure(plan: Plan, line: Line, shard: Shard) -> None:
    if isinstance(plan, AllOf | AnyOf):
        for child, child_line in zip(plan.children, line.children, strict=True):
            _measure(child, child_line, shard)
    before = (shard.reads.bitmaps, shard.reads.bytes, shard.reads.user_days_rows)
    line.count += count(plan, shard)
    line.bitmaps += shard.reads.bitmaps - before[0]
    line.bytes += shard.reads.bytes - before[1]
    line.user_days_rows += shard.reads.user_days_rows - before[2]


def _flatten(line: Line) -> Iterator[Line]:
    yield line
    for child in line.children:
        yield from _flatten(child)
