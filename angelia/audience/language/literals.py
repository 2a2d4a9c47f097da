"""Bind a literal to the type it is compared with: number, text, flag, date, interval."""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal, InvalidOperation

from sqlglot import exp

from angelia.audience.language.errors_at import error_at
from angelia.audience.language.fields import FIELDS, FieldKind
from angelia.audience.language.nodes import DateValue, FieldTerm, SumEvents, Term, Value

MAX_NUMBER = 10**15
MAX_SHIFT_DAYS = 100_000
FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2200, 1, 1)
_UNITS = {"DAY": 1, "DAYS": 1, "WEEK": 7, "WEEKS": 7}


def position(expression: exp.Expression, default: int = 0) -> int:
    """Return the offset of the first character sqlglot knows the place of, within `expression`."""
    starts = [node.meta["start"] for node in expression.walk() if "start" in node.meta]
    return min(starts, default=default)


def bind_value(text: str, term: Term, expression: exp.Expression, offset: int) -> Value:
    """Return the literal as a value of the term's type.

    Raises:
        InvalidInput: another type, NULL, NaN, out of range, or not a literal at all.
    """
    expression = expression.unnest()
    if isinstance(expression, exp.Null):
        raise error_at(text, offset, "a comparison with NULL is never true", f"write {term.sql()} IS NULL")
    kind = kind_of(term)
    if kind is FieldKind.DATE:
        return _date(text, expression, offset)
    if kind is FieldKind.FLAG:
        if isinstance(expression, exp.Boolean):
            return bool(expression.this)
        raise error_at(text, offset, f"{term.sql()} is TRUE or FALSE")
    if kind in (FieldKind.TEXT, FieldKind.SET):
        return _text(text, term, expression, offset)
    days = interval_days(text, expression, offset)
    if days is not None:
        if not term.sql().startswith("days_since"):
            raise error_at(text, offset, f"{term.sql()} is a number, not a time span")
        return days
    return _number(text, term, expression, offset, real=kind is FieldKind.REAL)


def kind_of(term: Term) -> FieldKind:
    """Return how a term's values compare."""
    if isinstance(term, FieldTerm):
        return FIELDS[term.name].kind
    return FieldKind.REAL if isinstance(term, SumEvents) else FieldKind.INTEGER


def _text(text: str, term: Term, expression: exp.Expression, offset: int) -> str:
    if not isinstance(expression, exp.Literal) or not expression.is_string:
        raise error_at(text, offset, f"{term.sql()} is a text", "quote the value with '")
    value = str(expression.this)
    allowed = FIELDS[term.name].allowed if isinstance(term, FieldTerm) else None
    if allowed and value not in allowed:
        raise error_at(text, offset, f"{term.sql()} is never {value!r}", f"it is one of {', '.join(allowed)}")
    return value


def _number(text: str, term: Term, expression: exp.Expression, offset: int, *, real: bool) -> int | float:
    sign, inner = 1, expression
    while isinstance(inner, exp.Neg):
        sign, inner = -sign, inner.this.unnest()
    if isinstance(inner, exp.Column) and inner.name.lower() in ("nan", "inf", "infinity"):
        raise error_at(text, offset, f"{inner.name} is not a number people can have")
    if not isinstance(inner, exp.Literal) or inner.is_string:
        raise error_at(text, offset, f"{term.sql()} is a number", "compare it with a number, without quotes")
    try:
        number = sign * Decimal(inner.this)
    except InvalidOperation:
        raise error_at(text, offset, f"{inner.this!r} is not a number") from None
    except ArithmeticError:  # more digits before the point than a decimal can have
        number = Decimal("inf")
    if not number.is_finite() or abs(number) > MAX_NUMBER:
        raise error_at(
            text,
            offset,
            f"{inner.this} is out of range",
            f"numbers are between -{MAX_NUMBER:g} and {MAX_NUMBER:g}",
        )
    if not real and number == number.to_integral_value():
        return int(number)
    value = float(number)
    return value if math.isfinite(value) else 0.0


def interval_days(text: str, expression: exp.Expression, offset: int) -> int | None:
    """Return the whole days of an INTERVAL literal, None if it is something else."""
    if not isinstance(expression, exp.Interval):
        return None
    unit = expression.args.get("unit")
    name = unit.name.upper() if unit is not None else "DAY"
    if name not in _UNITS:
        raise error_at(text, offset, f"intervals are in days or weeks, not {name}", "INTERVAL '30' DAY")
    amount = expression.this
    try:
        days = int(str(amount.this if isinstance(amount, exp.Literal) else "")) * _UNITS[name]
    except ValueError:
        raise error_at(
            text, offset, "an interval is a whole number of days or weeks", "INTERVAL '30' DAY"
        ) from None
    if not 0 <= days <= MAX_SHIFT_DAYS:
        raise error_at(text, offset, "the interval is out of range", f"at most {MAX_SHIFT_DAYS:,} days")
    return days


def _date(text: str, expression: exp.Expression, offset: int) -> DateValue:
    if isinstance(expression, exp.Add | exp.Sub):
        base = _date(text, expression.this.unnest(), offset)
        days = interval_days(text, expression.expression.unnest(), offset)
        if days is None:
            raise error_at(text, offset, "a day is moved by an interval", "CURRENT_DATE - INTERVAL '30' DAY")
        shift = base.shift_days + (days if isinstance(expression, exp.Add) else -days)
        if abs(shift) > MAX_SHIFT_DAYS:
            raise error_at(text, offset, "the interval is out of range", f"at most {MAX_SHIFT_DAYS:,} days")
        return DateValue(base.base, shift)
    if isinstance(expression, exp.CurrentDate):
        return DateValue(None)
    if isinstance(expression, exp.Cast) and expression.to.is_type("date"):
        expression = expression.this
    if not isinstance(expression, exp.Literal) or not expression.is_string:
        raise error_at(
            text, offset, "a day is needed here", "DATE '2026-11-14', or CURRENT_DATE for the index's day"
        )
    try:
        day = date.fromisoformat(expression.this)
    except ValueError:
        raise error_at(
            text, offset, f"{expression.this!r} is not a day", "write it as DATE '2026-11-14'"
        ) from None
    if not FIRST_DAY <= day <= LAST_DAY:
        raise error_at(text, offset, f"{day} is out of range", f"days are between {FIRST_DAY} and {LAST_DAY}")
    return DateValue(day)
