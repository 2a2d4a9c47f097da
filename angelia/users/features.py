"""Read user_features, also those of an earlier release, which lack columns that came since.

Grain: user. Reads user_features; writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from angelia.contracts import arrow
from angelia.contracts.derived import USER_FEATURES
from angelia.contracts.sending import OWN_HOURS
from angelia.errors import InvalidInput
from angelia.lake import Commit, FileEntry, Lake
from angelia.timing.own_hours import Span


def read_features(
    lake: Lake,
    commit: Commit,
    columns: Sequence[str],
    where: Callable[[FileEntry], bool] = lambda _: True,
    codes: Sequence[str] = (),
) -> pa.Table:
    """Return columns of a commit's rows; one that may be null is null where its files lack it.

    Raises:
        InvalidInput: the files lack a column that may not be null.
    """
    try:
        return lake.read(commit, columns, where, codes)
    except InvalidInput:
        have = pq.read_schema(lake.path_of(commit.files[0])).names
        absent = [name for name in columns if name not in have]
        if not absent or any(
            name not in USER_FEATURES or not USER_FEATURES[name].nullable for name in absent
        ):
            raise
    known = [name for name in columns if name in have] or ["ordinal"]
    rows = lake.read(commit, known, where, [name for name in codes if name in have])
    wanted = arrow.schema(USER_FEATURES)
    for name in absent:
        rows = rows.append_column(wanted.field(name), pa.nulls(rows.num_rows, wanted.field(name).type))
    return rows.select(list(columns))


def own_spans(people: pa.Table) -> dict[int, Span]:
    """Return the quiet hours of those rows that have their own; they are few."""
    starts, ends = (people[name].combine_chunks() for name in OWN_HOURS)
    rows = np.flatnonzero(pc.is_valid(starts).to_numpy(zero_copy_only=False))
    return {row: (starts[row].as_py(), ends[row].as_py()) for row in rows.tolist()}


def refused_topics(lists: pa.ListArray) -> list[frozenset[str]]:
    """Return what each person refuses; most refuse nothing."""
    refuses = np.flatnonzero(pc.list_value_length(lists).to_numpy())
    topics: list[frozenset[str]] = [frozenset()] * len(lists)
    for row, names in zip(refuses.tolist(), lists.take(pa.array(refuses)).to_pylist(), strict=True):
        topics[row] = frozenset(names)
    return topics
