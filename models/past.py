"""Describe examples by the days before each push, and by its hour.

Grain: example. Reads user_days, user_pushes, send_times. No leakage: the numbers of a push are as of the day
before it was sent, its curve is the newest one up to the night that planned it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from angelia.catalog.snapshot import Catalog
from angelia.lake import Commit, Lake
from angelia.timing.category_hours import CategoryHours
from angelia.timing.evidence import CELLS, read_clock
from angelia.users.history import PURCHASE, event_features, push_features
from models.behaviour import DAY_US, PAIR_NUMBERS, USER_NUMBERS, WINDOW_DAYS, Behaviour, Population, behaviour

HOUR_US = 3_600_000_000
LEAD_HOURS = 28  # a push sent within 28 hours of a day's start was planned the night before that
OFFSET_RANGE = 3.0
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Past:
    """Rows of user_days and user_pushes: `row` = place in `ordinal`, `day` since 1970."""

    ordinal: Ints
    days: pa.Table
    pushes: pa.Table
    commits: list[Commit]


def read_past(lake: Lake, ds: str, n_days: int, ordinal: npt.ArrayLike) -> Past:
    """Return the days up to ds of the users with these ordinals."""
    order = np.unique(np.asarray(ordinal, dtype=np.int64))
    last = date.fromisoformat(ds)
    tables: dict[str, list[pa.Table]] = {"user_days": [], "user_pushes": []}
    columns = {
        "user_days": ["ordinal", "event_type", "item", "n_events", "value_sum", "hours"],
        "user_pushes": ["ordinal", "kind", "material_id", "sent_ts"],
    }
    commits: list[Commit] = []
    for back in range(n_days):
        day = last - timedelta(days=back)
        for name, parts in tables.items():
            commit = lake.head(name, ds=day.isoformat())
            if commit is not None:
                commits.append(commit)
                number = (day - date(1970, 1, 1)).days
                parts.append(placed(lake.read(commit, columns[name]), order, number))
    return Past(order, _joined(tables["user_days"]), _joined(tables["user_pushes"]), commits)


def placed(table: pa.Table, order: Ints, day: int) -> pa.Table:
    """Return the rows of the users of `order` (ascending ordinals), with `row` and `day`.

    Pushes get `sent_day`, too.
    """
    owner = table["ordinal"].to_numpy().astype(np.int64)
    row = np.minimum(np.searchsorted(order, owner), max(len(order) - 1, 0))
    known = order[row] == owner if len(order) else np.zeros(len(owner), bool)
    table = table.filter(pa.array(known)).append_column("row", pa.array(row[known]))
    table = table.append_column("day", pa.array(np.full(table.num_rows, day, np.int64)))
    if "sent_ts" in table.column_names:
        sent = table["sent_ts"].cast(pa.int64()).to_numpy() / DAY_US
        table = table.append_column("sent_day", pa.array(sent.astype(np.float64)))
    return table.drop_columns(["ordinal"])


def _joined(parts: list[pa.Table]) -> pa.Table:
    if parts:
        return pa.concat_tables(parts, promote_options="permissive").combine_chunks()
    fields = {"row": pa.int64(), "day": pa.int64(), "sent_day": pa.float64(), "kind": pa.string()}
    fields |= {"event_type": pa.string(), "item": pa.string(), "material_id": pa.string()}
    fields |= {"n_events": pa.int32(), "value_sum": pa.float64(), "hours": pa.int32()}
    return pa.schema(list(fields.items())).empty_table()


def population_of(train: pa.Table, past: Past, people: pa.Table) -> Population:
    """Return what people are compared with.

    Shares and rate are those of the days before the first push, categories those that materials of the
    training part have.
    """
    categories = sorted({name for name in train["category"].to_pylist() if name is not None})
    first = int(train["sent_us"].to_numpy().min(initial=0) // DAY_US)
    before = [t.filter(pc.less(t["day"], first)) for t in (past.days, past.pushes)]
    last = int(train["sent_us"].to_numpy().max(initial=0) // DAY_US) - 1
    # Likings are learned from looks, not from labels; the days of the later parts stay unseen all the same.
    population = Population.of(categories, before[0], before[1])
    return population.knowing(past.days, _whose(past, people), day=last)


def _whose(past: Past, people: pa.Table) -> pa.Table:
    return people.take(pa.array(np.searchsorted(people["ordinal"].to_numpy(), past.ordinal)))


def with_behaviour(
    rows: pa.Table, past: Past, people: pa.Table, catalog: Catalog, population: Population
) -> tuple[pa.Table, Behaviour]:
    """Return the examples with every number that changes as of the day before they were sent."""
    sent_day = rows["sent_us"].to_numpy() // DAY_US
    categories, whose = list(population.categories), _whose(past, people)
    category_of = {name: m.category for name, m in catalog.materials.items() if m.category is not None}
    n, k = rows.num_rows, len(categories)
    place = np.searchsorted(past.ordinal, rows["ordinal"].to_numpy().astype(np.int64))
    user = {name: np.zeros(n) for name in USER_NUMBERS}
    pair = {name: np.zeros((n, k), np.float32) for name in PAIR_NUMBERS}
    counted: dict[str, Floats] = {}
    for day in np.unique(sent_day).tolist():
        here = np.flatnonzero(sent_day == day)
        size = len(past.ordinal)
        known = behaviour(
            past.days,
            past.pushes,
            category_of,
            population,
            day=day - 1,
            n=size,
            users=whose,
            asked=np.unique(place[here]),
        )
        for name in USER_NUMBERS:
            user[name][here] = known.user[name][place[here]]
        for name in PAIR_NUMBERS:
            pair[name][here] = known.pair[name][place[here]]
        for name, values in _counts(past, population.open_rate, day - 1).items():
            counted.setdefault(name, np.full(n, np.nan))[here] = values[place[here]]
    for name, values in counted.items():
        at = rows.column_names.index(name)
        column = pa.array(values, rows[name].type if pa.types.is_floating(rows[name].type) else pa.float64(),
                          from_pandas=True)  # fmt: skip
        rows = rows.set_column(at, name, column)
    behaved = Behaviour(tuple(categories), user, pair)
    for name in USER_NUMBERS:
        rows = rows.append_column(name, pa.array(user[name]))
    own = np.array(
        [categories.index(c) if c in categories else -1 for c in rows["category"].to_pylist()], np.int64
    )
    for name in PAIR_NUMBERS:
        values = np.where(own >= 0, pair[name][np.arange(n), own] if k else np.nan, np.nan)
        rows = rows.append_column(name, pa.array(values.astype(np.float64), from_pandas=True))
    return rows, behaved


def _counts(past: Past, rate: float, day: int) -> dict[str, Floats]:
    """Return the counting features of `user_features` as of a day, (users,), nan for null."""
    days = past.days.filter(_window(past.days, day))
    pushes = past.pushes.filter(_window(past.pushes, day))
    kinds = [pushes.filter(pc.equal(pushes["kind"], kind)) for kind in ("sent", "opened")]
    n = len(past.ordinal)
    arrays = event_features(
        _ints(days["row"]), day - _ints(days["day"]), _ints(days["n_events"]),
        np.asarray(pc.equal(days["event_type"], PURCHASE).to_numpy(zero_copy_only=False)).astype(bool),
        days["value_sum"].to_numpy(), n,
    ) | push_features(
        _ints(kinds[0]["row"]), day - _ints(kinds[0]["day"]), _ints(kinds[1]["row"]),
        day - _ints(kinds[1]["day"]), rate, n,
    )  # fmt: skip
    return {
        name: np.asarray(values.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False))
        for name, values in arrays.items()
    }


def _window(table: pa.Table, day: int) -> pa.Array:
    return pc.and_(pc.less_equal(table["day"], day), pc.greater(table["day"], day - WINDOW_DAYS))


def _ints(column: pa.ChunkedArray) -> Ints:
    return np.asarray(column.to_numpy(), dtype=np.int64)


def hour_offsets(
    lake: Lake, rows: pa.Table, people: pa.Table, catalog: Catalog, *, ds: str, days: int
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
    for day in np.unique(night):
        until = [name for name in known if name <= str(day)]
        commit = lake.require("send_times", ds=until[-1]) if until else None
        if commit is None:
            continue
        used.append(commit)
        here = np.flatnonzero(night == day)
        curves = lake.read(commit, ["ordinal", "workday", "day_off"]).sort_by("ordinal")
        order = curves["ordinal"].to_numpy()
        at = np.minimum(np.searchsorted(order, rows["ordinal"].to_numpy()[here]), len(order) - 1)
        have = order[at] == rows["ordinal"].to_numpy()[here]
        curve = np.hstack([_lists(curves["workday"]), _lists(curves["day_off"])])
        factor = CategoryHours.of(commit.meta)
        names = rows["category"].take(pa.array(here)).to_pylist()
        row = np.array([factor.row.get(name or "", len(factor.factor) - 1) for name in names])
        value = curve[at, cell[here]] * factor.at(row, cell[here], weekday[here])
        offset[here] = np.where(
            have, np.clip(np.log(np.maximum(value, 1e-6)), -OFFSET_RANGE, OFFSET_RANGE), 0.0
        )
    return offset, list({commit.ref: commit for commit in used}.values())


def _lists(column: pa.ChunkedArray) -> Floats:
    return np.asarray(column.combine_chunks().flatten().to_numpy(), np.float64).reshape(-1, CELLS // 2)
