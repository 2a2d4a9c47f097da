"""What people chose for themselves, as user_features hold it.

Grain: user. Reads user_features; writes nothing.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts.sending import OWN_HOURS
from angelia.timing.own_hours import Span


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
