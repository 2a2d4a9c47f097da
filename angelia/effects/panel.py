"""The panel of a span of nights: sides, days of entry, and moments of behaviour.

Grain: scope x metric x side x night. Reads decisions, catalog_snapshot, user_events, push_receipts; writes
nothing. Surprise: a person enters on the first night of the span that considers them and stays, whether later
nights may message them or not: an opt-out is part of the effect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import duckdb
import numpy as np

from angelia.delivery.manifest.served import served
from angelia.effects.adjusting import Side
from angelia.effects.sources import LATE_DAYS, NightScope, view
from angelia.effects.tables import SQL, make_table, require_checks
from angelia.errors import AngeliaError, NotFound, unquoted
from angelia.lake import Commit, Lake

PANEL = ("panel_sides", "panel_days", "panel_moments")
HISTORY_DAYS = 28
CAP_QUANTILE = 0.999
_HISTORY_PEOPLE = 100  # who did anything: a slope over fewer is noise
_CAP_DAYS = 100  # days with money that a quantile is read from; with fewer, those of the span count, too


@dataclass(frozen=True)
class MoneyCap:
    """How much of one person's money of one day counts, and what that cut off."""

    amount: float | None  # None: nobody spent anything
    origin: str
    n_days_cut: int
    money_cut: float


@dataclass(frozen=True)
class Moments:
    """Both sides of a scope and metric at each look from the first at which both had people."""

    nights: tuple[int, ...]  # days after the first
    treated: Side
    holdout: Side
    nonzero_treated: tuple[int, ...]
    nonzero_holdout: tuple[int, ...]


@dataclass(frozen=True)
class Panel:
    """What a span of nights gives to compare."""

    nights: tuple[NightScope, ...]
    observed_until: date
    moments: Mapping[tuple[str, str], Moments]
    sizes: Mapping[str, tuple[int, int]]  # scope -> people not held out, held out
    shares: Mapping[str, float | None]  # scope -> configured share held out; None: not one over the span
    cap: MoneyCap
    history: str | None  # why figures cannot be adjusted; None: they can
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def offsets(self) -> list[int]:
        """Return each night's distance from the first, in days."""
        return [_offset(self.nights, night) for night in self.nights]

    @property
    def is_growing(self) -> bool:
        """Whether events of the last night's window are still to come."""
        return self.observed_until < self.nights[-1].window_end.date()


def read_panel(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    days: Sequence[str],
    *,
    lead_hours: int,
    conversion: str,
    cap: float | None = None,
) -> Panel:
    """Return the panel of the planned nights of `days` whose events have begun to arrive.

    Raises:
        NotFound: no night of the span was planned, or no events have arrived for any.
        GateClosed: a critical check of the panel's tables failed.
        AngeliaError: a query cannot be run on these commits.
    """
    plans = {ds: plan for ds in days if (plan := served(lake, "decisions", ds)) is not None}
    if not plans:
        raise NotFound(
            f"nothing was decided from {days[0]} to {days[-1]}",
            fix="name days that `angelia lake log decisions` lists",
        )
    scopes = [NightScope.of(ds, lead_hours, plan) for ds, plan in plans.items()]
    arrived = [day for leaf in lake.partitions("user_events") if (day := date.fromisoformat(leaf["ds"]))]
    until = max(arrived, default=date.min)
    # A night whose days have no events yet would count as people who did nothing.
    nights = tuple(night for night in scopes if night.plan_start.date() <= until)
    if not nights:
        raise NotFound(
            f"no events have arrived for the days planned from {days[0]} to {days[-1]}",
            fix="import user_events of the planned days first",
        )
    # Before the lake's first plan nobody was sent anything: history up to there is the same on both sides.
    first_plan = min(leaf["ds"] for leaf in lake.partitions("decisions"))
    history_end = (date.fromisoformat(first_plan) - date.fromisoformat(nights[0].ds)).days
    commits = _events(lake, nights, history_end)
    connection.execute("SET TimeZone = 'UTC'")
    try:
        shares = _enter(connection, lake, nights, plans)
        for name, heads in commits.items():
            view(connection, lake, name, heads)
        left_out = {
            "nights not planned": len(days) - len(plans),
            "nights without events yet": len(plans) - len(nights),
        }
        return compare(
            connection,
            nights,
            until=until,
            history_end=history_end,
            history_name=f"the lake's first plan ({first_plan})",
            shares=shares,
            left_out=left_out,
            conversion=conversion,
            cap=cap,
        )
    except duckdb.Error as error:
        raise not_made(error) from None


def not_made(error: duckdb.Error) -> AngeliaError:
    """Return the operator's error for what the engine refuses, without a value of a row."""
    first = "" if isinstance(error, duckdb.DataError) else unquoted(str(error).splitlines()[0])
    return AngeliaError(
        f"the panel's tables cannot be made: {first or 'a value could not be converted'}",
        fix="do the nights' commits fit the contracts? `angelia lake verify`",
    )


def compare(
    connection: duckdb.DuckDBPyConnection,
    nights: tuple[NightScope, ...],
    *,
    until: date,
    history_end: int,
    history_name: str,
    shares: Mapping[str, float | None],
    left_out: Mapping[str, int],
    conversion: str,
    cap: float | None,
) -> Panel:
    """Return the panel of those in `entered`, from the views user_events and push_receipts.

    The history that figures are adjusted by are the days before bucket `history_end`.
    """
    counted = {**_settle(connection, nights, conversion), **left_out}
    limit = _cap(connection, cap, history_end)
    has_history = _history(connection, limit, history_end)
    rows = _looks(connection, nights, limit)
    moments, one_sided = _arrange(rows, sorted(shares))
    counted["scopes without people on both sides"] = one_sided
    reason = (
        None
        if has_history
        else f"fewer than {_HISTORY_PEOPLE} people did anything in the {HISTORY_DAYS} days before "
        f"{history_name}"
    )
    sizes = {
        scope: (treated, held)
        for scope, treated, held in connection.execute(
            "SELECT scope, count(*) FILTER (WHERE NOT is_any), count(*) FILTER (WHERE is_any) FROM entered "
            "WHERE is_any = is_every GROUP BY scope"
        ).fetchall()
    }
    kept = {name: n for name, n in counted.items() if n}
    return Panel(nights, until, moments, sizes, shares, limit, reason, kept)


def _events(lake: Lake, nights: Sequence[NightScope], history_end: int) -> dict[str, list[Commit]]:
    """Return the commits of behaviour in the span and in the history before the first plan."""
    start = nights[0].plan_start.date()
    spans = [
        (start + timedelta(days=history_end - HISTORY_DAYS), start + timedelta(days=history_end)),
        (start, nights[-1].window_end.date()),
    ]
    wanted = {
        (first + timedelta(days=n)).isoformat()
        for first, last in spans
        for n in range((last - first).days + 1 + LATE_DAYS)
    }
    heads = [
        lake.head("user_events", ds=leaf["ds"])
        for leaf in lake.partitions("user_events")
        if leaf["ds"] in wanted
    ]
    receipts = [
        lake.head("push_receipts", **leaf)
        for night in nights
        for leaf in lake.partitions("push_receipts", ds=night.ds)
    ]
    return {
        "user_events": [commit for commit in heads if commit is not None],
        "push_receipts": [commit for commit in receipts if commit is not None],
    }


def _enter(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    nights: Sequence[NightScope],
    plans: Mapping[str, Commit],
) -> dict[str, float | None]:
    """Make `entered`, a row per scope and person; return each scope's configured share."""
    connection.execute(
        "CREATE TEMP TABLE entered (scope VARCHAR, user_id VARCHAR, entry INTEGER, is_any BOOLEAN, is_every "
        "BOOLEAN)"
    )
    shares: dict[str, set[float]] = {}
    for night in nights:
        catalog = served(lake, "catalog_snapshot", night.ds)
        view(connection, lake, "decisions", [plans[night.ds]])
        view(connection, lake, "catalog_snapshot", [] if catalog is None else [catalog])
        for name in ("campaigns", "considered"):
            connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {_sql(name)}")
        _table(connection, "panel_sides", {})
        # One pass a night keeps a row per person in memory, however many nights there are.
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE entered AS SELECT scope, user_id, min(entry) AS entry, "
            "bool_or(is_any) AS is_any, bool_and(is_every) AS is_every FROM (SELECT * FROM entered UNION ALL "
            "SELECT scope, user_id, $night, is_holdout, is_holdout FROM panel_sides) GROUP BY scope, user_id",
            {"night": _offset(nights, night)},
        )
        for scope, share in connection.execute(
            "SELECT CASE kind WHEN 'policy' THEN 'all' ELSE id END, coalesce(CASE kind WHEN 'policy' THEN "
            "json_extract(body, '$.holdout.share_pct') ELSE json_extract(body, '$.holdout_pct') "
            "END::DOUBLE, 0) / 100 FROM catalog_snapshot WHERE kind IN ('policy', 'campaign')"
        ).fetchall():
            shares.setdefault(scope, set()).add(share)
    present = [row[0] for row in connection.execute("SELECT DISTINCT scope FROM entered").fetchall()]
    return {
        scope: next(iter(shares[scope])) if len(shares.get(scope, ())) == 1 else None for scope in present
    }


def _settle(
    connection: duckdb.DuckDBPyConnection, nights: Sequence[NightScope], conversion: str
) -> dict[str, int]:
    """Make `panel` and `panel_days`; return what was left out, by reason."""
    # A scope in which nobody is held out has nothing to compare: without it each night is read faster.
    connection.execute(
        "CREATE TEMP TABLE panel AS SELECT scope, user_id, is_any AS is_holdout, entry FROM entered "
        "WHERE is_any = is_every QUALIFY bool_or(is_any) OVER (PARTITION BY scope)"
    )
    _table(connection, "panel_days", {"first_start": nights[0].plan_start, "conversion": conversion})
    counts = {
        "people whose side of a holdout changed": (
            "SELECT count(*) FROM entered WHERE is_any <> is_every",
            {},
        ),
        "events that arrived twice": (
            "SELECT count(event_id) - count(DISTINCT event_id) FROM user_events",
            {},
        ),
        "events of nobody": ("SELECT count(*) FROM user_events WHERE user_id IS NULL", {}),
        "conversions without an amount": (
            "SELECT count(*) FROM user_events WHERE event_type = $conversion AND "
            '("value" IS NULL OR NOT isfinite("value"))',
            {"conversion": conversion},
        ),
    }
    return {reason: _number(connection, sql, values) for reason, (sql, values) in counts.items()}


def _cap(connection: duckdb.DuckDBPyConnection, given: float | None, history_end: int) -> MoneyCap:
    """Return the cap on a day's money: fixed before the first look wherever history allows."""
    amount, origin = given, "given"
    if amount is None:
        days = "SELECT {} FROM panel_days WHERE amount > 0 AND bucket {}"
        before, every = f"< {history_end}", "IS NOT NULL"
        enough = _number(connection, days.format("count(*)", before), {}) >= _CAP_DAYS
        quantile = days.format(f"quantile_cont(amount, {CAP_QUANTILE})", before if enough else every)
        row = connection.execute(quantile).fetchone()
        amount = None if row is None or row[0] is None else float(row[0])
        origin = (
            f"{100 * CAP_QUANTILE:g} % of the days with money "
            + ("before the first plan" if enough else "of history and span together")
            + " are below it"
        )
    if amount is None:
        return MoneyCap(None, "nobody spent anything", 0, 0.0)
    cut = connection.execute(
        "SELECT count(*), coalesce(sum(abs(amount) - $cap), 0) FROM panel_days "
        "WHERE bucket >= 0 AND abs(amount) > $cap",
        {"cap": amount},
    ).fetchone()
    return MoneyCap(amount, origin, *(cut or (0, 0.0)))


def _history(connection: duckdb.DuckDBPyConnection, cap: MoneyCap, end: int) -> bool:
    """Make `panel_history`, what people did before any plan; return whether it is enough."""
    connection.execute(
        "CREATE TEMP TABLE panel_history AS SELECT user_id, sum(has_converted) AS converted, "
        "sum(greatest(least(amount, $cap), -$cap)) AS revenue, sum(is_active) AS active_days "
        "FROM panel_days WHERE bucket >= $first AND bucket < $last GROUP BY user_id",
        {"cap": cap.amount or 0.0, "first": end - HISTORY_DAYS, "last": end},
    )
    return _number(connection, "SELECT count(*) FROM panel_history", {}) >= _HISTORY_PEOPLE


def _looks(
    connection: duckdb.DuckDBPyConnection, nights: Sequence[NightScope], cap: MoneyCap
) -> list[tuple[int, dict[str, Any]]]:
    rows, before = [], -(10**6)
    for night in nights:
        offset = _offset(nights, night)
        values = {"night": offset, "night_before": before, "cap": cap.amount or 0.0}
        _table(connection, "panel_moments", values)
        cursor = connection.execute("SELECT * FROM panel_moments")
        columns = [column[0] for column in cursor.description or ()]
        rows += [(offset, dict(zip(columns, row, strict=True))) for row in cursor.fetchall()]
        before = offset
    return rows


def _arrange(
    rows: Sequence[tuple[int, dict[str, Any]]], scopes: Sequence[str]
) -> tuple[dict[tuple[str, str], Moments], int]:
    """Return the moments by scope and metric, and how many scopes lack people on a side."""
    cells: dict[tuple[str, str], dict[int, dict[bool, dict[str, Any]]]] = {}
    for night, row in rows:
        cell = cells.setdefault((row["scope"], row["metric"]), {})
        cell.setdefault(night, {})[row["is_holdout"]] = row
    moments = {}
    for key, looks in cells.items():
        both = {n: sides for n, sides in looks.items() if len(sides) == 2 and _is_enough(sides)}
        if both:
            moments[key] = Moments(
                tuple(both),
                _side([sides[False] for sides in both.values()]),
                _side([sides[True] for sides in both.values()]),
                tuple(sides[False]["n_nonzero"] for sides in both.values()),
                tuple(sides[True]["n_nonzero"] for sides in both.values()),
            )
    return moments, len(set(scopes) - {scope for scope, _ in moments})


def _is_enough(sides: Mapping[bool, Mapping[str, Any]]) -> bool:
    return all(side["n"] > 2 for side in sides.values())


def _side(rows: Sequence[Mapping[str, Any]]) -> Side:
    return Side(
        **{name: np.array([row[name] for row in rows], np.float64) for name in Side.__dataclass_fields__}
    )


def _offset(nights: Sequence[NightScope], night: NightScope) -> int:
    return (date.fromisoformat(night.ds) - date.fromisoformat(nights[0].ds)).days


def _sql(name: str) -> str:
    return (SQL / name / "query.sql").read_text("utf-8")


def _table(connection: duckdb.DuckDBPyConnection, name: str, values: Mapping[str, Any]) -> None:
    """Make one of the panel's tables and run its checks."""
    make_table(connection, name, values)
    require_checks(connection, name, values)


def _number(connection: duckdb.DuckDBPyConnection, sql: str, values: Mapping[str, Any]) -> int:
    row = connection.execute(sql, dict(values)).fetchone()
    return int(row[0]) if row and row[0] is not None else 0
