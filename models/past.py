"""Describe examples by the days before each push and its hour, and read unsent draws.

Grain: example. Reads user_days, user_pushes, send_times, decisions. No leakage: the numbers of a push are as
of the day before it was sent, its curve is the newest one up to the night that planned it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from angelia.catalog.snapshot import Catalog
from angelia.contracts import dataset
from angelia.contracts.ids import uniform
from angelia.contracts.sending import PLAN_HOURS
from angelia.lake import Commit, Lake
from angelia.users.history import PURCHASE, event_features, push_features
from models.answering.older import older_answers
from models.behaviour import DAY_US, PAIR_NUMBERS, USER_NUMBERS, WINDOW_DAYS, Behaviour, Population, behaviour
from models.taste import LOOK_COLUMNS, PastLooks

HOUR_US = 3_600_000_000
LEAD_HOURS = 28  # a push sent within 28 hours of a day's start was planned the night before that
MAX_DRAWS = 300_000  # of more, a hash-chosen share of the users counts; several are drawn for each one sent
_DRAW = ("message_id", "campaign_id", "material_id", "material_propensity", "eligible")
Describe = Callable[[pa.Table], tuple[pa.Table, Behaviour]]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PastRows:
    """Rows of user_days and user_pushes: `row` = place in `ordinal`, `day` since 1970.

    `looks` is what is kept of the days before them.
    """

    ordinal: Ints
    days: pa.Table
    pushes: pa.Table
    commits: list[Commit]
    looks: PastLooks | None = None


def read_past(
    lake: Lake, ds: str, n_days: int, ordinal: npt.ArrayLike, looks_by: str | None = None
) -> PastRows:
    """Return at least so many days up to ds of the users with these ordinals.

    Days are read from the newest record of looks up to `looks_by` on, if there is one; without one, pushes
    of a year before them are counted.
    """
    order = np.unique(np.asarray(ordinal, dtype=np.int64))
    last = date.fromisoformat(ds)
    kept = [leaf["ds"] for leaf in lake.partitions("user_looks") if leaf["ds"] <= (looks_by or "")]
    record = lake.head("user_looks", ds=kept[-1]) if kept else None
    looks = None
    # The record knows nothing after its own day, so all days since are read, even more than were asked for.
    if record is not None:
        day = date.fromisoformat(record.partition["ds"])
        n_days = max(n_days, (last - day).days)
        looks = PastLooks.of(lake.read(record, LOOK_COLUMNS), order, day=(day - date(1970, 1, 1)).days)
    tables: dict[str, list[pa.Table]] = {"user_days": [], "user_pushes": []}
    columns = {
        "user_days": ["ordinal", "event_type", "item", "n_events", "value_sum", "hours"],
        "user_pushes": ["ordinal", "kind", "material_id", "sent_ts"],
    }
    commits: list[Commit] = [record] if record is not None else []
    if record is None and looks_by:
        looks, commits = older_answers(lake, order, last=(last - timedelta(days=n_days)).isoformat())
    for back in range(n_days):
        day = last - timedelta(days=back)
        for name, parts in tables.items():
            commit = lake.head(name, ds=day.isoformat())
            if commit is not None:
                commits.append(commit)
                number = (day - date(1970, 1, 1)).days
                keep = partial(placed, order=order, day=number)
                parts.append(lake.read(commit, columns[name], keep=keep))
    return PastRows(order, _joined(tables["user_days"]), _joined(tables["user_pushes"]), commits, looks)


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


def population_of(train: pa.Table, past: PastRows, people: pa.Table) -> Population:
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
    return population.knowing(past.days, _whose(past, people), day=last, before=past.looks)


def _whose(past: PastRows, people: pa.Table) -> pa.Table:
    return people.take(pa.array(np.searchsorted(people["ordinal"].to_numpy(), past.ordinal)))


def with_behaviour(
    rows: pa.Table, past: PastRows, people: pa.Table, catalog: Catalog, population: Population
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
    # Day by day: each push sees what was known the day before, never what its open made known.
    for day in np.unique(sent_day).tolist():
        here = np.flatnonzero(sent_day == day)
        size = len(past.ordinal)
        known = behaviour(
            past.days, past.pushes, category_of, population, day=day - 1, n=size, users=whose,
            asked=np.unique(place[here]), before=past.looks,
        )  # fmt: skip
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


def _counts(past: PastRows, rate: float, day: int) -> dict[str, Floats]:
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


@dataclass(frozen=True)
class Logged:
    """The rounds that a policy is judged on.

    Attributes:
        rows: as of `Examples`. behaviour: of the same rows. reward: (n,) 1 if opened, 0 if not or never sent.
        n_unsent: how many of them were drawn and not sent.
        chosen_from: (n,) place in `sets` of what the draw could choose from; -1 = no plan says.
        sets: material ids. left_out: pushes and draws that take no part, by reason.
    """

    rows: pa.Table
    behaviour: Behaviour
    reward: npt.NDArray[np.float64]
    n_unsent: int
    chosen_from: Ints
    sets: tuple[tuple[str, ...], ...]
    left_out: dict[str, int]


def read_rounds(
    lake: Lake, rows: pa.Table, behaviour: Behaviour, *, until: int, share: float, describe: Describe
) -> tuple[Logged, list[Commit]]:
    """Return the rounds of the pushes' days, and the plans read.

    A plan draws a material for each pair it considers and sends only some: the sent ones alone are a choice
    that looked at the scores, and an estimate from them is biased. So a night counts as a whole, and what was
    drawn and not sent has the reward 0. Pushes of a night of which only a part is among the examples take no
    part (`night_cut`), nor do those of a plan that does not tell what it chose from (`no_choice_set`); those
    of no known plan (a history that was drawn otherwise) count as they are.

    Args:
        lake: where the decisions are.
        rows: the latest examples, in time order.
        behaviour: of their people.
        until: when the examples end, microseconds since 1970.
        share: of the users that the examples are drawn from.
        describe: makes examples of pushes, and tells their people's behaviour.
    """
    since, pushed = int(rows["sent_us"][0].as_py()), pc.unique(rows["message_id"])
    plans = plans_between(lake, since, until)
    share = min(share, MAX_DRAWS / max(2 * sum(commit.rows for _, commit in plans), 1))
    unsent, cut = [], []
    sets: dict[tuple[str, ...], int] = {}
    known: list[tuple[pa.Array, Ints]] = [(pa.array([], pa.string()), np.zeros(0, np.int64))]
    left_out: Counter[str] = Counter()
    for start, commit in plans:
        drawn = read_draws(lake, commit, share)
        is_cut = start < since or start + PLAN_HOURS * HOUR_US > until
        places = None if is_cut else set_places(drawn, commit.meta.get("materials"), sets)
        if places is None:
            # What was sent of it is counted below.
            is_sent = pc.sum(pc.is_in(drawn["message_id"], value_set=pushed)).as_py() or 0
            left_out["night_cut" if is_cut else "no_choice_set"] += drawn.num_rows - is_sent
            cut.append(("night_cut" if is_cut else "no_choice_set", drawn["message_id"]))
            continue
        known.append((drawn["message_id"].combine_chunks(), places))
        drawn = drawn.drop_columns(["eligible"]).filter(
            pc.invert(pc.is_in(drawn["message_id"], value_set=pushed))
        )
        unsent.append(drawn.append_column("sent_us", pa.array(np.full(drawn.num_rows, start, np.int64))))
    keep = np.ones(rows.num_rows, bool)
    if plans:
        # One share of the users for what was sent and what was not, or the mixture would be another one.
        keep &= _is_sampled(rows["ordinal"], share)
        left_out["not_sampled"] += int((~keep).sum())
    for reason, ids in cut:
        gone = keep & np.asarray(pc.is_in(rows["message_id"], value_set=ids.combine_chunks()))
        left_out[reason] += int(gone.sum())
        keep &= ~gone
    kept = np.flatnonzero(keep)
    rows, behaviour = rows.take(pa.array(kept)), behaviour.pick(kept)
    reward, n = rows["label"].to_numpy().astype(np.float64), 0
    if sum(table.num_rows for table in unsent):
        more, theirs = describe(pa.concat_tables(unsent))
        n = more.num_rows
        rows = pa.concat_tables([rows, more.select(rows.column_names).cast(rows.schema)])
        behaviour, reward = behaviour.and_(theirs), np.concatenate([reward, np.zeros(n)])
        left_out["no_features"] += sum(table.num_rows for table in unsent) - n
    ids = pa.concat_arrays([ids for ids, _ in known])
    places = np.append(np.concatenate([places for _, places in known]), -1)
    at = pc.fill_null(pc.index_in(rows["message_id"], value_set=ids), -1).to_numpy()
    reasons = {reason: count for reason, count in sorted(left_out.items()) if count}
    logged = Logged(rows, behaviour, reward, n, places[at], tuple(sets), reasons)
    return logged, [commit for _, commit in plans]


def set_places(
    drawn: pa.Table, materials: Mapping[str, Sequence[str]] | None, sets: dict[tuple[str, ...], int]
) -> Ints | None:
    """Return each draw's place in `sets`, which grows.

    None where the plan does not tell what it chose from. `materials` is its order of bits, by campaign.
    """
    if materials is None or drawn["eligible"].null_count:
        return None
    pairs = [drawn[name].combine_chunks().dictionary_encode() for name in ("campaign_id", "eligible")]
    code = pairs[0].indices.to_numpy().astype(np.int64) * (len(pairs[1].dictionary) + 1)
    different, where = np.unique(code + pairs[1].indices.to_numpy(), return_inverse=True)
    place = np.zeros(len(different), np.int64)
    for number, pair in enumerate(different.tolist()):
        campaign, bits = divmod(pair, len(pairs[1].dictionary) + 1)
        names = materials[pairs[0].dictionary[campaign].as_py()]
        may = np.unpackbits(np.frombuffer(pairs[1].dictionary[bits].as_py(), np.uint8), count=len(names))
        chosen = tuple(name for name, bit in zip(names, may.tolist(), strict=True) if bit)
        place[number] = sets.setdefault(chosen, len(sets))
    return place[where]


def plans_between(lake: Lake, since: int, until: int) -> list[tuple[int, Commit]]:
    """Return when each plan with an hour in [since, until) begins, and its commit."""
    plans = []
    for part in lake.partitions("decisions"):
        day = (date.fromisoformat(part["ds"]) - date(1970, 1, 1)).days
        start = (24 * day + LEAD_HOURS) * HOUR_US
        if start < until and start + PLAN_HOURS * HOUR_US > since:
            commit = lake.head("decisions", ds=part["ds"])
            if commit is not None:
                plans.append((start, commit))
    return plans


def read_draws(lake: Lake, commit: Commit, share: float) -> pa.Table:
    """Return a plan's draws of known propensity, of a share of the users."""

    def keep(table: pa.Table) -> pa.Table:
        return table.filter(pa.array(_is_sampled(table["ordinal"], share)))

    table = lake.read(commit, ["ordinal", "choices"], keep=keep).combine_chunks()
    if not table.num_rows:
        fields = {name: dataset("decisions")["choices"].type.value_type.field(name).type for name in _DRAW}
        return pa.schema([("ordinal", pa.uint32()), *fields.items()]).empty_table()
    lists = table["choices"].combine_chunks()
    flat, owner = lists.flatten(), lists.value_parent_indices()
    # Plans of before the choice sets were kept have no such field.
    absent = {name for name in _DRAW if flat.type.get_field_index(name) < 0}
    draws = pa.table(
        {
            "ordinal": table["ordinal"].take(owner),
            **{
                name: pa.nulls(len(flat), pa.binary()) if name in absent else pc.struct_field(flat, name)
                for name in _DRAW
            },
        }
    )
    return draws.filter(pc.greater(draws["material_propensity"], 0.0))


def _is_sampled(ordinal: pa.ChunkedArray, share: float) -> npt.NDArray[np.bool_]:
    keys = ordinal.to_numpy().astype(np.uint64)
    return np.asarray(uniform(keys, "models", "sample") < share)
