"""`angelia quality`: gates, the rows they counted, verdicts, the report and Data Docs.

Reads the lake; `check` writes verdicts, and exits with code 2 and one line if the gate is closed; `report`
and `docs` write below HOME/reports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from angelia.config import load_settings
from angelia.errors import NotFound
from angelia.lake.configured import open_lake
from angelia.output import DsOption, JsonFlag, emit, parse_ds, progress
from angelia.quality.gates import GATES, gate_of, run_gate
from angelia.quality.judged import judged_lake
from angelia.quality.offenders import columns_first, offending_rows
from angelia.quality.verdicts import CheckVerdict, load, require_open

app = typer.Typer(no_args_is_help=True, help="Data-quality gates and their verdicts.")
GateOption = Annotated[str, typer.Option("--gate", help=f"One of: {', '.join(GATES)}.")]


@app.command()
def check(gate: GateOption, ds: DsOption, as_json: JsonFlag = False) -> None:
    """Check a gate: measure its datasets and store the verdicts.

    The exit code is 2 if a critical check fails or any check crashes.
    """
    gate_of(gate)
    progress(f"quality: checking gate {gate} of {ds}")
    lake = open_lake()
    if gate == "plan":  # the plan is made from what these gates judged, so its invariants read the same
        lake = judged_lake(lake, ds, ("sources", "features"), is_required=False)
    verdicts = run_gate(lake, gate, ds)
    is_open = not any(verdict.blocks for verdict in verdicts)
    result = {
        "gate": gate,
        "ds": ds,
        "open": is_open,
        "checks": len(verdicts),
        "verdicts": [asdict(verdict) for verdict in verdicts],
    }
    if is_open or as_json:
        emit(result, _summary(gate, ds, verdicts), as_json)
    require_open(gate, ds, verdicts)


def _summary(gate: str, ds: str, verdicts: Sequence[CheckVerdict]) -> Iterator[str]:
    by_dataset = Counter(verdict.dataset for verdict in verdicts)
    for name, checks in by_dataset.items():
        rows = max((verdict.n_rows or 0 for verdict in verdicts if verdict.dataset == name), default=0)
        yield f"  {name}: {checks} checks, {rows:,} rows"
    for verdict in verdicts:
        if not verdict.success:
            yield f"  warning: {verdict.sentence()}; see the rows: {verdict.command}"
    dirty = sum(1 for verdict in verdicts if verdict.success and verdict.n_bad)
    more = (
        f", {dirty} of them with rows that are dirty but tolerated (angelia quality show --ds {ds})"
        if dirty
        else ""
    )
    yield (
        f"gate {gate} of {ds} is open: {sum(verdict.success for verdict in verdicts)} of {len(verdicts)} "
        f"checks hold{more}"
    )


@app.command()
def rows(
    gate: GateOption,
    check: Annotated[
        str,
        typer.Option("--check", help="Name of a check, as in a verdict: user_profiles.timezone.max_null."),
    ],
    ds: DsOption,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most rows to print.")] = 20,
    show_personal: Annotated[
        bool,
        typer.Option("--show-personal", help="Print ids and addresses as they are, not as keyed hashes."),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Print rows that break a check; personal columns are shown as prefixes of keyed hashes."""
    broken = columns_first(
        offending_rows(open_lake(), gate, check, ds, limit=limit, show_personal=show_personal), check
    )
    emit(
        {"gate": gate, "check": check, "ds": ds, "rows": broken},
        _table(broken) if broken else ["no row breaks this check"],
        as_json,
    )


def _table(broken: Sequence[Any]) -> Iterator[str]:
    for number, row in enumerate(broken, 1):
        yield f"{number:>3}  " + "  ".join(f"{name}={_cell(value)}" for name, value in row.items())


def _cell(value: object) -> str:
    # A control character from a broken source must not reach the terminal unescaped.
    text = "null" if value is None else value.isoformat() if hasattr(value, "isoformat") else str(value)
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= 60 else text[:57] + "..."


@app.command()
def show(
    ds: DsOption,
    gate: Annotated[str | None, typer.Option("--gate", help="Only this gate.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List a day's newest verdicts: failed, crashed and tolerated checks, and how many hold."""
    if gate is not None:
        gate_of(gate)
    lake = open_lake()
    by_gate = {name: load(lake, name, ds) for name in GATES if gate in (None, name)}
    if not any(by_gate.values()):
        raise NotFound(
            f"no gate was checked for {ds}",
            fix=f"run `angelia quality check --gate {gate or 'sources'} --ds {ds}`",
        )
    emit(
        {"ds": ds, "gates": {name: [asdict(v) for v in found] for name, found in by_gate.items() if found}},
        _listing(by_gate),
        as_json,
    )


def _listing(by_gate: dict[str, list[CheckVerdict]]) -> Iterator[str]:
    for name, verdicts in by_gate.items():
        if not verdicts:
            yield f"{name}: not checked"
            continue
        state = "closed" if any(verdict.blocks for verdict in verdicts) else "open"
        held = sum(verdict.success for verdict in verdicts)
        yield f"{name}: {state}, {held} of {len(verdicts)} checks hold"
        for verdict in verdicts:
            if verdict.crashed:
                yield f"  crashed   {verdict.sentence()}"
            elif not verdict.success:
                yield f"  {verdict.severity:<9} {verdict.sentence()}; see the rows: {verdict.command}"
            elif verdict.n_bad:
                yield f"  tolerated {verdict.sentence()}"


LastDay = Annotated[
    str | None,
    typer.Option(
        "--ds",
        metavar="YYYY-MM-DD",
        help="Last day; default: the newest day with verdicts.",
        callback=lambda v: parse_ds(v) if v else v,
    ),
]


@app.command()
def report(
    ds: LastDay = None,
    days: Annotated[int, typer.Option(min=1, max=366, help="How many days.")] = 28,
    as_json: JsonFlag = False,
) -> None:
    """Write the quality report: verdicts, row counts, nulls and rejected rows by day.

    The file is HOME/reports/quality.html; with --ds it is HOME/reports/DAY-quality.html, to which the night's
    report links.
    """
    from angelia.quality.publish import publish_report

    result = publish_report(load_settings(), ds, days)
    state = "closed" if result["closed"] else "open"
    emit(
        result,
        [
            f"gates of {result['ds']}: {state}; {result['checks']} checks, {result['failed']} failed",
            f"report  {result['report']}",
        ],
        as_json,
    )


@app.command()
def docs(
    ds: LastDay = None,
    days: Annotated[int, typer.Option(min=1, max=28, help="How many days; each costs about a second.")] = 7,
    as_json: JsonFlag = False,
) -> None:
    """Write Great Expectations' Data Docs of suites and verdicts to HOME/reports/data_docs.

    They hold measures and verdicts, no row of any dataset, and need nothing from the network.
    """
    from angelia.quality.publish import publish_docs

    progress("quality: writing Data Docs")
    result = publish_docs(load_settings(), ds, days)
    emit(
        result, [f"{result['suites']} suites, {result['validations']} validations: {result['docs']}"], as_json
    )
