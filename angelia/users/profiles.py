"""Profiles made usable: bad values become null and are counted, and no user is lost.

Grain: user. Pure functions on one shard's rows in ordinal order; reads and writes nothing. Surprise: allowed
values, ranges and patterns are those of the `user_profiles` contract, so a rule changed there changes here.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts.arrow import keeps
from angelia.contracts.core import Column
from angelia.contracts.sources import CHANNELS, USER_PROFILES
from angelia.timing.local_time import resolve_timezones
from angelia.users.suppressions import refusals_of

Counts = dict[str, int]
DAY_US = 86_400_000_000
# Columns that go through unchanged but for their contract's value rules.
_PLAIN = ("gender", "country", "province", "locale", "device_vendor", "membership_level")


def profile_features(
    profiles: pa.Table, ds: date, default_timezone: str
) -> tuple[dict[str, pa.Array], Counts]:
    """Return the profile columns of `user_features`, and the refused values counted by reason.

    Args:
        profiles: n rows with the columns of `user_profiles` but user_id; all null where a user has no
            profile.
        ds: the closed day; a signup after it counts as unknown.
        default_timezone: replaces missing and unknown ones.
    """
    refused: Counts = {}
    columns = {name: _valid(profiles[name].combine_chunks(), USER_PROFILES[name], refused) for name in _PLAIN}
    birth_year = _valid(profiles["birth_year"].combine_chunks(), USER_PROFILES["birth_year"], refused)
    age = pc.subtract(pa.scalar(ds.year, pa.int16()), birth_year)
    columns["age_years"] = pc.if_else(pc.fill_null(pc.less(age, 0), False), pa.scalar(None, pa.int16()), age)
    names = profiles["timezone"].to_pylist()
    zones, unknown = resolve_timezones(names, default_timezone)
    refused["timezone_null"] = names.count(None)
    refused["timezone_unknown"] = int(unknown.sum()) - refused["timezone_null"]
    columns["timezone"] = pa.array(zones, pa.string())
    columns["is_timezone_unknown"] = pa.array(unknown)
    columns["tags"] = profiles["tags"].combine_chunks()
    columns["days_since_signup"] = _days_since(profiles["signup_ts"].combine_chunks(), ds, refused)
    return columns, {reason: count for reason, count in refused.items() if count}


def contact_features(
    user_ids: pa.Array,
    channels: pa.Array,
    refused_channels: pa.Array,
    refused_topics: pa.Array,
    suppressions: pa.Table,
    ds: date,
) -> dict[str, pa.Array]:
    """Return `channels`, `opted_out_topics` and `is_suppressed`.

    Args:
        user_ids: (n,) ids.
        channels: (n,) lists of channels with an active address.
        refused_channels: (n,) lists of channels refused.
        refused_topics: (n,) lists of topics refused.
        suppressions: the whole log; entries after ds, and of single addresses (delivery re-checks those), do
            not count, nor what a person took back later. ds: the closed day.
    """
    end = pa.scalar((np.datetime64(ds) + 1).astype("datetime64[us]").astype(np.int64).item(), pa.int64())
    since = suppressions["since_ts"].cast(pa.int64())
    log = suppressions.filter(pc.less(since, end))
    refusals = refusals_of(log.filter(pc.is_in(log["user_id"], value_set=user_ids)))
    reachable, everywhere = [], []
    for user, have, refused in zip(
        user_ids.to_pylist(), channels.to_pylist(), refused_channels.to_pylist(), strict=True
    ):
        is_out = refusals.closed_everywhere(user)
        is_closed = refusals.has_refused if is_out else refusals.closed
        out = {c for c in have or () if is_closed(user, c)} if refusals else set()
        reachable.append(in_order(set(have or ()) - out.union(refused or ())))
        everywhere.append(is_out)
    return {
        "channels": pa.array(reachable, pa.list_(pa.string())),
        "opted_out_topics": pa.array(
            [sorted(set(topics or ())) for topics in refused_topics.to_pylist()], pa.list_(pa.string())
        ),
        "is_suppressed": pa.array(everywhere, pa.bool_()),
    }


def in_order(channels: Iterable[str]) -> list[str]:
    """Return channels in the order of every list: the known ones, then the others by name."""
    given = set(channels)
    return [name for name in CHANNELS if name in given] + sorted(given.difference(CHANNELS))


def _valid(values: pa.Array, column: Column, refused: Counts) -> pa.Array:
    good = keeps(values, column)
    refused[column.name] = pc.sum(pc.and_not(pc.is_valid(values), good)).as_py() or 0
    return pc.if_else(good, values, pa.scalar(None, values.type))


def _days_since(moments: pa.Array, ds: date, refused: Counts) -> pa.Array:
    """Return whole UTC days from a timestamp's day to ds; null for none and for the future."""
    day = (np.datetime64(ds) - np.datetime64(0, "D")).astype(np.int64).item()
    numbers = pc.floor(pc.divide(pc.cast(moments, pa.int64()).cast(pa.float64()), float(DAY_US))).cast(
        pa.int64()
    )
    days = pc.subtract(pa.scalar(day, pa.int64()), numbers)
    future = pc.fill_null(pc.less(days, 0), False)
    refused["signup_ts"] = pc.sum(future).as_py() or 0
    return pc.if_else(future, pa.scalar(None, pa.int64()), days).cast(pa.int32())
