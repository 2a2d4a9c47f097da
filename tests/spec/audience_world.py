"""A small population in a lake, and two other engines: DuckDB and plain Python.

Shared by the audience specs. Everything is held twice on purpose: nothing here imports the engine's plan,
evaluation or bitmaps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa

from angelia.audience.bitmaps.bitmaps import feature_rows
from angelia.audience.bitmaps.blobs import write_rows
from angelia.audience.bitmaps.daily import event_rows, push_rows
from angelia.audience.language import nodes
from angelia.audience.language.fields import FIELDS, FieldKind
from angelia.contracts import arrow, dataset
from angelia.lake import Lake
from tests.user_index import append_people

DS = "2026-11-14"
DAY = date.fromisoformat(DS)
HISTORY = 6
BLOCKS_A_FILE = 2
Row = dict[str, Any]


@dataclass
class World:
    """People (user_features rows), days, pushes (rows with `day`), lists and audiences."""

    people: list[Row]
    days: list[Row] = field(default_factory=list)
    pushes: list[Row] = field(default_factory=list)
    max_items: int = 1  # (type, item) pairs of a day that get sets of their own; the others stand in a list
    lists: dict[str, set[int]] = field(default_factory=dict)
    audiences: dict[str, str] = field(default_factory=dict)


def person(ordinal: int, **facts: Any) -> Row:
    """Return a user_features row; everything not given is unknown, zero or empty."""
    row: Row = {}
    for column in dataset("user_features").columns:
        if column.nullable:
            row[column.name] = None
        elif pa.types.is_string(column.type):
            row[column.name] = "UTC"
        elif pa.types.is_list(column.type):
            row[column.name] = []
        else:
            row[column.name] = False if pa.types.is_boolean(column.type) else 0
    return row | {"ordinal": ordinal, "user_id": f"u{ordinal}"} | facts


def did(
    ordinal: int, days_ago: int, event_type: str, item: str | None = None, n: int = 1, value: float = 0.0
) -> Row:
    """Return a user_days row."""
    day = (DAY - timedelta(days=days_ago)).isoformat()
    return {
        "day": day,
        "ordinal": ordinal,
        "event_type": event_type,
        "item": item,
        "n_events": n,
        "value_sum": value,
        "hours": 1,
    }


def pushed(ordinal: int, days_ago: int, campaign: str, kind: str = "sent") -> Row:
    """Return the part of a user_pushes row that audiences read."""
    return {
        "day": (DAY - timedelta(days=days_ago)).isoformat(),
        "ordinal": ordinal,
        "campaign_id": campaign,
        "kind": kind,
    }


def write_index(lake: Lake, world: World, shard_bits: int = 4, block_bits: int = 4) -> None:
    """Write the index of a world, its days, and user_lists."""
    features = pa.Table.from_pylist(world.people, schema=arrow.schema(dataset("user_features")))
    n_ordinals = max(row["ordinal"] for row in world.people) + 1
    ids = pa.table(
        {"user_id": [f"u{o}" for o in range(n_ordinals)], "ordinal": pa.array(range(n_ordinals), pa.uint32())}
    )
    inputs = [append_people(lake, [ids], shard_bits=shard_bits)]
    n_blocks, per_block = -(-n_ordinals >> block_bits), block_bits - shard_bits
    for back in range(HISTORY):
        day = (DAY - timedelta(days=back)).isoformat()
        mine = [row for row in world.days if row["day"] == day]
        rows = event_rows(
            pa.Table.from_pylist(mine, schema=arrow.schema(dataset("user_days"))), block_bits, world.max_items
        )
        pushes = pa.schema([("ordinal", pa.uint32()), ("campaign_id", pa.string()), ("kind", pa.string())])
        rows += push_rows(
            pa.Table.from_pylist([row for row in world.pushes if row["day"] == day], schema=pushes),
            block_bits,
        )
        with lake.attempt("bitmap_days", ds=day) as attempt:
            top = max((row.block for row in rows), default=-1) + 1
            for first in range(0, top, BLOCKS_A_FILE):
                blocks = range(first, min(first + BLOCKS_A_FILE, top))
                shards = (first << per_block, (blocks.stop << per_block) - 1)
                attempt.add(
                    write_rows(
                        lake,
                        "bitmap_days",
                        attempt.folder,
                        [r for r in rows if r.block in blocks],
                        blocks=blocks,
                        shards=shards,
                    )
                )
            ordinals = [row["ordinal"] for row in (*world.days, *world.pushes) if row["day"] == day]
            inputs.append(attempt.publish(meta={"n_ordinals": max(ordinals, default=-1) + 1}))
    n_shards = (n_ordinals >> shard_bits) + 1
    with lake.attempt("bitmap_index", ds=DS) as attempt:
        for block in range(n_blocks):
            here = features.filter(
                pa.array([row["ordinal"] >> block_bits == block for row in world.people], pa.bool_())
            )
            rows, _, _ = feature_rows(block, block_bits, here.select)
            shards = (block << per_block, ((block + 1) << per_block) - 1)
            attempt.add(
                write_rows(
                    lake, "bitmap_index", attempt.folder, rows, blocks=range(block, block + 1), shards=shards
                )
            )
        meta = {
            "shard_bits": shard_bits, "block_bits": block_bits, "n_ordinals": n_ordinals,
            "n_users": len(world.people), "history_days": HISTORY,
        }  # fmt: skip
        attempt.publish(inputs=inputs, meta=meta)
    from pyroaring import BitMap

    for name, members in world.lists.items():
        rows = []
        for shard in range(n_shards):
            bitmap = BitMap([o for o in members if o >> shard_bits == shard])
            rows.append({"shard": shard, "cardinality": len(bitmap), "bitmap": bitmap.serialize()})
        with lake.attempt("user_lists", list=name) as attempt:
            attempt.write(
                pa.Table.from_pylist(rows, schema=arrow.schema(dataset("user_lists"))), "members.parquet"
            )
            attempt.publish()


# ---- (b) DuckDB over the tables


class Sql:
    """The same question as SQL over the tables."""

    def __init__(self, world: World) -> None:
        self.connection = duckdb.connect()
        self.world = world
        days_schema = pa.schema([*arrow.schema(dataset("user_days")), ("day", pa.string())])
        push_schema = pa.schema(
            [
                ("ordinal", pa.uint32()),
                ("campaign_id", pa.string()),
                ("kind", pa.string()),
                ("day", pa.string()),
            ]
        )
        features = pa.Table.from_pylist(world.people, schema=arrow.schema(dataset("user_features")))
        for name, table in (
            ("f", features),
            ("d", pa.Table.from_pylist(world.days, schema=days_schema)),
            ("p", pa.Table.from_pylist(world.pushes, schema=push_schema)),
        ):
            self.connection.register(f"{name}_rows", table)
            self.connection.execute(
                f"CREATE TABLE {name} AS SELECT * "
                f"{'REPLACE (CAST(day AS DATE) AS day)' if name != 'f' else ''} FROM {name}_rows"
            )

    def members(self, node: nodes.Node) -> set[int]:
        """Return the ordinals the predicate is true for."""
        return {
            row[0]
            for row in self.connection.execute(f"SELECT ordinal FROM f WHERE {self.sql(node)}").fetchall()
        }

    def sql(self, node: nodes.Node) -> str:
        """Return the predicate as DuckDB SQL."""
        match node:
            case nodes.And(children):
                return "(" + " AND ".join(map(self.sql, children)) + ")"
            case nodes.Or(children):
                return "(" + " OR ".join(map(self.sql, children)) + ")"
            case nodes.Not(child):
                return f"(NOT {self.sql(child)})"
            case nodes.Const(value):
                return str(value).upper()
            case nodes.Compare(nodes.FieldTerm("tag"), "=", value):
                return f"list_contains(f.tags, {_literal(value)})"
            case nodes.OneOf(nodes.FieldTerm("tag"), values):
                return f"list_has_any(f.tags, [{', '.join(map(_literal, values))}])"
            case nodes.Prefix(nodes.FieldTerm("tag"), prefix):
                return f"(len(list_filter(f.tags, lambda tag: tag LIKE {_literal(prefix + '%')})) > 0)"
            case nodes.IsNull(nodes.FieldTerm("tag")):
                return "(f.tags IS NULL)"
            case nodes.Compare(nodes.SumEvents() as term, op, value):
                return f"({self.term(term)} {op} CAST('{value!r}' AS DECIMAL(28, 9)))"
            case nodes.Compare(term, op, value):
                return f"({self.term(term)} {op} {_literal(value)})"
            case nodes.OneOf(term, values):
                return f"({self.term(term)} IN ({', '.join(map(_literal, values))}))"
            case nodes.Prefix(term, prefix):
                return f"({self.term(term)} LIKE {_literal(prefix + '%')})"
            case nodes.IsNull(term):
                return f"({self.term(term)} IS NULL)"
            case nodes.OptedOut(topic):
                return f"list_contains(f.opted_out_topics, '{topic}')"
            case nodes.Reachable(channel):
                return f"(list_contains(f.channels, '{channel}') AND NOT f.is_suppressed)"
            case nodes.Received(campaign, days):
                return self._pushed("sent", campaign, days)
            case nodes.Opened(campaign, days):
                return self._pushed("opened", campaign, days)
            case nodes.InList(name):
                members = ", ".join(map(str, sorted(self.world.lists[name])))
                return f"(f.ordinal IN ({members}))" if members else "FALSE"
            case nodes.InAudience(_, predicate):
                return f"coalesce({self.sql(predicate)}, FALSE)"

    def term(self, term: nodes.Term) -> str:
        """Return a term as a SQL expression."""
        match term:
            case nodes.FieldTerm(name) if FIELDS[name].kind is FieldKind.DATE:
                return f"(DATE '{DS}' - f.{FIELDS[name].column})"
            case nodes.FieldTerm(name):
                return f"f.{name}"
            case nodes.CountEvents(event_type, item, days):
                also = f" AND item = '{item}'" if item is not None else ""
                return f"coalesce((SELECT sum(n_events) FROM d WHERE {_days(event_type, days)}{also}), 0)"
            case nodes.SumEvents(event_type, days):
                return (
                    f"coalesce((SELECT CAST(sum(CAST(value_sum AS DECIMAL(18, 6))) AS DECIMAL(28, 9)) "
                    f"FROM d WHERE {_days(event_type, days)}), 0)"
                )
            case nodes.DaysSince(event_type):
                return f"(SELECT DATE '{DS}' - max(day) FROM d WHERE {_days(event_type, HISTORY)})"

    def _pushed(self, kind: str, campaign: str, days: int) -> str:
        window = f"day > DATE '{DS}' - {days} AND day <= DATE '{DS}'"
        return (
            f"EXISTS (SELECT 1 FROM p WHERE p.ordinal = f.ordinal AND kind = '{kind}' AND campaign_id "
            f"= '{campaign}' AND {window})"
        )


def _days(event_type: str, days: int) -> str:
    return (
        f"d.ordinal = f.ordinal AND event_type = '{event_type}' AND day > DATE '{DS}' - {days} AND "
        f"day <= DATE '{DS}'"
    )


def _literal(value: nodes.Value) -> str:
    if isinstance(value, nodes.DateValue):
        return f"DATE '{value.resolve(DAY)}'"
    if isinstance(value, float):
        return f"CAST('{value!r}' AS DOUBLE)"
    return nodes.literal(value)


# ---- (c) plain Python, person by person


class Naive:
    """The same question asked of each person in turn, with None for unknown."""

    def __init__(self, world: World) -> None:
        self.world = world

    def members(self, node: nodes.Node) -> set[int]:
        """Return the ordinals the predicate is true for."""
        return {row["ordinal"] for row in self.world.people if self.truth(node, row) is True}

    def truth(self, node: nodes.Node, row: Row) -> bool | None:
        """Return True, False, or None for unknown."""
        match node:
            case nodes.And(children):
                truths = [self.truth(child, row) for child in children]
                return False if False in truths else None if None in truths else True
            case nodes.Or(children):
                truths = [self.truth(child, row) for child in children]
                return True if True in truths else None if None in truths else False
            case nodes.Not(child):
                inner = self.truth(child, row)
                return None if inner is None else not inner
            case nodes.Const(value):
                return value
            case nodes.IsNull(term):
                return self.value(term, row) is None
            case nodes.Compare(term, op, value):
                return self._holds(self.value(term, row), op, value)
            case nodes.OneOf(term, values):
                truths = [self._holds(self.value(term, row), "=", value) for value in values]
                return None if None in truths else True in truths
            case nodes.Prefix(term, prefix):
                here = self.value(term, row)
                if here is None:
                    return None
                return (
                    any(text.startswith(prefix) for text in here)
                    if isinstance(here, list)
                    else here.startswith(prefix)
                )
            case nodes.OptedOut(topic):
                return topic in row["opted_out_topics"]
            case nodes.Reachable(channel):
                return channel in row["channels"] and not row["is_suppressed"]
            case nodes.Received(campaign, days):
                return self._pushed(row, "sent", campaign, days)
            case nodes.Opened(campaign, days):
                return self._pushed(row, "opened", campaign, days)
            case nodes.InList(name):
                return row["ordinal"] in self.world.lists[name]
            case nodes.InAudience(_, predicate):
                return self.truth(predicate, row) is True

    def value(self, term: nodes.Term, row: Row) -> Any:
        """Return a term's value for one person; None = unknown."""
        match term:
            case nodes.FieldTerm(name):
                here = row[FIELDS[name].column]
                if FIELDS[name].kind is FieldKind.DATE:
                    return None if here is None else DAY - timedelta(days=here)
                return here
            case nodes.CountEvents(event_type, item, days):
                return sum(
                    r["n_events"]
                    for r in self._mine(row, event_type, days)
                    if item is None or r["item"] == item
                )
            case nodes.SumEvents(event_type, days):
                return sum(Decimal(repr(r["value_sum"])) for r in self._mine(row, event_type, days))
            case nodes.DaysSince(event_type):
                seen = [
                    (DAY - date.fromisoformat(r["day"])).days for r in self._mine(row, event_type, HISTORY)
                ]
                return min(seen) if seen else None

    def _mine(self, row: Row, event_type: str, days: int) -> list[Row]:
        first = (DAY - timedelta(days=days - 1)).isoformat()
        return [
            r
            for r in self.world.days
            if r["ordinal"] == row["ordinal"] and r["event_type"] == event_type and first <= r["day"] <= DS
        ]

    def _pushed(self, row: Row, kind: str, campaign: str, days: int) -> bool:
        first = (DAY - timedelta(days=days - 1)).isoformat()
        wanted = (row["ordinal"], kind, campaign)
        return any(
            (r["ordinal"], r["kind"], r["campaign_id"]) == wanted and first <= r["day"] <= DS
            for r in self.world.pushes
        )

    @staticmethod
    def _holds(here: Any, op: str, value: nodes.Value) -> bool | None:
        if here is None:
            return None
        target = value.resolve(DAY) if isinstance(value, nodes.DateValue) else value
        if isinstance(here, Decimal):
            target = Decimal(repr(target))
        if isinstance(here, list):
            return target in here
        return {
            "=": here == target,
            "<": op == "<" and here < target,
            "<=": op == "<=" and here <= target,
            ">": op == ">" and here > target,
            ">=": op == ">=" and here >= target,
        }[op]
