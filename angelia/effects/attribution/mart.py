"""Make `effects_mart`, a night's figures by every dimension, again while late rows come in.

Grain: see the contract. Reads what `crediting` reads, plans and features; writes one commit a night, and none
for a night whose inputs, parameters and SQL are those of its newest commit.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

import angelia
from angelia.contracts import arrow, dataset
from angelia.delivery.manifest.served import served
from angelia.effects.attribution.crediting import CREDIT_TABLES, CreditSpan, credit, find_span, windows
from angelia.effects.attribution.night_pairs import find_pairs, register_pairs
from angelia.effects.sources import LATE_DAYS, NightScope, view
from angelia.effects.tables import SQL, make_table, require_checks
from angelia.errors import AngeliaError, NotFound, unquoted
from angelia.lake import Commit, Lake

_AT_ONCE = 31  # nights whose touches are held together
TABLES = ("attribution_campaigns", *CREDIT_TABLES, "effects_mart")
# The code that decides what stands in a cell: it runs the tables' SQL, or makes what this reads.
_CODE = (
    "contracts/planned/pairs.py",
    "effects/attribution/crediting.py",
    "effects/attribution/mart.py",
    "effects/attribution/night_pairs.py",
    "effects/sources.py",
    "effects/tables.py",
)


@dataclass(frozen=True)
class MadeMart:
    """A night's mart, whether it is new, and how complete it is."""

    ds: str
    commit: Commit
    is_new: bool
    warnings: tuple[str, ...] = ()


def refresh(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    days: Sequence[str],
    *,
    lead_hours: int,
    conversion: str,
) -> list[MadeMart]:
    """Make the marts of the planned nights of `days` that are not up to date.

    Raises:
        NotFound: no night of the span was planned.
        GateClosed: a critical check failed; that night and the later ones were not published.
        AngeliaError: a query cannot be run on these commits.
    """
    plans = {ds: plan for ds in days if (plan := served(lake, "decisions", ds)) is not None}
    if not plans:
        raise NotFound(
            f"nothing was decided from {days[0]} to {days[-1]}",
            fix="name days that `angelia lake log decisions` lists",
        )
    connection.execute("SET TimeZone = 'UTC'")
    ordered = sorted(plans)
    made: list[MadeMart] = []
    try:
        for first in range(0, len(ordered), _AT_ONCE):
            chosen = {ds: plans[ds] for ds in ordered[first : first + _AT_ONCE]}
            made += _refresh(connection, lake, chosen, lead_hours, conversion)
    except duckdb.Error as error:
        # What the engine quotes may be a value of a row.
        first_line = "" if isinstance(error, duckdb.DataError) else unquoted(str(error).splitlines()[0])
        raise AngeliaError(
            f"the mart's tables cannot be made: {first_line or 'a value could not be converted'}",
            fix="do the nights' commits fit the contracts? `angelia lake verify`",
        ) from None
    return made


def _refresh(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    plans: dict[str, Commit],
    lead_hours: int,
    conversion: str,
) -> Iterator[MadeMart]:
    span = find_span(connection, lake, plans, lead_hours=lead_hours, conversion=conversion)
    inputs = {night.ds: _inputs(lake, span, night, plans[night.ds]) for night in span.nights}
    stale = []
    for night in span.nights:
        head = lake.head("effects_mart", ds=night.ds)
        if head is not None and _is_current(head, inputs[night.ds], conversion):
            yield MadeMart(night.ds, head, is_new=False)
        else:
            stale.append(night)
    if not stale:
        return
    # The nights between are cheap beside the neighbours, which are read in any case.
    narrow = {night.ds: plans[night.ds] for night in stale}
    span = find_span(connection, lake, narrow, lead_hours=lead_hours, conversion=conversion)
    ranges, warnings = credit(connection, lake, span, conversion)
    observed = datetime.combine(
        max(map(date.fromisoformat, span.events), default=date.min) + timedelta(days=1),
        datetime.min.time(),
        UTC,
    )
    for night in span.nights:
        values = {
            "ds": night.ds,
            "plan_start": night.plan_start,
            "plan_end": night.plan_end,
            "window_end": night.window_end,
            "conversion": conversion,
            "first_touch": ranges[night.ds][0],
            "last_touch": ranges[night.ds][1],
        }
        own = warnings + _make(connection, lake, night, plans[night.ds], values)
        complete = _complete(connection, span, night, values, observed)
        n_foreign = complete["n_sent"] - complete["n_sent_planned"]
        with lake.attempt("effects_mart", ds=night.ds) as attempt:
            cells = connection.sql("SELECT * FROM effects_mart").to_arrow_table()
            attempt.write(arrow.conform(cells, dataset("effects_mart")), "part-0000.parquet")
            commit = attempt.publish(
                inputs=inputs[night.ds],
                params=_params(conversion),
                meta={"complete": complete, "warnings": own},
                rejects={"sent without a decision": n_foreign} if n_foreign else {},
            )
        yield MadeMart(night.ds, commit, is_new=True, warnings=tuple(own))


def _inputs(lake: Lake, span: CreditSpan, night: NightScope, plan: Commit) -> list[Commit]:
    features = served(lake, "user_features", night.ds)
    pairs = find_pairs(lake, plan)
    return [plan, *(commit for commit in (pairs, features) if commit), *span.inputs_of(night)]


def _is_current(head: Commit, inputs: Sequence[Commit], conversion: str) -> bool:
    cited = sorted({commit.citation() for commit in inputs})
    return sorted(head.inputs) == cited and head.params == _params(conversion)


def _params(conversion: str) -> dict[str, str]:
    return {"conversion": conversion, "made_by": made_by()}


@functools.cache
def made_by() -> str:
    """Return a hash of the tables' SQL, the code that runs it, and the mart's contract.

    A release that changes none of these leaves marts current, whatever else it changes.
    """
    files = [SQL / name / "query.sql" for name in TABLES]
    files += [Path(angelia.__file__).parent / name for name in _CODE]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files))
    digest.update(str(arrow.schema(dataset("effects_mart"))).encode())
    return digest.hexdigest()[:12]


def _make(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    night: NightScope,
    plan: Commit,
    values: dict[str, Any],
) -> list[str]:
    """Make the night's mart; return warnings."""
    features = served(lake, "user_features", night.ds)
    view(connection, lake, "decisions", [plan])
    view(connection, lake, "user_features", [] if features is None else [features])
    windows(connection, lake, served(lake, "catalog_snapshot", night.ds), values["conversion"])
    make_table(connection, "effects_mart", values | register_pairs(connection, lake, plan))
    return require_checks(connection, "effects_mart", values)


def _complete(
    connection: duckdb.DuckDBPyConnection,
    span: CreditSpan,
    night: NightScope,
    values: dict[str, Any],
    observed: datetime,
) -> dict[str, Any]:
    """Return how much of a night's windows has passed, by the events that have arrived."""
    counts = connection.execute(
        "SELECT count(*), count(t.touch_ts), "
        "count(t.touch_ts) FILTER (WHERE t.touch_ts >= t.touches_until), "
        "count(*) FILTER (WHERE t.touch_ts IS NULL AND NOT t.is_bounced), "
        "100 * avg(least(greatest(epoch($observed::TIMESTAMPTZ) - epoch(t.touch_ts), 0) / "
        "(3600 * greatest(t.open_hours, t.conversion_hours)), 1)) "
        "FILTER (WHERE t.touch_ts IS NOT NULL AND greatest(t.open_hours, t.conversion_hours) > 0), "
        "(SELECT sum(n_sent)::BIGINT FROM effects_mart), "
        "max(t.touch_ts + to_hours(greatest(t.open_hours, t.conversion_hours))) "
        "FILTER (WHERE t.touch_ts < t.touches_until) "
        "FROM attribution_touches AS t WHERE t.touch > $first_touch AND t.touch <= $last_touch",
        {"observed": observed, "first_touch": values["first_touch"], "last_touch": values["last_touch"]},
    ).fetchall()
    n_sent, n_touches, n_late, n_not_shown, passed, n_planned, last = counts[0]
    last_day = (last or night.plan_end).date() + timedelta(days=LATE_DAYS)
    start = night.plan_start.date()
    arrived = {date.fromisoformat(day) for day in span.events}
    until = min(last_day, (observed - timedelta(days=1)).date())
    missing = [
        (start + timedelta(days=n)).isoformat()
        for n in range(max((until - start).days + 1, 0))
        if start + timedelta(days=n) not in arrived
    ]
    return {
        "n_sent": n_sent,
        "n_sent_planned": n_planned,
        "n_touches": n_touches - n_late,
        "n_too_late": n_late,
        "n_not_displayed": n_not_shown,
        "observed_until": None if not arrived else until.isoformat(),
        "windows_passed_pct": None if passed is None else round(passed, 2),
        "last_arrival": last_day.isoformat(),  # the last day on which an event of a window may arrive
        "missing_days": missing,
        "is_final": observed.date() > last_day and not missing,
    }
