"""Contracts of what selects people: bitmap index, its days, members, explicit lists."""

from __future__ import annotations

import pyarrow as pa

from angelia.contracts.core import Column, Dataset
from angelia.contracts.sources import NAME, S

I16, I32, I64 = pa.int16(), pa.int32(), pa.int64()

_BITMAPS = (
    Column("field", S, "field of the predicate language"),
    Column(
        "kind",
        S,
        "value: users with this value, or of this day; slice: bit of the number; known: users "
        "whose field is not null; levels: the distinct numbers "
        "of the block, ascending, whose places the slices hold; amounts: who, and what their "
        "values sum to; items: who, and how often, by rare item",
        allowed=("value", "slice", "known", "levels", "amounts", "items"),
    ),
    Column("value", S, "the value as text; null for what has none, and for days", nullable=True),
    Column(
        "bit", I16, "number of the slice, 0 = lowest; null otherwise", nullable=True, minimum=0, maximum=63
    ),
    Column("offset", I64, "slices hold number - offset (of the people who have one)", nullable=True),
    Column(
        "block",
        I32,
        (
            "block: the ordinals from block x 2^block_bits on (block_bits: meta of the commit); a "
            "whole number of shards"
        ),
        minimum=0,
    ),
    Column("cardinality", I64, "users in the bitmap; rows, or levels", minimum=0),
    Column(
        "encoding",
        S,
        "words: one bit per ordinal of the block, lowest first; roaring: portable format, "
        "counting from the block's first ordinal; "
        "arrays: of numbers, see angelia.audience.bitmaps.arrays",
        allowed=("words", "roaring", "arrays"),
    ),
    Column("n_bytes", I64, "length of the bitmap", minimum=0),
    Column(
        "bitmap",
        pa.binary(),
        "the set, stored plain: readable as Parquet, and usable in place (angelia.audience.bitmaps.blobs)",
    ),
)

BITMAP_INDEX = Dataset(
    "bitmap_index",
    3,
    "field x value (or bit slice) x block of shards",
    ("field", "kind", "value", "bit", "block"),
    ("ds",),
    _BITMAPS,
    ("build_bitmaps",),
    layout=("shards",),
    notes=(
        "The fields of a person as of ds. What happened on each day of the window stands in "
        "bitmap_days; the commit cites those it was made with."
    ),
)

BITMAP_DAYS = Dataset(
    "bitmap_days",
    1,
    "event (type, item) or push (campaign) of one UTC day x block of shards",
    ("field", "kind", "value", "bit", "block"),
    ("ds",),
    _BITMAPS,
    ("build_bitmaps",),
    layout=("shards",),
    notes="Made once from that day's user_days and user_pushes, and again only when those change (late "
    "rows). Fields: event:TYPE, event:TYPE:ITEM, "
    "received:CAMPAIGN, opened:CAMPAIGN.",
)

AUDIENCE_MEMBERS = Dataset(
    "audience_members",
    1,
    "audience x shard",
    ("audience", "shard"),
    ("ds",),
    (
        Column("audience", S, "audience name in the catalog", pattern=NAME),
        Column("shard", I32, "shard", minimum=0),
        Column("cardinality", I64, "users in the bitmap", minimum=0),
        Column("bitmap", pa.binary(), "serialised roaring bitmap of ordinals"),
    ),
    ("select_audiences",),
)

HOLDOUT_MEMBERS = Dataset(
    "holdout_members",
    1,
    "shard",
    ("shard",),
    ("ds",),
    (
        Column("shard", I32, "shard", minimum=0),
        Column("cardinality", I64, "users in the bitmap", minimum=0),
        Column("bitmap", pa.binary(), "serialised roaring bitmap of the ordinals that are held out"),
    ),
    ("select_audiences",),
    notes=(
        "The global holdout of the night's policy, whose share and salt stand in the commit's params; of the "
        "user_index that the bitmaps were made from."
    ),
)

USER_LISTS = Dataset(
    "user_lists",
    1,
    "explicit user list x shard",
    ("shard",),
    ("list",),
    (
        Column("shard", I32, "shard of the ordinals", minimum=0),
        Column("cardinality", I64, "users in the bitmap", minimum=0),
        Column("bitmap", pa.binary(), "serialised roaring bitmap of ordinals"),
    ),
    (
        "angelia audience list",
        "angelia audience import-ldap",
        "angelia audience lookalike",
        "angelia effects uplift",
    ),
    layout=("shards",),
    notes=(
        "One partition per list name: what in_list('name') means. Meta: n_users. Unknown ids are "
        "counted in the commit's rejects."
    ),
)
