"""How good the hour of each example was, by the curves of the night that planned it.

Grain: push. Reads `send_times`. Surprise: curves are read of the people of the examples alone, since those of
ten million are 4 GB; and once where several nights share them.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from angelia.lake import Commit, Lake
from angelia.timing.category_hours import CategoryHours
from angelia.timing.evidence import CELLS, read_clock
from models.past import HOUR_US, LEAD_HOURS, Floats, Ints

OFFSET_RANGE = 3.0


def hour_offsets(
    lake: Lake, rows: pa.Table, people: pa.Table, *, ds: str, days: int
) -> tuple[Floats, list[Commit]]:
    """Return the log of each example's hour's factor, (n,), and the curves it was read from.

    0 where no curve is older than the push.
    """
    hour = rows["sent_us"].to_numpy() // HOUR_US
    night = np.array(["1970-01-01"], "datetime64[D]") + (hour - LEAD_HOURS) // 24
    known = [part["ds"] for part in lake.partitions("send_times")]
    offset, used = np.zeros(rows.num_rows), []
    who = np.searchsorted(people["ordinal"].to_numpy(), rows["ordinal"].to_numpy())
    zones, countries = people["timezone"].take(pa.array(who)).to_pylist(), rows["country"].to_pylist()
    clock = read_clock(zones, countries, np.datetime64(ds, "D"), days + 1, 14.0)
    where = (clock.group, np.clip(hour - clock.first_hour, 0, clock.cells.shape[1] - 1))
    cell, weekday = (table[where].astype(np.int64) for table in (clock.cells, clock.weekdays))
    mine = pa.array(people["ordinal"].to_numpy())
    read, order, curve = "", np.zeros(0, np.int64), np.zeros((0, CELLS))
    for day in np.unique(night):
        # The curves the night could read: later ones have learned from the very pushes that are judged.
        until = [name for name in known if name <= str(day)]
        commit = lake.require("send_times", ds=until[-1]) if until else None
        if commit is None:
            continue
        used.append(commit)
        here = np.flatnonzero(night == day)
        if commit.ref != read:  # the first nights share one
            read, (order, curve) = commit.ref, _curves_of(lake, commit, mine)
        at = np.minimum(np.searchsorted(order, rows["ordinal"].to_numpy()[here]), len(order) - 1)
        have = order[at] == rows["ordinal"].to_numpy()[here]
        factor = CategoryHours.of(commit.meta)
        names = rows["category"].take(pa.array(here)).to_pylist()
        row = np.array([factor.row.get(name or "", len(factor.factor) - 1) for name in names])
        value = curve[at, cell[here]] * factor.at(row, cell[here], weekday[here])
        offset[here] = np.where(
            have, np.clip(np.log(np.maximum(value, 1e-6)), -OFFSET_RANGE, OFFSET_RANGE), 0.0
        )
    return offset, list({commit.ref: commit for commit in used}.values())


def _curves_of(lake: Lake, commit: Commit, ordinal: pa.Array) -> tuple[Ints, Floats]:
    """Return who of these people has a curve, ascending, and the curves, (m, 48)."""

    def keep(table: pa.Table) -> pa.Table:
        return table.filter(pc.is_in(table["ordinal"], value_set=ordinal.cast(table["ordinal"].type)))

    curves = lake.read(commit, ["ordinal", "workday", "day_off"], keep=keep).sort_by("ordinal")
    both = np.hstack([_lists(curves["workday"]), _lists(curves["day_off"])])
    return curves["ordinal"].to_numpy().astype(np.int64), both


def _lists(column: pa.ChunkedArray) -> Floats:
    return np.asarray(column.combine_chunks().flatten().to_numpy(), np.float64).reshape(-1, CELLS // 2)
