"""Count and select people by predicate: the Python API behind `angelia audience`.

    audience = AudienceQuery(lake, "2026-11-14", audiences=catalog_predicates)
    audience.count("gender = 'f' AND days_since('open') <= 7")      -> 1204
    audience.members("gender = 'f'", shard=0)                       -> roaring bitmap of ordinals

Reads the bitmap_index of one day, and the commits of bitmap_days that it cites. Writes nothing. Blocks are
evaluated on all cores; each is dropped when it is answered, its file with the last of its blocks, so memory
is one file a core. A `resident` audience, for a long-lived process, keeps what it read (of packed words only
the memory map): the next query on the same fields opens and reads nothing. Give it one query at a time.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
from pyroaring import BitMap

from angelia.audience.bitmaps.bitmaps import blocks_a_file
from angelia.audience.bitmaps.block import Block, Reads
from angelia.audience.bitmaps.index import Index
from angelia.audience.bitmaps.sets import Set, bitmap_of, intersect, positions_of
from angelia.audience.evaluate import count, evaluate
from angelia.audience.language import nodes
from angelia.audience.language.errors_at import error_at
from angelia.audience.language.fields import FIELDS, FieldKind
from angelia.audience.language.plan import AllOf, AnyOf, Plan, PlanStep, make_plan
from angelia.audience.language.predicate import parse, suggest
from angelia.contracts.sources import NAME
from angelia.errors import InvalidInput, NotFound
from angelia.lake import Lake

# Below this, starting threads costs more than they save.
MIN_PARALLEL_BLOCKS = 4


@dataclass(frozen=True)
class Counted:
    """One answer: the number of people, and what it took."""

    count: int
    engine_ms: float
    bitmaps_read: int
    bytes_read: int
    rows_read: int

    def as_dict(self) -> dict[str, Any]:
        """Return it for `--json`."""
        return {
            "count": self.count,
            "engine_ms": round(self.engine_ms, 3),
            "bitmaps_read": self.bitmaps_read,
            "bytes_read": self.bytes_read,
            "rows_read": self.rows_read,
        }


@dataclass
class Line:
    """One node of an explained plan."""

    depth: int
    text: str
    count: int = 0
    bitmaps: int = 0
    bytes: int = 0
    rows_read: int = 0
    note: str = ""
    children: list[Line] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """Return the node for `--json`, without its children."""
        return {
            "depth": self.depth,
            "node": self.text,
            "count": self.count,
            "bitmaps_read": self.bitmaps,
            "bytes_read": self.bytes,
            "rows_read": self.rows_read,
            "note": self.note,
        }

    @property
    def reads(self) -> str:
        """What the node read, for people."""
        parts = [f"{self.bitmaps:,} bitmaps, {self.bytes:,} bytes"] if self.bitmaps else []
        if self.rows_read:
            parts.append(f"{self.rows_read:,} rows of lists")
        if self.note:
            parts.append(self.note)
        return "; ".join(parts)


class AudienceQuery:
    """Questions about the people of one day.

    Args:
        lake: where the index is.
        ds: the closed UTC day of the index.
        audiences: saved predicates by name, for `in_audience`.
        commit: number of the index commit; default the newest.
        resident: keep what was read for the next question.
    """

    def __init__(
        self,
        lake: Lake,
        ds: str,
        audiences: Mapping[str, str] | None = None,
        *,
        commit: int | None = None,
        resident: bool = False,
    ) -> None:
        self.index = Index.open(lake, ds, commit)
        self.audiences = dict(audiences or {})
        self.resident = resident
        self._blocks: dict[int, Block] = {}
        self._lock = threading.Lock()

    def tree(self, text: str) -> nodes.Node:
        """Return the typed tree of a predicate.

        Raises:
            InvalidInput: the predicate is not in the language, asks for more history than the index has, or
                names a list that does not exist.
        """
        return parse(
            text,
            self.audiences,
            history_days=self.index.history_days,
            lists=lambda: self.index.list_names,
        )

    def plan(self, text: str) -> Plan:
        """Return the simplified plan of a predicate.

        Raises:
            InvalidInput: as `tree`.
        """
        return make_plan(self.tree(text))

    def count(self, text: str) -> int:
        """Return how many people a predicate is true for."""
        return self.measure(text).count

    def measure(self, text: str) -> Counted:
        """Return how many people a predicate is true for, with time (planning included) and reads."""
        began = time.perf_counter()
        plan = self.plan(text)
        reads = Reads()
        total = sum(self._each(lambda block: count(plan, block), reads))
        return Counted(total, (time.perf_counter() - began) * 1000, reads.bitmaps, reads.bytes, reads.rows)

    def members(self, text: str, shard: int) -> BitMap:
        """Return the ordinals of one shard that a predicate is true for."""
        block = self.block(shard >> (self.index.block_bits - self.index.shard_bits))
        return dict(by_shard(block, evaluate(self.plan(text), block)))[shard]

    def all_members(self, text: str) -> Iterator[BitMap]:
        """Yield the ordinals that a predicate is true for, block by block."""
        plan = self.plan(text)
        for block in self.blocks():
            yield block.ordinals(evaluate(plan, block))

    def explain(self, text: str) -> tuple[Counted, list[Line]]:
        """Return the count, and the plan's nodes from the root with cardinality and reads.

        Both are sums over all blocks. A saved audience inside the predicate is one node: its own nodes are
        below it.
        """
        began = time.perf_counter()
        plan = self.plan(text)
        root = _line(plan, 0)
        reads = Reads()
        for block in self.blocks(reads):
            _measure(plan, root, block)
        counted = Counted(
            root.count, (time.perf_counter() - began) * 1000, reads.bitmaps, reads.bytes, reads.rows
        )
        return counted, list(_flatten(root))

    def breakdown(self, text: str, by: str) -> dict[str, int]:
        """Return the people of a predicate by a field's values, largest first.

        The field is a text, flag or set; `(null)` stands for the unknown.

        Raises:
            InvalidInput: no such field, or it is a number or a date.
        """
        by = by.lower()
        if by not in FIELDS or FIELDS[by].kind not in (FieldKind.TEXT, FieldKind.FLAG, FieldKind.SET):
            allowed = ", ".join(
                sorted(
                    name
                    for name, counts in FIELDS.items()
                    if counts.kind in (FieldKind.TEXT, FieldKind.FLAG, FieldKind.SET)
                )
            )
            raise InvalidInput(f"cannot break down by {by!r}", fix=f"one of {allowed}")
        plan, counts = self.plan(text), dict[str, int]()
        for block in self.blocks():
            people, known = evaluate(plan, block), block.known(by)
            for value in block.values(by):
                both = intersect([people, block.get(by, "value", value)], [], block.width)
                counts[value] = counts.get(value, 0) + len(both)
            # A flag's index holds the people for whom it is true: false are the others who are known.
            if FIELDS[by].kind is FieldKind.FLAG:
                no = intersect(
                    [people] if known is None else [people, known],
                    [block.get(by, "value", "true")],
                    block.width,
                )
                counts["false"] = counts.get("false", 0) + len(no)
            if known is not None:
                counts["(null)"] = counts.get("(null)", 0) + len(intersect([people], [known], block.width))
        return dict(
            sorted(((value, n) for value, n in counts.items() if n), key=lambda item: (-item[1], item[0]))
        )

    def overlap(self, first: str, second: str) -> dict[str, int]:
        """Return how many people two predicates select, alone and together."""
        left, right = self.plan(first), self.plan(second)
        sizes = {"first": 0, "second": 0, "both": 0}
        for block in self.blocks():
            a, b = evaluate(left, block), evaluate(right, block)
            sizes["first"] += len(a)
            sizes["second"] += len(b)
            sizes["both"] += len(intersect([a, b], [], block.width))
        return {**sizes, "either": sizes["first"] + sizes["second"] - sizes["both"]}

    def block(self, number: int, reads: Reads | None = None) -> Block:
        """Return one block; a resident audience returns it with the sets of earlier queries."""
        if not self.resident:
            return Block(self.index, number, reads)
        with self._lock:
            kept = self._blocks.setdefault(number, Block(self.index, number))
        kept.reads = reads if reads is not None else Reads()
        kept.audiences.clear()  # saved predicates may change between questions
        return kept

    def blocks(self, reads: Reads | None = None) -> Iterator[Block]:
        """Yield the index's blocks, one after the other; their reads add up in `reads`."""
        for number in range(self.index.n_blocks):
            yield self.block(number, reads)
            self._release(number)

    def _release(self, number: int) -> None:
        if not self.resident:
            self.index.release(number)

    def _each(self, work: Callable[[Block], int], reads: Reads) -> list[int]:
        """Return `work` of every block, in threads, as many as there are cores.

        Packed words release the GIL.
        """
        if self.index.n_blocks < MIN_PARALLEL_BLOCKS:
            return [work(block) for block in self.blocks(reads)]
        threads = min(cores(), self.index.n_blocks)
        together = blocks_a_file(self.index.n_blocks)  # a file is opened by one thread

        def every_nth(first: int) -> tuple[list[int], Reads]:
            mine = Reads()  # its own counters: two threads that add to shared ones lose counts
            answers = []
            for number in range(self.index.n_blocks):
                if number // together % threads == first:
                    answers.append(work(self.block(number, mine)))
                    self._release(number)
            return answers, mine

        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(every_nth, range(threads)))
        for _, mine in parts:
            reads.merge(mine)
        return [n for answers, _ in parts for n in answers]


def index_day(lake: Lake, ds: str | None, today: date) -> str:
    """Return the day asked for, or the newest that has an index.

    Raises:
        NotFound: that day has none, or no day has.
    """
    if ds is not None and lake.head("bitmap_index", ds=ds) is not None:
        return ds
    days = [leaf["ds"] for leaf in lake.partitions("bitmap_index")]
    if not days:
        raise NotFound("there is no audience index yet", fix="run build_bitmaps, or `angelia bootstrap`")
    if ds is not None:
        raise NotFound(
            f"there is no audience index of {ds}",
            fix=f"the newest is of {days[-1]}; build_bitmaps --ds {ds} makes it",
        )
    # A day after today comes from a mistyped year or a trial, so it is the default only where no other day
    # exists.
    return max((day for day in days if day <= today.isoformat()), default=days[-1])


def is_name(text: str) -> bool:
    """Return whether a text is a bare name that is no field: a saved audience's."""
    return bool(re.fullmatch(NAME, text)) and text not in FIELDS and text not in ("true", "false")


def as_predicate(audience: AudienceQuery, text: str, where: str = "") -> str:
    """Return a predicate's text; a bare name means the saved audience of that name.

    Raises:
        InvalidInput: no saved audience has the name; `where` says which catalog was looked through.
    """
    if not is_name(text):
        return text
    if text not in audience.audiences:
        raise error_at(text, 0, f"no audience {text!r}{where}", suggest(text, audience.audiences))
    return f"in_audience('{text}')"


def cores() -> int:
    """Return the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def by_shard(block: Block, members: Set) -> Iterator[tuple[int, BitMap]]:
    """Yield (shard, ordinals) of a block's people; shards without any have an empty set."""
    positions = positions_of(members)
    bits, shards = block.index.shard_bits, block.shards
    edges = np.searchsorted(positions, [(shard << bits) - block.base for shard in (*shards, shards.stop)])
    for i, shard in enumerate(shards):
        yield shard, bitmap_of(positions[edges[i] : edges[i + 1]] + np.uint32(block.base))


def _line(plan: Plan, depth: int) -> Line:
    children = [_line(child, depth + 1) for child in _inside(plan)]
    note = ""
    if isinstance(plan, PlanStep):
        term = getattr(plan.leaf, "term", None)
        if isinstance(term, nodes.SumEvents):
            note = "summed from lists of amounts"
    return Line(depth, str(plan), note=note, children=children)


def _inside(plan: Plan) -> tuple[Plan, ...]:
    """Return the plan's children; a saved audience's is the plan of its predicate."""
    if isinstance(plan, AllOf | AnyOf):
        return plan.children
    return (make_plan(plan.leaf.predicate),) if isinstance(plan.leaf, nodes.InAudience) else ()


def _measure(plan: Plan, line: Line, block: Block) -> None:
    for child, child_line in zip(_inside(plan), line.children, strict=True):
        _measure(child, child_line, block)
    before = (block.reads.bitmaps, block.reads.bytes, block.reads.rows)
    line.count += count(plan, block)
    line.bitmaps += block.reads.bitmaps - before[0]
    line.bytes += block.reads.bytes - before[1]
    line.rows_read += block.reads.rows - before[2]


def _flatten(line: Line) -> Iterator[Line]:
    yield line
    for child in line.children:
        yield from _flatten(child)
