"""Credit what people did to the message that touched them last, over a span of nights.

Reads catalog_snapshot, delivery_ledger, push_receipts and user_events; makes the tables attribution_* of
`sql/` on a DuckDB connection. Surprise: a night cannot be credited alone. A later message, or an earlier one
that arrived late, may take the credit, so the nights around a span are read, too, and then every event of the
span is credited as it is when the neighbours are made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import duckdb

from angelia.delivery.manifest.served import served
from angelia.effects.sources import LATE_DAYS, NightScope, view
from angelia.effects.tables import make_table, require_checks
from angelia.lake import Commit, Lake

# What reaches somebody later is too late for credit (120 hours in sql/attribution_touches): transactional
# messages are tried for up to 72 hours, and a phone may be off for two days.
TOUCH_HOURS = 120
_TOUCHES = "SELECT count(*) FROM attribution_touches"
_LONGEST = "SELECT coalesce(max(greatest(open_hours, conversion_hours)), 0) FROM attribution_touches"
_STRETCH = timedelta(days=7)  # of events that are credited by one statement
CREDIT_TABLES = (
    "attribution_touches",
    "attribution_events",
    "attribution_credits",
    "attribution_gains",
    "attribution_conversions",
)
_DAYS_BEFORE = 1 + TOUCH_HOURS // 24  # nights whose messages may still arrive on the planned day


@dataclass(frozen=True)
class NightInputs:
    """A planned night and the commits that credit reads of it."""

    scope: NightScope
    catalog: Commit | None
    sent: tuple[Commit, ...]
    receipts: tuple[Commit, ...]

    def commits(self) -> list[Commit]:
        """Return them all."""
        return [*([self.catalog] if self.catalog else []), *self.sent, *self.receipts]


@dataclass(frozen=True)
class CreditSpan:
    """The nights to credit, those around them, and the events between."""

    nights: tuple[NightScope, ...]
    around: Mapping[str, NightInputs]  # ds -> inputs, the span's own nights included
    events: Mapping[str, Commit]  # arrival day -> events
    longest_h: Mapping[str, int]  # ds -> longest window of the night's campaigns

    def credits_until(self, night: NightScope) -> datetime:
        """Return the end of the last window that a message of the night may have."""
        return night.plan_end + timedelta(hours=TOUCH_HOURS + self.longest_h[night.ds])

    def inputs_of(self, night: NightScope) -> list[Commit]:
        """Return the commits that a night's credit may depend on."""
        until = self.credits_until(night)
        competing = [
            own
            for own in self.around.values()
            if own.scope.plan_start < until
            and own.scope.plan_end + timedelta(hours=TOUCH_HOURS) > night.plan_start
        ]
        first, last = night.plan_start.date(), until.date() + timedelta(days=LATE_DAYS)
        events = [commit for day, commit in self.events.items() if first <= date.fromisoformat(day) <= last]
        return [commit for own in competing for commit in own.commits()] + events


def find_span(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    plans: Mapping[str, Commit],
    *,
    lead_hours: int,
    conversion: str,
) -> CreditSpan:
    """Return what the credit of some planned nights depends on."""
    nights = tuple(NightScope.of(ds, lead_hours, plan) for ds, plan in sorted(plans.items()))
    longest = {night.ds: _longest(connection, lake, night.ds, conversion) for night in nights}
    first = nights[0].plan_start - timedelta(days=_DAYS_BEFORE)
    last = max(night.plan_end + timedelta(hours=TOUCH_HOURS + longest[night.ds]) for night in nights)
    last_arrival = last.date() + timedelta(days=LATE_DAYS)
    days = {leaf["ds"] for leaf in lake.partitions("decisions")}
    around = {}
    for ds in sorted(days):
        # A plan begins a day or two after its ds, so the days are looked through widely and then by the plan.
        if not (first - timedelta(days=4)).date() <= date.fromisoformat(ds) <= last.date():
            continue
        scope = NightScope.of(ds, lead_hours, served(lake, "decisions", ds))
        if first <= scope.plan_start < last:
            around[ds] = NightInputs(
                scope,
                served(lake, "catalog_snapshot", ds),
                _heads(lake, "delivery_ledger", ds),
                _heads(lake, "push_receipts", ds),
            )
    arrived = {
        leaf["ds"]: commit
        for leaf in lake.partitions("user_events")
        if nights[0].plan_start.date() <= date.fromisoformat(leaf["ds"]) <= last_arrival
        and (commit := lake.head("user_events", **leaf)) is not None
    }
    return CreditSpan(nights, around, arrived, longest)


def credit(
    connection: duckdb.DuckDBPyConnection, lake: Lake, span: CreditSpan, conversion: str
) -> tuple[dict[str, tuple[int, int]], list[str]]:
    """Make the attribution tables; return each night's numbers of touches, and warnings.

    A night's touches are those above the first number up to the second.

    Raises:
        GateClosed: a critical check of a table failed.
    """
    begin, end = span.nights[0].plan_start, max(map(span.credits_until, span.nights))
    connection.execute("CREATE OR REPLACE TEMP TABLE attribution_roles (role VARCHAR, event_type VARCHAR)")
    ranges: dict[str, tuple[int, int]] = {}
    warnings: list[str] = []
    for i, (ds, own) in enumerate(span.around.items()):
        values = {"conversion": conversion, "plan_end": own.scope.plan_end}
        windows(connection, lake, own.catalog, conversion)
        warnings += require_checks(connection, "attribution_campaigns", values)
        connection.execute(
            "INSERT INTO attribution_roles SELECT 'open', 'open' UNION ALL "
            "SELECT 'conversion', conversion FROM attribution_campaigns"
        )
        view(connection, lake, "delivery_ledger", own.sent)
        view(connection, lake, "push_receipts", own.receipts)
        before = _number(connection, _TOUCHES) if i else 0
        make_table(connection, "attribution_touches", values | {"first_touch": before}, add=i > 0)
        ranges[ds] = before, _number(connection, _TOUCHES)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE attribution_roles AS "
        "SELECT (row_number() OVER (ORDER BY role, event_type))::UTINYINT AS kind, role, event_type "
        "FROM (SELECT DISTINCT * FROM attribution_roles) AS each_once"
    )
    view(connection, lake, "user_events", list(span.events.values()))
    make_credits(connection, begin, end)
    for name in CREDIT_TABLES:
        warnings += require_checks(connection, name, {})
    # Events are most of the memory; a night needs its messages' gains and what converted, which are few.
    connection.execute("DROP TABLE attribution_events; DROP TABLE attribution_credits")
    return ranges, sorted(set(warnings))


def make_credits(connection: duckdb.DuckDBPyConnection, begin: datetime, end: datetime) -> None:
    """Make the tables of events and their credit from touches, roles and views.

    Surprise: events are credited a week at a time, since a join of a month of a million people would not fit
    into memory; a week meets only the touches whose windows reach it.
    """
    make_table(connection, "attribution_events", {"touches_from": begin, "credits_until": end})
    longest = timedelta(hours=_number(connection, _LONGEST))
    first = begin
    while first < end:
        stretch = {
            "reaching_from": max(begin, first - longest),
            "credits_from": first,
            "credits_before": min(first + _STRETCH, end),
        }
        make_table(connection, "attribution_credits", stretch, add=first > begin)
        first += _STRETCH
    make_table(connection, "attribution_gains", {})
    make_table(connection, "attribution_conversions", {})


def windows(
    connection: duckdb.DuckDBPyConnection, lake: Lake, catalog: Commit | None, conversion: str
) -> None:
    """Make `attribution_campaigns` of a night's catalog."""
    view(connection, lake, "catalog_snapshot", [] if catalog is None else [catalog])
    make_table(connection, "attribution_campaigns", {"conversion": conversion})


def _longest(connection: duckdb.DuckDBPyConnection, lake: Lake, ds: str, conversion: str) -> int:
    windows(connection, lake, served(lake, "catalog_snapshot", ds), conversion)
    return _number(
        connection,
        "SELECT coalesce(max(greatest(open_hours, conversion_hours)), 0) FROM attribution_campaigns",
    )


def _heads(lake: Lake, name: str, ds: str) -> tuple[Commit, ...]:
    heads: Iterable[Commit | None] = (lake.head(name, **leaf) for leaf in lake.partitions(name, ds=ds))
    return tuple(commit for commit in heads if commit is not None)


def _number(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    # All rows are fetched: a result that is left open keeps the connection from the next statement.
    return int(connection.execute(sql).fetchall()[0][0])
