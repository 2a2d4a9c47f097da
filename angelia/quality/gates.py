"""The three gates of a night: sources, features, plan. Measure, judge, store the verdicts.

Grain: one verdict per check. Reads the newest commits of the gate's datasets; writes
    `quality/{branch}/{ds}/{gate}/{n}.json`. What would surprise: a column that is missing fails one check,
    its own presence; what else was to be said about it is not measured. A check that could not run is
    `crashed`, apart from data that is bad; both close the gate.
"""
# ruff: noqa: S608 - the statements are made of the names and constants of this package.

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from angelia import logs
from angelia.config import load_settings
from angelia.contracts import dataset, gx
from angelia.contracts.constraints import FROM_SCHEMA, Constraint, Kind, constraints
from angelia.contracts.core import Severity
from angelia.contracts.duckdb import Measures
from angelia.contracts.duckdb import measure as count
from angelia.contracts.outcomes import AT_LEAST_ONCE, DECIDED
from angelia.errors import AngeliaError, InvalidInput
from angelia.lake import Commit, Lake
from angelia.lake.views import View, Views, open_views
from angelia.output import progress
from angelia.quality.covered import commits_for, stand_before, unjudged
from angelia.quality.invariants import FEATURES, PLAN, Invariant
from angelia.quality.verdicts import CheckVerdict, load, store

_QUOTED = re.compile(r"""['"].*['"]""", re.DOTALL)
_FILE_NAME = re.compile(r"[A-Za-z0-9_.=-]+\.parquet")
EXISTS, READABLE = "partition.exists", "partition.readable"


@dataclass(frozen=True)
class Gate:
    """What a gate checks: datasets by their contracts, then invariants.

    `required` and `optional` datasets are measured; invariants may read `context` too. Of those in `windows`
    jobs read days before `ds`, too; what stands there is noted, not measured.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    windows: tuple[str, ...] = ()
    invariants: tuple[Invariant, ...] = ()


GATES: Mapping[str, Gate] = {
    "sources": Gate(("user_profiles", "user_endpoints", "user_preferences", "user_events"),
    ("push_history", "push_receipts"), windows=("user_events", "push_history", "push_receipts")),
    "features": Gate(("user_features", "send_times", "user_days"), context=("user_index",),
    windows=("user_days",), invariants=FEATURES),
    "plan": Gate(
        ("decisions", "audience_members", "material_scores"), context=("user_features", "catalog_snapshot"),
        invariants=PLAN
    ),
}  # fmt: skip


@dataclass
class _Run:
    """One check of a gate: what was opened, what is broken, what was said so far."""

    gate: str
    ds: str
    lake: Lake
    views: Views
    opened: dict[str, View] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    verdicts: list[CheckVerdict] = field(default_factory=list)


def gate_of(name: str) -> Gate:
    """Return a gate.

    Raises:
        InvalidInput: there is no gate of this name.
    """
    if name not in GATES:
        raise InvalidInput(f"no gate {name!r}", fix=f"the gates are {', '.join(GATES)}")
    return GATES[name]


def measure(lake: Lake, name: str, ds: str) -> Measures:
    """Count, for each constraint of a dataset's contract, the rows of a day that break it.

    Raises:
        NotFound: the day has no commit of this dataset.
    """
    commits = commits_for(lake, name, ds)
    with open_views(lake) as views:
        view = views.add(name, commits or [lake.require(name, ds=ds)])
        return _measure(views, view, ds)


def run_gate(lake: Lake, gate: str, ds: str, *, lead_hours: int | None = None) -> list[CheckVerdict]:
    """Measure and judge a gate's datasets and invariants; store and return the verdicts.

    Their order is fixed.

    Args:
        lake: where the data is.
        gate: sources, features or plan.
        ds: the closed day.
        lead_hours: hours from ds 00:00 UTC to the plan's first hour; default: the settings'.
    """
    chosen = gate_of(gate)
    with open_views(lake) as views:
        run = _Run(gate, ds, lake, views)
        for name in (*chosen.required, *chosen.optional):
            _check_dataset(run, name, required=name in chosen.required)
        # Context is only read by the invariants; none of its own checks is judged here.
        if chosen.invariants:
            for name in chosen.context:
                _open(run, name, required=False)
            _check_invariants(
                run, chosen.invariants, load_settings().lead_hours if lead_hours is None else lead_hours
            )
    read = [
        (commit.ref, commit.dataset, commit.rows) for view in run.opened.values() for commit in view.commits
    ]
    logs.took(read, broken_by={verdict.check: verdict.n_bad for verdict in run.verdicts if verdict.n_bad})
    seen = stand_before(lake, chosen.windows, ds)
    for line in unjudged(lake, gate, ds, seen) if gate == "sources" else ():
        progress(line)
    context = {name: run.opened[name].citations if name in run.opened else [] for name in chosen.context}
    store(lake, gate, ds, run.verdicts, {**context, **seen})
    return run.verdicts


def command(lake: Lake, gate: str, check: str, ds: str) -> str:
    """Return the command that shows the rows a check counted."""
    prefix = "" if lake.branch == "main" else f"ANGELIA_BRANCH={lake.branch} "
    return f"{prefix}angelia quality rows --gate {gate} --check {check} --ds {ds}"


def _open(run: _Run, name: str, *, required: bool) -> View | None:
    """Open a dataset's view; say so if it is missing (and required) or unreadable."""
    try:
        commits = commits_for(run.lake, name, run.ds)
        if not commits:
            run.broken.add(name)
            if required:
                _whole(run, name, EXISTS, success=False, breach=f"no commit for ds={run.ds}")
            return None
        run.opened[name] = run.views.add(name, commits)
    except (duckdb.Error, AngeliaError, OSError) as error:
        run.broken.add(name)
        _whole(run, name, READABLE, success=False, breach="unreadable", crashed=short(error))
        return None
    return run.opened[name]


def _check_dataset(run: _Run, name: str, *, required: bool) -> None:
    view = _open(run, name, required=required)
    if view is None:
        return
    try:
        measures = _measure(run.views, view, run.ds)
    except (duckdb.Error, OSError) as error:
        run.broken.add(name)
        _whole(run, name, READABLE, success=False, breach="unreadable", crashed=short(error))
        return
    if required:
        _whole(run, name, EXISTS, success=True, breach="no commit")
    contract = dataset(name)
    checks = constraints(contract)
    row: dict[str, Any] = {gx.ROW: name, gx.N_ROWS: measures.n_rows}
    row.update(
        {
            gx.measure_column(check): measures.bad_pct(check.name)
            for check in checks
            if check.kind is not Kind.MIN_ROWS
        }
    )
    for check, outcome in zip(checks, gx.validate(name, checks, [row], contract.version), strict=True):
        # Invariants that read a broken dataset would crash, and say nothing new.
        if check.kind in FROM_SCHEMA and not outcome.success:
            run.broken.add(name)
        bad, percent = measures.n_bad[check.name], measures.bad_pct(check.name)
        run.verdicts.append(
            _verdict(
                run, name, check, outcome, measures.n_rows, bad, percent, ", ".join(check.columns) or None
            )
        )


def _measure(views: Views, view: View, ds: str) -> Measures:
    return count(views.connection, dataset(view.name), view.parts, view.name, ds)


def _check_invariants(run: _Run, invariants: Sequence[Invariant], lead_hours: int) -> None:
    counted = count_invariants(run.views, run.opened, run.broken, invariants, run.ds, lead_hours)
    row: dict[str, Any] = {gx.ROW: run.gate, gx.N_ROWS: None}
    row.update({gx.measure_column(one.invariant.constraint): one.bad_pct for one in counted})
    outcomes = gx.validate(run.gate, [invariant.constraint for invariant in invariants], [row])
    for measured, outcome in zip(counted, outcomes, strict=True):
        invariant = measured.invariant
        if measured.crashed is not None:
            outcome = gx.Outcome(invariant.name, (), measured.crashed)
        run.verdicts.append(
            _verdict(
                run,
                invariant.dataset,
                invariant.constraint,
                outcome,
                measured.n_rows,
                measured.n_bad,
                measured.bad_pct,
                invariant.column,
            )
        )


@dataclass(frozen=True)
class CountedInvariant:
    """What an invariant counted.

    Both are None if the invariant crashed, or a dataset it needs cannot be read (another check's verdict says
    so).
    """

    invariant: Invariant
    n_rows: int | None = None
    n_bad: int | None = None
    crashed: str | None = None

    @property
    def bad_pct(self) -> float | None:
        """Return the percent of rows that break it; of no rows, 100 if there should have been some."""
        if self.n_bad is None or self.n_rows is None:
            return None
        return 100.0 * self.n_bad / self.n_rows if self.n_rows else 100.0 * min(self.n_bad, 1)


def count_invariants(
    views: Views,
    opened: Mapping[str, View],
    broken: Collection[str],
    invariants: Sequence[Invariant],
    ds: str,
    lead_hours: int,
) -> list[CountedInvariant]:
    """Count the rows that break each invariant.

    Args:
        views: the connection.
        opened: views of the datasets that are there.
        broken: those of them with a column missing or of another type: no invariant on them is counted.
        invariants: of the gate.
        ds: the closed day.
        lead_hours: hours from ds 00:00 UTC to the plan's first hour.
    """
    usable = {name: view for name, view in opened.items() if name not in broken}
    try:
        parameters = prepare(views, usable, ds, lead_hours)
    except (duckdb.Error, AngeliaError, ValueError, KeyError) as error:
        # Nothing was measured, so each invariant crashed: a gate must not open on a preparation that failed.
        return [CountedInvariant(invariant, crashed=short(error)) for invariant in invariants]
    counted = []
    rows_of: dict[str, int] = {}  # a night's choices are millions in lists: counted once, not for each check
    for invariant in invariants:
        if not usable.keys() >= set(invariant.needs):
            counted.append(CountedInvariant(invariant))
            continue
        # DuckDB refuses parameters that a statement does not name.
        named = {name: value for name, value in parameters.items() if f"${name}" in invariant.sql}
        try:
            n_rows = rows_of[invariant.of] = rows_of.get(invariant.of) or _count(views, invariant.of)
            n_bad = _count(views, f"({invariant.sql})", named)
            counted.append(CountedInvariant(invariant, n_rows, n_bad))
        except duckdb.Error as error:
            counted.append(CountedInvariant(invariant, crashed=short(error)))
    return counted


def _count(views: Views, rows: str, parameters: Mapping[str, Any] | None = None) -> int:
    return int(views.connection.execute(f"SELECT count(*) FROM {rows}", parameters or {}).fetchall()[0][0])


def prepare(views: Views, opened: Mapping[str, View], ds: str, lead_hours: int) -> dict[str, Any]:
    """Make the views `choices` and `campaigns`, and return the invariants' parameters.

    A view is made where its dataset can be read.
    """
    if "decisions" in opened:
        views.connection.execute(
            "CREATE OR REPLACE VIEW choices AS SELECT ordinal, user_id, unnest(choices, max_depth "
            ":= 2) FROM decisions"
        )
    if "catalog_snapshot" in opened:
        views.connection.register("campaigns", _campaigns(views.lake, opened["catalog_snapshot"].commits))
    start = datetime.fromisoformat(ds).replace(tzinfo=UTC) + timedelta(hours=lead_hours)
    index = _index_users(views.lake, opened)
    return {
        "plan_start": start,
        "plan_end": start + timedelta(hours=24),
        "outcomes": list(DECIDED),
        "index_users": index,
    }


def _campaigns(lake: Lake, commits: Sequence[Commit]) -> pa.Table:
    rows = [
        row
        for commit in commits
        for row in lake.read(commit, columns=["kind", "id", "body"]).to_pylist()
        if row["kind"] == "campaign"
    ]
    bodies = [json.loads(row["body"]) for row in rows]
    return pa.table(
        {
            "campaign_id": pa.array([row["id"] for row in rows], pa.string()),
            "topic": pa.array([body.get("topic") for body in bodies], pa.string()),
            "is_transactional": pa.array(
                [body.get("guarantee") == AT_LEAST_ONCE for body in bodies], pa.bool_()
            ),
        }
    )


def _index_users(lake: Lake, opened: Mapping[str, View]) -> int:
    """Return how many users the index held when the features were built.

    Users appended since have no row yet, and need none.
    """
    features, index = opened.get("user_features"), opened.get("user_index")
    if features is None or index is None:
        return 0
    for citation in (text for commit in features.commits for text in commit.inputs):
        if re.match(r"(?:[^:/]+:)?user_index/", citation):
            return int(lake.cited(citation).meta["n_users"])
    return int(index.commits[-1].meta["n_users"])


def _whole(
    run: _Run, name: str, check: str, *, success: bool, breach: str, crashed: str | None = None
) -> None:
    """Add the verdict on a partition as a whole."""
    constraint = Constraint(check, Kind.RULE, (), 0.0, Severity.CRITICAL, breach)
    outcome = gx.Outcome(check, () if success or crashed else (name,), crashed)
    run.verdicts.append(_verdict(run, name, constraint, outcome, None, None, None, None))


def _verdict(
    run: _Run,
    name: str,
    check: Constraint,
    outcome: gx.Outcome,
    n_rows: int | None,
    n_bad: int | None,
    bad_pct: float | None,
    column: str | None,
) -> CheckVerdict:
    full = check.name if check.name.startswith(f"{name}.") else f"{name}.{check.name}"
    return CheckVerdict(
        gate=run.gate,
        ds=run.ds,
        dataset=name,
        check=full,
        column=column,
        severity=str(check.severity),
        success=outcome.success,
        crashed=outcome.crashed is not None,
        n_rows=n_rows,
        n_bad=n_bad,
        bad_pct=None if bad_pct is None else round(bad_pct, 6),
        tolerated_pct=check.tolerated_pct,
        breach=check.breach,
        command=command(run.lake, run.gate, full, run.ds)
        if n_rows is not None
        else f"angelia lake log {name}",
        commits=tuple(run.opened[name].citations) if name in run.opened else (),
        error=outcome.crashed,
    )


def short(error: Exception) -> str:
    """Return the crash of a check in one line, without a row's value or a path of this machine."""
    if isinstance(error, duckdb.DataError):
        return f"{type(error).__name__}: a value could not be converted"
    # The first line only: DuckDB repeats the whole statement below it. Of what it quotes, only a file of ours
    # is named.
    message = _QUOTED.sub(lambda match: ", ".join(_FILE_NAME.findall(match.group())) or "…", str(error))
    return f"{type(error).__name__}: {(message.splitlines() or [''])[0][:200]}"


def verdicts(lake: Lake, ds: str) -> list[dict[str, Any]]:
    """Return the newest verdicts of a day as plain dictionaries, in the gates' order."""
    return [asdict(verdict) for gate in GATES for verdict in load(lake, gate, ds)]
