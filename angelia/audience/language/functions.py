"""Functions of the predicate language: signatures, argument checks, and what they bind to."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass

from sqlglot import exp

from angelia.audience.language import nodes
from angelia.audience.language.errors_at import error_at
from angelia.audience.language.literals import interval_days, position
from angelia.contracts.sources import CHANNEL, CHANNELS, NAME

_NAME = re.compile(NAME)
Bound = nodes.Node | nodes.Term


@dataclass(frozen=True)
class Function:
    """One function: how it is written, and how its arguments are bound."""

    usage: str
    bind: Callable[[_Arguments], Bound]


def is_function(expression: exp.Expression) -> bool:
    """Return whether this is a call of one of the language's functions."""
    return isinstance(expression, exp.Anonymous) and expression.name.lower() in FUNCTIONS


def bind_function(text: str, expression: exp.Expression, history_days: int) -> Bound:
    """Return the term or condition a call stands for (an `InAudience` still unresolved).

    Raises:
        InvalidInput: wrong number or type of arguments.
    """
    name = expression.name.lower()
    return FUNCTIONS[name].bind(_Arguments(text, name, expression, history_days))


class _Arguments:
    """The arguments of one call, checked as they are taken."""

    def __init__(self, text: str, name: str, call: exp.Expression, history_days: int) -> None:
        self.text, self.name, self.call, self.history_days = text, name, call, history_days
        self.given: list[exp.Expression] = [argument.unnest() for argument in call.expressions]

    def fail(self, where: exp.Expression, problem: str, fix: str | None = None) -> Exception:
        return error_at(
            self.text,
            position(where, position(self.call)),
            f"{self.name}: {problem}",
            fix or FUNCTIONS[self.name].usage,
        )

    def count(self, low: int, high: int) -> None:
        if not low <= len(self.given) <= high:
            raise self.fail(
                self.call,
                f"takes {low if low == high else f'{low} to {high}'} arguments, got {len(self.given)}",
            )

    def word(self, i: int, what: str) -> str:
        argument = self.given[i]
        if not isinstance(argument, exp.Literal) or not argument.is_string:
            raise self.fail(argument, f"{what} is a quoted name")
        if not _NAME.fullmatch(argument.this):
            raise self.fail(
                argument, f"{argument.this!r} is not a name", "names are lower-case letters, digits and _"
            )
        return str(argument.this)

    def word_or_null(self, i: int, what: str) -> str | None:
        return None if isinstance(self.given[i], exp.Null) else self.word(i, what)

    def days(self, i: int) -> int:
        argument = self.given[i]
        if isinstance(argument, exp.Interval):
            interval = interval_days(self.text, argument, position(argument, position(self.call)))
            days = 0 if interval is None else interval
        elif isinstance(argument, exp.Literal) and not argument.is_string and str(argument.this).isdigit():
            days = int(argument.this) if len(argument.this) < 10 else self.history_days + 1
        else:
            raise self.fail(argument, "days is a whole number")
        if not 1 <= days <= self.history_days:
            raise self.fail(argument, f"days is between 1 and {self.history_days}")
        return days


def _count_events(given: _Arguments) -> Bound:
    given.count(2, 3)
    item = given.word_or_null(1, "item") if len(given.given) == 3 else None
    return nodes.CountEvents(given.word(0, "event type"), item, given.days(len(given.given) - 1))


def _sum_events(given: _Arguments) -> Bound:
    given.count(2, 3)
    if len(given.given) == 3:
        argument = given.given[1]
        if isinstance(argument, exp.EQ) and argument.this.name.lower() == "field":
            argument = argument.expression
        if not isinstance(argument, exp.Literal) or argument.this != "value":
            raise given.fail(argument, "the only field of an event that can be summed is 'value'")
    return nodes.SumEvents(given.word(0, "event type"), given.days(len(given.given) - 1))


def _days_since(given: _Arguments) -> Bound:
    given.count(1, 1)
    return nodes.DaysSince(given.word(0, "event type"))


def _opted_out(given: _Arguments) -> Bound:
    given.count(1, 1)
    return nodes.OptedOut(given.word(0, "topic"))


def _reachable(given: _Arguments) -> Bound:
    given.count(1, 1)
    channel = given.word(0, "channel")
    if channel in CHANNELS:
        return nodes.Reachable(channel)
    # Any name may be a channel of the catalog, but one that is only mistyped would match nobody in silence.
    near = difflib.get_close_matches(channel, CHANNELS, n=1, cutoff=0.65)
    if not re.fullmatch(CHANNEL, channel) or (near and len(channel) <= len(near[0])):
        known = ", ".join(near or CHANNELS)
        raise given.fail(given.given[0], f"no channel {channel!r}", f"{known}, or an id of the catalog")
    return nodes.Reachable(channel)


def _received(given: _Arguments) -> Bound:
    given.count(2, 2)
    return nodes.Received(given.word(0, "campaign"), given.days(1))


def _opened(given: _Arguments) -> Bound:
    given.count(2, 2)
    return nodes.Opened(given.word(0, "campaign"), given.days(1))


def _in_audience(given: _Arguments) -> Bound:
    given.count(1, 1)
    return nodes.InAudience(given.word(0, "audience"), nodes.Const(False))


def _in_list(given: _Arguments) -> Bound:
    given.count(1, 1)
    return nodes.InList(given.word(0, "list"))


FUNCTIONS: dict[str, Function] = {
    "count_events": Function("count_events('type', 'item' or NULL, days)", _count_events),
    "sum_events": Function("sum_events('type', field='value', days)", _sum_events),
    "days_since": Function("days_since('type')", _days_since),
    "opted_out": Function("opted_out('topic')", _opted_out),
    "reachable": Function("reachable('channel')", _reachable),
    "received": Function("received('campaign', days)", _received),
    "opened": Function("opened('campaign', days)", _opened),
    "in_audience": Function("in_audience('name')", _in_audience),
    "in_list": Function("in_list('name')", _in_list),
}
