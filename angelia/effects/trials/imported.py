"""Read an imported experiment: each arm against the control, by the panel of the holdouts.

Grain: arm x metric x look. A person counts from the day they were assigned, and not before the instant. The
28 days before the first assignment are the history that figures are adjusted by. Surprise: scopes of the
panel are arms, and its `holdout` is the control.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import duckdb

from angelia.effects.panel import HISTORY_DAYS, Panel, compare, not_made
from angelia.effects.sources import LATE_DAYS, NightScope, view
from angelia.errors import InvalidInput, NotFound
from angelia.lake import Commit, Lake

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Trial:
    """An experiment's panel and its arms."""

    control: str
    arms: dict[str, int]  # arm -> people, those left out included
    panel: Panel


def read_experiment(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    name: str,
    control: str,
    *,
    conversion: str,
    until: str | None = None,
    control_pct: float | None = None,
    cap: float | None = None,
) -> Trial:
    """Return the panel of an experiment up to a day, or up to the newest events.

    `control_pct` is the share of people that the control should have of all: each arm is tested against it,
    as if the others had equal shares.

    Raises:
        NotFound: nobody was assigned, or no events have arrived since.
        InvalidInput: the control is no arm, or is the only one.
        GateClosed: a critical check of the panel's tables failed.
        AngeliaError: a query cannot be run on these commits.
    """
    leaves = lake.partitions("experiment_assignments")
    heads = [lake.head("experiment_assignments", **leaf) for leaf in leaves]
    connection.execute("SET TimeZone = 'UTC'")
    view(connection, lake, "experiment_assignments", [commit for commit in heads if commit is not None])
    try:
        arms = dict(
            connection.execute(
                "SELECT arm, count(DISTINCT user_id) FROM experiment_assignments WHERE experiment = $name "
                "GROUP BY arm ORDER BY arm",
                {"name": name},
            ).fetchall()
        )
        _require(lake, connection, name, control, arms)
        first = _first_day(connection, name)
        nights, events = _looks(lake, first, until)
        view(connection, lake, "user_events", events)
        view(connection, lake, "push_receipts", [])
        n_before = _enter(connection, name, control, nights)
        share = _share(control_pct, len(arms))
        panel = compare(
            connection,
            nights,
            until=max(date.fromisoformat(commit.partition["ds"]) for commit in events),
            history_end=0,
            history_name=f"the first assignment ({first})",
            shares=dict.fromkeys((arm for arm in arms if arm != control), share),
            left_out={"events of an assigned day before the assignment": n_before},
            conversion=conversion,
            cap=cap,
        )
    except duckdb.Error as error:
        raise not_made(error) from None
    return Trial(control, arms, panel)


def _require(
    lake: Lake, connection: duckdb.DuckDBPyConnection, name: str, control: str, arms: dict[str, int]
) -> None:
    if not arms:
        every = connection.execute(
            "SELECT DISTINCT experiment FROM experiment_assignments ORDER BY 1"
        ).fetchall()
        names = ", ".join(row[0] for row in every)
        raise NotFound(
            f"nobody was assigned in experiment {name}",
            fix=f"name one of {names}" if names else "import experiment_assignments first (docs/IMPORT.md)",
        )
    if control not in arms or len(arms) < 2:
        raise InvalidInput(
            f"{control} is not an arm of {name}"
            if control not in arms
            else f"{name} has no arm but {control}",
            fix=f"its arms are {', '.join(arms)}",
        )


def _first_day(connection: duckdb.DuckDBPyConnection, name: str) -> date:
    moments = connection.execute(
        "SELECT min(assigned_ts) FROM experiment_assignments WHERE experiment = $name", {"name": name}
    ).fetchall()
    first: datetime = moments[0][0]
    return first.astimezone(UTC).date()


def _looks(lake: Lake, first: date, until: str | None) -> tuple[tuple[NightScope, ...], list[Commit]]:
    """Return a look a day, and the events of history and span.

    A look counts the days up to the one after it, as a night's does.
    """
    arrived = sorted(date.fromisoformat(leaf["ds"]) for leaf in lake.partitions("user_events"))
    newest = max((day for day in arrived if day >= first), default=None)
    if newest is None:
        raise NotFound(
            f"no events have arrived since the first assignment ({first})",
            fix="import the outcomes as user_events",
        )
    last = min(newest, date.fromisoformat(until)) if until else newest
    if last < first:
        raise InvalidInput(f"{until} is before the first assignment", fix=f"name a day from {first} on")
    nights = []
    for n in range(max((last - first).days, 1)):
        start = datetime.combine(first + n * DAY, datetime.min.time(), UTC)
        # The last instant is still of the day before midnight, whose events are the last to arrive.
        end_of = start + 2 * DAY - timedelta(microseconds=1)
        nights.append(NightScope((first + n * DAY).isoformat(), start, start + DAY, end_of))
    begin, end = first - HISTORY_DAYS * DAY, last + LATE_DAYS * DAY
    heads = [lake.head("user_events", ds=day.isoformat()) for day in arrived if begin <= day <= end]
    return tuple(nights), [commit for commit in heads if commit is not None]


def _enter(
    connection: duckdb.DuckDBPyConnection, name: str, control: str, nights: tuple[NightScope, ...]
) -> int:
    """Make `entered`; drop and count what people did on the assigned day before it."""
    start = nights[0].plan_start
    # Somebody of two arms is on both sides, which the panel leaves out and counts.
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE assigned AS SELECT user_id, min(assigned_ts) AS assigned_ts, "
        "min(arm) AS arm, count(DISTINCT arm) > 1 AS is_torn FROM experiment_assignments "
        "WHERE experiment = $name GROUP BY user_id",
        {"name": name},
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE entered AS WITH scopes AS (SELECT DISTINCT arm AS scope FROM "
        "experiment_assignments WHERE experiment = $name AND arm <> $control) "
        "SELECT scopes.scope, a.user_id, floor((epoch(a.assigned_ts) - epoch($start::TIMESTAMPTZ)) / 86400)"
        "::INTEGER AS entry, a.arm = $control OR a.is_torn AS is_any, a.arm = $control AND NOT a.is_torn "
        "AS is_every FROM assigned AS a INNER JOIN scopes ON a.arm IN (scopes.scope, $control) OR a.is_torn",
        {"name": name, "control": control, "start": start},
    )
    early = (
        "e.event_ts < a.assigned_ts AND e.event_ts >= date_trunc('day', a.assigned_ts) "
        "AND a.assigned_ts IS NOT NULL"
    )
    join = "FROM user_events AS e LEFT JOIN assigned AS a ON e.user_id = a.user_id"
    n_early = connection.execute(f"SELECT count(*) {join} WHERE {early}").fetchall()[0][0]
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE kept_events AS SELECT e.* {join} WHERE NOT coalesce({early}, FALSE)"
    )
    # A temporary view stands before the one of the same name.
    connection.execute("CREATE OR REPLACE TEMP VIEW user_events AS SELECT * FROM kept_events")
    return int(n_early)


def _share(control_pct: float | None, n_arms: int) -> float | None:
    """Return the control's expected share of itself and one other arm."""
    if control_pct is None:
        return None
    own = control_pct / 100
    return own / (own + (1 - own) / (n_arms - 1))
