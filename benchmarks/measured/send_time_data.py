"""Active hours of people: from the simulated world, or from any table of events.

Grain: distinct active hour of a person. The first part of the days is history, the rest is to be predicted.
Folders of KuaiRand and of Online Retail are read as their publishers made them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from angelia.errors import InvalidInput
from angelia.timing.evidence import CELLS, Floats, Ints, LocalClock, active_hours, count_pushes, read_clock
from angelia.timing.local_time import local_grid, resolve_timezones
from angelia.world.activity import organic_day
from angelia.world.clock import day_name, day_number, local
from angelia.world.parameters import parameters
from angelia.world.simulate import simulate
from angelia.world.truth import World, attention, click_probability

COLUMNS = ("user_id", "event_ts", "timezone")
HOUR_US = 3_600_000_000
ANCHOR = "2026-11-14"
WORLD_HISTORY, WORLD_TEST = 28, 7
TEST_DAYS_AT_MOST = 28
KUAIRAND = "log_standard_*.parquet"
RETAIL = {
    "online_retail_ii_2009_2010.parquet": "Customer ID",
    "online_retail_2010_2011_no_invoice.parquet": "CustomerID",
}


@dataclass(frozen=True)
class HoursLog:
    """Active hours (m,) of n people over `days` UTC days, of which the first `cut` are history.

    `date` is the local day, since 1970. `pushes` and `opens` are (quarters, n, 48) of the history's last four
    weeks; `chance` is the true probability of an open, (n, 48): both None outside the world.
    """

    timezones: list[str]
    days: int
    cut: int
    user: Ints
    day: Ints
    cell: Ints
    date: Ints
    left_out: dict[str, int]
    pushes: Floats | None = None
    opens: Floats | None = None
    chance: Floats | None = None

    @property
    def people(self) -> int:
        """Return how many people there are, active or not."""
        return len(self.timezones)

    def counts(self, first: int, last: int, half_life_days: float = np.inf) -> Floats:
        """Return active hours of the days [first, last) by cell, (n, 48), halved towards the past."""
        here = (self.day >= first) & (self.day < last)
        weight = 0.5 ** ((last - 1 - self.day[here]) / half_life_days)
        cell = self.user[here] * CELLS + self.cell[here]
        return np.bincount(cell, weights=weight, minlength=self.people * CELLS).reshape(-1, CELLS)


def log_of(
    clock: LocalClock, timezones: list[str], user: Ints, hour: Ints, cut: int, left_out: dict[str, int]
) -> HoursLog:
    """Return the log of events at UTC hours since 1970."""
    day, rest = np.divmod(hour - clock.first_hour, 24)
    user, day, cell = active_hours(clock, user, day, np.left_shift(1, rest))
    # Once more by hour of the day, to know the local date of each.
    hours = (clock.first_hour + np.arange(24 * len(clock.decay))).astype("datetime64[h]")
    zones = list(dict.fromkeys(timezones))
    dates = local_grid(zones, hours).date.astype(np.int64)
    zone = np.array([zones.index(name) for name in timezones], dtype=np.int64)
    start = day * 24
    # A UTC day touches two local dates; the hour tells which.
    local_hour = cell % 24
    first = local_grid(zones, hours).hour.astype(np.int64)[zone[user], start]
    date = dates[zone[user], start] + (local_hour < first)
    return HoursLog(timezones, len(clock.decay), cut, user, day, cell, date, left_out)


def from_events(table: pa.Table) -> HoursLog:
    """Return the log of a table with `user_id`, `event_ts` and `timezone`.

    Raises:
        InvalidInput: a column is missing or no timestamp, or the table spans less than eight days.
    """
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise InvalidInput(
            f"the table has no column {', '.join(missing)}", fix=f"give it the columns {', '.join(COLUMNS)}"
        )
    if not pa.types.is_timestamp(table["event_ts"].type):
        raise InvalidInput(
            f"event_ts is {table['event_ts'].type}, not a timestamp", fix="write it as 2026-11-14T09:30:00Z"
        )
    whole = table.num_rows
    table = table.select(COLUMNS).filter(
        pc.and_(pc.is_valid(table["user_id"]), pc.is_valid(table["event_ts"]))
    )
    stamps = table["event_ts"].cast(pa.timestamp("us", table["event_ts"].type.tz), safe=False)
    hour = stamps.cast(pa.int64()).to_numpy() // HOUR_US
    codes = table["user_id"].combine_chunks().dictionary_encode()
    user = codes.indices.to_numpy().astype(np.int64)
    last_row = np.zeros(len(codes.dictionary), np.int64)
    last_row[user] = np.arange(len(user))  # a person who moved is where they were last
    zones, is_unknown = resolve_timezones(
        table["timezone"].take(pa.array(last_row)).cast(pa.string()).to_pylist(), "UTC"
    )
    days = int(hour.max() // 24 - hour.min() // 24 + 1) if len(hour) else 0
    if days < 8:
        raise InvalidInput(f"the table spans {days} days", fix="give it at least eight")
    clock = read_clock(zones, [None] * len(zones), np.datetime64(int(hour.max() // 24), "D"), days, np.inf)
    left_out = {"null": whole - table.num_rows, "people_of_unknown_timezone": int(is_unknown.sum())}
    return log_of(clock, zones, user, hour, days - min(TEST_DAYS_AT_MOST, days // 4), left_out)


def read(path: Path) -> HoursLog:
    """Return the log of a file, or of a folder as KuaiRand or Online Retail is published.

    Raises:
        InvalidInput: there is no such file, or it cannot be read.
    """
    if path.is_dir():
        return from_events(_published(path))
    if not path.is_file():
        raise InvalidInput(f"{path} is no file", fix="--data takes `world`, or a Parquet or CSV file")
    try:
        return from_events(pa.csv.read_csv(path) if path.suffix == ".csv" else pq.read_table(path))
    except (pa.ArrowInvalid, OSError):
        raise InvalidInput(
            f"{path} cannot be read", fix="give a Parquet file, or a CSV one that ends in .csv"
        ) from None


def _published(folder: Path) -> pa.Table:
    tables = [
        pa.table(
            {
                "user_id": part["user_id"].cast(pa.string()),
                "event_ts": part["time_ms"].cast(pa.timestamp("ms")),
                "timezone": pa.array(["Asia/Shanghai"] * part.num_rows),
            }
        )
        for part in (pq.read_table(file, columns=["user_id", "time_ms"]) for file in folder.glob(KUAIRAND))
    ]
    for name, customer in RETAIL.items():
        if (folder / name).is_file():
            part = pq.read_table(folder / name, columns=["InvoiceDate", customer])
            # The shop's clock; the hour that happens twice is taken as its first.
            stamps = pc.assume_timezone(
                part["InvoiceDate"], "Europe/London", ambiguous="earliest", nonexistent="latest"
            )
            users = part[customer].cast(pa.int64()).cast(pa.string())
            zone = pa.array(["Europe/London"] * part.num_rows)
            tables.append(
                pa.table(
                    {"user_id": users, "event_ts": stamps.cast(pa.timestamp("ms", "UTC")), "timezone": zone}
                )
            )
    if not tables:
        raise InvalidInput(
            f"{folder} holds neither KuaiRand nor Online Retail",
            fix=f"give a file with the columns {', '.join(COLUMNS)}",
        )
    return pa.concat_tables([table.cast(_EVENTS) for table in tables])


_EVENTS = pa.schema(
    [("user_id", pa.string()), ("event_ts", pa.timestamp("ms", "UTC")), ("timezone", pa.string())]
)


def from_world(seed: int, users: int, quarters: int) -> HoursLog:
    """Return four weeks of a simulated world, a week of visits to predict, and the truth."""
    last = day_number(ANCHOR)
    world = World(seed, users, last)
    person = world.people(np.arange(users))
    zones = [parameters().timezones[code] for code in person.timezone.tolist()]
    days, end = WORLD_HISTORY + WORLD_TEST, day_name(last + WORLD_TEST)
    lived = list(simulate(world, person, last - WORLD_HISTORY + 1, last))
    events = [day.events for day in lived] + [
        organic_day(person, day) for day in range(last + 1, last + WORLD_TEST + 1)
    ]
    clock = read_clock(zones, [None] * users, np.datetime64(end, "D"), days, np.inf)
    user, hour = (
        np.concatenate(values) for values in ([e.row for e in events], [e.at // 3600 for e in events])
    )
    log = log_of(clock, zones, user.astype(np.int64), hour, WORLD_HISTORY, {})
    past = read_clock(zones, [None] * users, np.datetime64(ANCHOR, "D"), WORLD_HISTORY, 14.0)
    sent = [
        np.concatenate(v)
        for v in zip(
            *[(d.pushes.row, d.pushes.at // 3600, d.pushes.slot_propensity) for d in lived], strict=True
        )
    ]
    opened = np.concatenate(
        [(d.answers.opened_at >= 0) & (d.answers.opened_at - d.pushes.at <= 86_400) for d in lived]
    )
    scale = _scale(past, sent)
    counted = [
        np.stack(
            [
                count_pushes(past, *rows, first=first, last=stop).weighted(scale)
                for first, stop in spans(WORLD_HISTORY, quarters)
            ]
        )
        for rows in (sent, [values[opened] for values in sent])
    ]
    return HoursLog(
        **{**vars(log), "pushes": counted[0], "opens": counted[1], "chance": truth(world, last + 1)}
    )


def _scale(clock: LocalClock, sent: Sequence[np.ndarray]) -> float:
    counted = count_pushes(clock, *sent)
    return float(counted.known_plain.sum() / counted.known.sum()) if counted.known.any() else 1.0


def spans(days: int, quarters: int) -> list[tuple[int, int]]:
    """Return the days [first, last) of each quarter of a window."""
    cuts = [days * quarter // quarters for quarter in range(quarters + 1)]
    return list(itertools.pairwise(cuts))


def truth(world: World, first_day: int) -> Floats:
    """Return the mean true chance of an open over a week and all categories, by cell, (n, 48)."""
    person = world.people(np.arange(world.users))
    rows, kinds = np.arange(world.users), range(len(parameters().categories))
    total, n = np.zeros((2, world.users, CELLS))
    for number in range(24 * first_day, 24 * (first_day + WORLD_TEST)):
        hour = np.full(world.users, number)
        clock = local(person, rows, hour)
        see = -np.expm1(-attention(person, rows, hour).sum(axis=1))
        flat = np.zeros(world.users)
        click = sum(click_probability(person, rows, rows * 0 + kind, flat, hour, 0.0, 0.0) for kind in kinds)
        cell = clock.hour + 24 * clock.is_day_off
        total[rows, cell] += see * click / len(kinds)
        n[rows, cell] += 1
    return np.asarray(total / np.maximum(n, 1))
