"""Moments as SQL: what a file holds becomes a moment in UTC, or a reason.

A zone that a value carries is obeyed, whatever the mapping says; one that is not known rejects the row. Only
a moment that carries none is of the mapping's zone. Surprise: abbreviations (CET, IST) are no zones here,
since several places share one and a table would guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from angelia.contracts.duckdb import literal
from angelia.importing.layers import Layers, cast
from angelia.importing.mapping import Timestamp

_MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}
# Seconds of our days that are read as milliseconds lie in January 1970; 0 is what systems write for never.
_FIRST_MICROSECOND = 31_536_000_000_000  # 1971-01-01
_LAST_MICROSECOND = 7_258_118_400_000_000  # 2200-01-01
# day, clock, zone; a word after the clock is a zone or nothing that is read
_ISO = (
    r"^(\d{4,6}[-/]\d{1,2}[-/]\d{1,2})"
    r"(?:[Tt ]\s*(\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?)"
    r"\s*([A-Za-z][A-Za-z0-9_+:/-]*|[+-]\d{1,2}(?::?\d{2}){0,2})?(?:\[[^\]]*\])?)?$"
)
_OFFSET = r"^(?:UTC|GMT)?([+-])(0?\d|1[0-5])(?::?([0-5]\d))?(?::?([0-5]\d))?$"


@dataclass(frozen=True)
class Moment:
    """The step of a moment as naive UTC, and that of the condition that its zone is not known."""

    step: str
    unknown_zone: str | None = None


def moment(
    layers: Layers,
    step: str,
    kind: str,
    rule: Timestamp,
    timezone: str,
    date_format: Sequence[str] | None = None,
) -> Moment:
    """Compile a moment (or, for days_before_ds, the number of days) of an SQL type.

    Args:
        date_format: of the file's texts, unless the rule gives one.
        timezone: of moments that carry none, unless the rule names another.
    """
    if kind.startswith("TIMESTAMP WITH"):  # typed and zoned: nothing is left to interpret
        return Moment(layers.add(f"timezone('UTC', {step})", [step]))
    if kind in ("TIMESTAMP", "DATE"):
        zone = layers.bind(rule.timezone or timezone)
        return Moment(layers.add(f"timezone('UTC', timezone({zone}, CAST({step} AS TIMESTAMP)))", [step]))
    if rule.unit == "days_before_ds":
        return Moment(layers.add(f"{cast(step, 'INTEGER')}", [step]))
    if rule.unit == "excel_days":
        return Moment(_of_serial_days(layers, step, rule.timezone or timezone))
    if rule.unit != "iso":
        return Moment(_of_number(layers, step, _MICROSECONDS[rule.unit]))
    if formats := rule.date_format or date_format:
        return Moment(_of_format(layers, step, formats, rule.timezone or timezone))
    return _of_text(layers, step, rule.timezone or timezone)


def _of_number(layers: Layers, step: str, factor: int) -> str:
    # Whole numbers stay exact; only seconds with a fraction go through a double.
    whole = (
        f"TRY_CAST({step} AS BIGINT) * {factor}"
        if factor != _MICROSECONDS["s"]
        else f"CAST(round(TRY_CAST({step} AS DOUBLE) * {factor}) AS BIGINT)"
    )
    number = layers.add(f"TRY({whole})", [step])
    return layers.add(
        f"CASE WHEN {number} = 0 OR {number} BETWEEN {_FIRST_MICROSECOND} AND {_LAST_MICROSECOND} "
        f"THEN make_timestamp({number}) END",
        [number],
    )


def _of_serial_days(layers: Layers, step: str, timezone: str) -> str:
    """Count days since 1899-12-30, as spreadsheets do from March 1900 on.

    Source: ECMA-376 part 1, 18.17.4.1.
    """
    days = layers.add(f"TRY_CAST({step} AS DOUBLE)", [step])
    # A double of days is exact to less than a millisecond, and what people typed to the second.
    local = layers.add(
        f"CASE WHEN {days} BETWEEN 61 AND 109574 THEN TIMESTAMP '1899-12-30' + "
        f"to_milliseconds(CAST(round({days} * 86400000) AS BIGINT)) END",
        [days],
    )
    return layers.add(f"timezone('UTC', timezone({layers.bind(timezone)}, {local}))", [local])


def _of_format(layers: Layers, step: str, formats: Sequence[str], timezone: str) -> str:
    text = layers.add(f"trim(CAST({step} AS VARCHAR))", [step])
    # The engine wants constant formats; they hold no more than the mapping's letters and signs.
    listed = ", ".join(literal(text) for text in formats)
    read = layers.add(f"TRY_STRPTIME({text}, [{listed}])", [text])
    if any("%z" in text or "%Z" in text for text in formats):
        return layers.add(f"timezone('UTC', CAST({read} AS TIMESTAMPTZ))", [read])
    return layers.add(f"timezone('UTC', timezone({layers.bind(timezone)}, {read}))", [read])


def _of_text(layers: Layers, step: str, timezone: str) -> Moment:
    text = layers.add(f"replace(trim(CAST({step} AS VARCHAR)), '\u2212', '-')", [step])
    parts = layers.add(f"regexp_extract({text}, {layers.bind(_ISO)}, ['day', 'clock', 'zone'])", [text])
    local = layers.add(f"trim({parts}.day || ' ' || replace({parts}.clock, ',', '.'))", [parts])
    # Am and pm are no zones: without them the evening would be the morning.
    has_zone = layers.add(f"upper({parts}.zone) NOT IN ('', 'AM', 'PM')", [parts])
    offset = layers.add(
        f"regexp_extract(upper({parts}.zone), {layers.bind(_OFFSET)}, ['sign', 'h', 'm', 's'])", [parts]
    )
    suffix = layers.add(
        f"CASE WHEN upper({parts}.zone) IN ('Z', 'UTC', 'GMT', 'UCT', 'ZULU') THEN '+00:00' "
        f"WHEN {offset}.h <> '' THEN concat({offset}.sign, lpad({offset}.h, 2, '0'), ':', "
        f"lpad({offset}.m, 2, '0'), ':', lpad({offset}.s, 2, '0')) "
        f"WHEN contains({parts}.zone, '/') THEN ' ' || {parts}.zone END",
        [parts, offset],
    )
    zoned = layers.add(f"timezone('UTC', TRY_CAST({local} || {suffix} AS TIMESTAMPTZ))", [local, suffix])
    plain = layers.add(
        f"TRY_CAST(CASE WHEN lower({text}) IN ('infinity', '-infinity') THEN {text} ELSE {local} END "
        "AS TIMESTAMP)",
        [text, local],
    )
    made = layers.add(
        f"CASE WHEN {has_zone} THEN {zoned} WHEN {parts}.zone = '' "
        f"THEN timezone('UTC', timezone({layers.bind(timezone)}, {plain})) END",
        [has_zone, zoned, parts, plain],
    )
    unknown = layers.add(f"{has_zone} AND {plain} IS NOT NULL AND {zoned} IS NULL", [has_zone, plain, zoned])
    return Moment(made, layers.add(f"coalesce({unknown}, false)", [unknown]))
