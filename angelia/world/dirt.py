"""Spoil an exact small share of rows, as real sources do. Grain: row.

The dirt stays within what the contracts tolerate. Shares are percent of a file's rows, rounded down, so the
files of small worlds are clean. Two kinds of dirt never meet in one row.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from angelia.world import draws
from angelia.world.draws import Ints, Keys
from angelia.world.parameters import parameters

_DAY_US = 86_400_000_000
_BAD_IDS = (None, "", "id with blanks", "null;--")
_BAD_TIMEZONES = ("GMT+8 Beijing", "Asia/Shangai", "Local", "PST8")
_BAD_ADDRESSES = ("", "token\twith\ttabs", "line\nbreak")


def soil_profiles(table: pa.Table, keys: Keys) -> pa.Table:
    """Return profiles with bad timezones, years, words and ids, and with repeated people."""
    return _soil(
        table,
        keys,
        "profiles",
        {
            "timezone_null": _cycle("timezone", (None,)),
            "timezone_unknown": _cycle("timezone", _BAD_TIMEZONES),
            "birth_year": _cycle("birth_year", (0, 1850, 2199)),
            "gender": _cycle("gender", ("unknown", "F")),
            "country": _cycle("country", ("China", "uk", "??")),
            "locale": _cycle("locale", ("EN_us", "zh_CN.utf8")),
            "user_id": _cycle("user_id", _BAD_IDS),
        },
    )


def soil_endpoints(table: pa.Table, keys: Keys) -> pa.Table:
    """Return endpoints with malformed addresses, bad ids and repeated rows."""
    return _soil(
        table,
        keys,
        "endpoints",
        {"address": _cycle("address", _BAD_ADDRESSES), "user_id": _cycle("user_id", _BAD_IDS)},
    )


def soil_preferences(table: pa.Table, keys: Keys) -> pa.Table:
    """Return preferences with bad ids and repeated rows."""
    return _soil(table, keys, "preferences", {"user_id": _cycle("user_id", _BAD_IDS)})


def soil_events(table: pa.Table, keys: Keys, size: int) -> pa.Table:
    """Return events with repeats, bad users, words and amounts, and times in the future.

    `size` is the population, so that unknown users can be invented.
    """
    unknown = tuple(f"u{size + 5_000_000 + k:07d}" for k in range(7))

    def future(table: pa.Table, rows: Ints) -> pa.Table:
        shift = np.zeros(len(table), dtype=np.int64)
        shift[rows] = 4 * _DAY_US
        at = pc.add(table["event_ts"].cast(pa.int64()), pa.array(shift)).cast(
            table.schema.field("event_ts").type
        )
        return table.set_column(table.schema.get_field_index("event_ts"), "event_ts", at)

    return _soil(
        table,
        keys,
        "events",
        {
            "user_id": _cycle("user_id", _BAD_IDS),
            "unknown_user": _cycle("user_id", unknown),
            "event_type": _cycle("event_type", ("Page View", "")),
            "item": _cycle("item", ("Camera & Photo", "0x7f")),
            "value": _cycle("value", (-1e15, 1e15)),
            "future": future,
        },
    )


def _cycle(column: str, values: tuple[object, ...]) -> Callable[[pa.Table, Ints], pa.Table]:
    """Return a function that writes `values` in turn into the given rows of a column."""

    def spoil(table: pa.Table, rows: Ints) -> pa.Table:
        place = table.schema.get_field_index(column)
        kind = table.schema.field(column).type
        mask = np.zeros(len(table), dtype=bool)
        mask[rows] = True
        bad = pa.array([values[k % len(values)] for k in range(len(rows))], kind)
        spoiled = pc.replace_with_mask(table[column].combine_chunks(), pa.array(mask), bad)
        return table.set_column(place, table.schema.field(column), spoiled)

    return spoil


def _soil(
    table: pa.Table, keys: Keys, name: str, spoilers: dict[str, Callable[[pa.Table, Ints], pa.Table]]
) -> pa.Table:
    shares: dict[str, float] = getattr(parameters().dirt, name)
    order = np.argsort(draws.uniform(keys, "dirt", name), kind="stable")
    used, clean = 0, table
    for kind, spoil in spoilers.items():
        size = int(len(table) * shares[kind] / 100.0)
        if size:
            table = spoil(table, np.sort(order[used : used + size]))
        used += size
    repeats = np.sort(order[used : used + int(len(clean) * shares["duplicate"] / 100.0)])
    return (
        pa.concat_tables([table, clean.take(pa.array(repeats))]).combine_chunks() if len(repeats) else table
    )
