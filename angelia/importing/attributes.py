"""Attributes of people in other spellings become what the contract asks for.

`de_DE` is `de-DE`, and `GMT+1` a name of IANA's. Pure functions on one text, and the statement that applies
them to a mapped table, once for each different value. What cannot be read stays as it is, and is judged by
the contract.
"""
# ruff: noqa: S608 - statements are made of quoted identifiers and names of our own.

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache

import duckdb
import pyarrow as pa

from angelia.contracts.duckdb import identifier
from angelia.importing.mapping import Output
from angelia.timing.local_time import known_timezones

# Language, script, region (BCP 47), with `_` as POSIX and Java write it, and Java's `#Hant` at the end.
_TAG = re.compile(
    r"([a-z]{2,3})(?:-([a-z]{4}))?(?:-([a-z]{2}|\d{3}))?(?:-#([a-z]{4}))?(?:-[a-z0-9#-]*)?", re.IGNORECASE
)
_OFFSET = re.compile(r"(?:UTC|GMT)?\s*([+-])(0?\d|1[0-4])(?::?00)?", re.IGNORECASE)


def normal_locale(text: str) -> str | None:
    """Return a language tag as language, script and region; None for what is none.

    `de_DE.UTF-8` is `de-DE`, `zh-hant-tw` is `zh-Hant-TW`. Variants and extensions choose no text, so they
    are left out.
    """
    tag = _TAG.fullmatch(re.split(r"[.@]", text.strip())[0].replace("_", "-"))
    if tag is None:
        return None
    script, region = tag[2] or tag[4], tag[3]
    return "-".join(
        part for part in (tag[1].lower(), script and script.title(), region and region.upper()) if part
    )


def normal_timezone(text: str) -> str | None:
    """Return an IANA name; None for what stands for none.

    `europe/berlin` is `Europe/Berlin`, `GMT+1` the name of that offset.
    """
    name = text.strip()
    if name in known_timezones():
        return name
    offset = _OFFSET.fullmatch(name)
    if offset is None:
        return _spelled().get(name.lower())
    hours = int(offset[2])
    # POSIX counts west of Greenwich: an hour ahead of UTC is called Etc/GMT-1.
    return f"Etc/GMT{'-' if offset[1] == '+' else '+'}{hours}" if hours else "Etc/UTC"


@cache
def _spelled() -> Mapping[str, str]:
    return {name.lower(): name for name in known_timezones()}


NORMAL: Mapping[str, Callable[[str], str | None]] = {"locale": normal_locale, "timezone": normal_timezone}


def normalise(connection: duckdb.DuckDBPyConnection, output: Output, table: str) -> None:
    """Rewrite the attributes of profiles in a mapped table."""
    if output.dataset != "user_profiles":
        return
    for name in NORMAL.keys() & output.columns.keys():
        column = identifier(name)
        values = connection.sql(
            f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL"
        ).fetchall()
        changed = {old: new for (old,) in values if (new := NORMAL[name](old)) not in (None, old)}
        if changed:
            pairs = pa.table({"old": list(changed), "new": list(changed.values())})
            connection.register("spellings", pairs)
            connection.execute(f"UPDATE {table} SET {column} = new FROM spellings WHERE {column} = old")
            connection.unregister("spellings")
