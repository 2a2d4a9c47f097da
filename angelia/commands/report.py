"""`angelia report` and `angelia effects`: a night as a page, the effects of many.

Reads the lake; writes HOME/reports/<ds>.html (or --out) with the quality report beside it, through the lake
`campaign_effects`, `intake_usage` and `reach`, and --summary-json. A failed critical check of a table still
leaves the page, which shows it, but publishes no effects and ends with exit code 2. `angelia effects over`
and `power` write nothing.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer

from angelia.asking import over_nights
from angelia.config import Settings, load_settings
from angelia.contracts import arrow, dataset
from angelia.contracts.sources import NAME
from angelia.drawing.files import require_writable, write_text
from angelia.effects.findings import Findings
from angelia.effects.over import (
    METRICS,
    PLANNED_NIGHTS,
    Effect,
    EffectEstimate,
    Ratio,
    effects,
    grown,
    ratios,
)
from angelia.effects.panel import Panel, read_panel
from angelia.effects.power import MOST_NIGHTS, power
from angelia.effects.report import render
from angelia.effects.sources import ReportSources, find_sources, register
from angelia.effects.summary import summary
from angelia.effects.tables import Table, run_tables
from angelia.errors import GateClosed, InvalidInput, NotFound
from angelia.lake import Commit, Lake
from angelia.lake.configured import open_lake
from angelia.lake.views import scratch_connection
from angelia.output import DsOption, JsonFlag, days_between, emit, written_out

effects_app = typer.Typer(no_args_is_help=True, help="What messages were worth over many nights.")
FirstDay = Annotated[str, typer.Option("--from", metavar="YYYY-MM-DD", help="First night.")]
LastDay = Annotated[str, typer.Option("--to", metavar="YYYY-MM-DD", help="Last night.")]
Conversion = Annotated[str, typer.Option("--conversion", help="Event type that counts as a conversion.")]
DayCap = Annotated[
    float | None,
    typer.Option("--cap", help="Most of a person's money of a day that counts; default: from history."),
]
Planned = Annotated[
    int,
    typer.Option(
        "--planned-nights",
        min=1,
        max=MOST_NIGHTS,
        help="How long the comparison is meant to run: always-valid intervals are narrowest there. Choose "
        "it before looking.",
    ),
]


def report(
    ds: DsOption,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="HTML file; default HOME/reports/<ds>.html, with <ds>-quality.html beside it."
        ),
    ] = None,
    conversion: Annotated[
        str, typer.Option("--conversion", help="Event type that counts as a conversion.")
    ] = "purchase",
    summary_json: Annotated[
        Path | None, typer.Option("--summary-json", help="Also write the night's numbers to this file.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a night's report: funnel, hours, lift, audiences, reasons, certificate, quality."""
    result = run_report(load_settings(), ds, out=out, conversion=conversion, summary_json=summary_json)
    emit(result, _lines(result), as_json)


def run_report(
    settings: Settings,
    ds: str,
    *,
    out: Path | None = None,
    conversion: str = "purchase",
    summary_json: Path | None = None,
) -> dict[str, Any]:
    """Write the page and the effects, and return the night's summary with the report's path.

    Raises:
        NotFound: nothing was decided for the day.
        InvalidInput: a file cannot be written, or the conversion is not an event type.
        GateClosed: a critical check of a table failed; the page shows it.
    """
    from angelia.quality import verdicts
    from angelia.quality.pages import ReportPages
    from angelia.quality.publish import publish_report, report_name

    require_conversion(conversion)
    lake = open_lake(settings=settings)
    sources = find_sources(lake, ds, settings.lead_hours)
    if sources.only("decisions") is None:
        raise NotFound(
            f"nothing was decided for {ds}",
            fix="run the night first, or name a day that `angelia lake log decisions` lists",
        )
    pages = ReportPages(settings)
    target = out or pages.folder / f"{ds}.html"
    for path in filter(None, (target, summary_json)):
        require_writable(path)
    with scratch_connection("report") as connection:
        register(connection, lake, sources)
        tables, checks = run_tables(connection, sources.night, conversion)
    # A page that is written elsewhere stands alone: nothing beside it could be linked.
    beside = report_name(ds) if out is None else None
    write_text(target, render(Findings(sources, tables, checks, verdicts(lake, ds), conversion, beside)))
    place = str(out) if out else pages.share(target.name)
    quality = publish_report(settings, ds)["report"] if beside else None
    critical = [check for check in checks if check.failed and check.severity == "critical"]
    if critical:
        named = "; ".join(f"{check.table}.{check.name}: {check.n_rows}" for check in critical)
        raise GateClosed(
            f"critical checks of the report failed: {named}", fix=f"see {place}; no effects were published"
        )
    effects = publish_effects(lake, sources, tables["campaign_effects"], conversion)
    for name in _READ_BY:
        publish_beside(lake, sources, tables[name])
    result = summary(lake, ds) | {
        "report": place,
        "quality_report": quality,
        "effects": effects.ref,
        "checks": len(checks),
        "warnings": [f"{check.table}.{check.name}" for check in checks if check.failed],
    }
    if summary_json:
        write_text(summary_json, json.dumps(result, indent=1, sort_keys=True) + "\n")
    return result


def require_conversion(conversion: str) -> None:
    """Refuse what is no event type."""
    if not re.fullmatch(NAME, conversion):
        raise InvalidInput(
            "--conversion is not an event type",
            fix=f"give a type that events carry, such as purchase; it matches {NAME}",
        )


def require_cap(cap: float | None) -> None:
    """Refuse what is no amount of money."""
    if cap is not None and not (math.isfinite(cap) and cap > 0):
        raise InvalidInput("--cap is not an amount above zero", fix="leave it out to take it from history")


@effects_app.command("over")
def over(
    first: FirstDay,
    last: LastDay,
    conversion: Conversion = "purchase",
    cap: DayCap = None,
    planned: Planned = PLANNED_NIGHTS,
    kept: Annotated[bool, typer.Option("--keep", help="Also keep it, for the console.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Compare everyone with the holdouts over many nights, in conversions and money.

    An alarm about the sides' sizes ends with exit code 2, after the figures.
    """
    panel = _panel(first, last, conversion, cap)
    rows, tests = effects(panel, planned), ratios(panel)
    result = {
        "nights": [night.ds for night in panel.nights],
        "is_growing": panel.is_growing,
        **comparison(panel, rows, tests, conversion, planned),
    }
    if kept:
        over_nights.keep(open_lake(), result, panel, planned)
    emit(result, comparison_lines(panel, rows, tests), as_json)
    alarms = [test.scope for test in tests if test.alarm]
    # Kept and printed before this, so that the figures behind the alarm can be looked at.
    if alarms:
        raise GateClosed(
            f"the sides of {', '.join(alarms)} are not as large as the hash makes them",
            fix="trust no difference of these scopes; look for what changes who is considered on one side",
        )


@effects_app.command("power")
def until_seen(
    first: FirstDay,
    last: LastDay,
    effect_pct: Annotated[
        float, typer.Option("--effect-pct", help="Effect to see, in % of the holdout's mean.")
    ],
    metric: Annotated[str, typer.Option("--metric", help=f"One of {', '.join(METRICS)}.")] = "revenue",
    scope: Annotated[str, typer.Option("--scope", help="A campaign, or all.")] = "all",
    holdout_pct: Annotated[
        float | None, typer.Option("--holdout-pct", help="Another share held out; default: as it is.")
    ] = None,
    conversion: Conversion = "purchase",
    cap: DayCap = None,
    planned: Planned = PLANNED_NIGHTS,
    as_json: JsonFlag = False,
) -> None:
    """Say after how many nights an effect is seen four times out of five."""
    if not (math.isfinite(effect_pct) and effect_pct):
        raise InvalidInput("--effect-pct is zero or not a number", fix="give the effect to see, such as 5")
    if metric not in METRICS:
        raise InvalidInput(f"--metric is not one of {', '.join(METRICS)}", fix="choose one of them")
    if holdout_pct is not None and not 0 < holdout_pct < 100:
        raise InvalidInput("--holdout-pct is not between 0 and 100", fix="give a share such as 10")
    panel = _panel(first, last, conversion, cap)
    growth = grown(panel, scope, metric)
    # No spread is known without two nights with people on both sides; any figure would be made up.
    if growth is None:
        scopes = ", ".join(sorted({name for name, _ in panel.moments})) or "none"
        raise NotFound(
            f"too little happened in scope {scope} to tell how {metric} varies",
            fix=f"name more nights, or one of these scopes with people on both sides: {scopes}",
        )
    moments = panel.moments[scope, metric]
    n_treated, n_holdout = float(moments.treated.n[-1]), float(moments.holdout.n[-1])
    # The same people, divided anew: how much they vary does not change with the share held out.
    if holdout_pct is not None:
        n_holdout, n_treated = (
            (n_treated + n_holdout) * share for share in (holdout_pct / 100, 1 - holdout_pct / 100)
        )
    answer = power(growth, n_treated, n_holdout, effect_pct / 100, planned)
    result = {
        "scope": scope,
        "metric": metric,
        "effect_pct": effect_pct,
        "n_treated": round(n_treated),
        "n_holdout": round(n_holdout),
        "mean_a_night": growth.mean,
        "nights_one_look": answer.fixed_nights,
        "nights_any_look": answer.sequential_nights,
        "smallest_effect_pct": {str(n): 100 * least for n, least in answer.smallest},
    }

    def after(nights: int | None) -> str:
        return f"not within {MOST_NIGHTS} nights" if nights is None else f"after {nights} nights"

    lines = [
        f"{metric} of {scope}: {written_out(growth.mean, 4)} a person and night, {n_treated:,.0f} people and "
        f"{n_holdout:,.0f} held out",
        f"an effect of {effect_pct:+g} % is seen four times of five",
        f"  by one look at the end  {after(answer.fixed_nights)}",
        f"  looking every day       {after(answer.sequential_nights)}",
        "smallest effect seen by one look: "
        + ", ".join(f"{n} nights {written_out(100 * least, 3)} %" for n, least in answer.smallest),
    ]
    emit(result, lines, as_json)


def _panel(first: str, last: str, conversion: str, cap: float | None) -> Panel:
    days = days_between(first, last)
    require_conversion(conversion)
    require_cap(cap)
    settings = load_settings()
    with scratch_connection("report") as connection:
        return read_panel(
            connection,
            open_lake(settings=settings),
            days,
            lead_hours=settings.lead_hours,
            conversion=conversion,
            cap=cap,
        )


def comparison(
    panel: Panel, rows: list[Effect], tests: list[Ratio], conversion: str, planned: int
) -> dict[str, Any]:
    """Return a panel's figures as JSON has them."""
    return {
        "observed_until": panel.observed_until,
        "conversion": conversion,
        "planned_nights": planned,
        "cap": dataclasses.asdict(panel.cap),
        "not_adjusted": panel.history,
        "left_out": dict(panel.left_out),
        "ratios": [dataclasses.asdict(test) for test in tests],
        "effects": [dataclasses.asdict(row) for row in rows],
    }


def comparison_lines(panel: Panel, rows: list[Effect], tests: list[Ratio]) -> Iterator[str]:
    """Yield the lines that say a panel's figures to people."""

    # `once` holds for a night chosen beforehand, `always` however often somebody looks.
    def span(estimate: EffectEstimate) -> str:
        ends = (estimate.low, estimate.high, estimate.always_low, estimate.always_high)
        shown = [written_out(value, 4, signed=True) for value in (estimate.difference, *ends)]
        return "{}  once [{}, {}]  always [{}, {}]".format(*shown)

    yield f"nights {panel.nights[0].ds} to {panel.nights[-1].ds}: {len(panel.nights)} planned"
    for row in rows:
        yield (
            f"{row.scope}  {row.metric}  {row.n_treated:,} people {written_out(row.mean_treated, 4)}, "
            f"{row.n_holdout:,} held out {written_out(row.mean_holdout, 4)}"
            + ("  STANDS OUT" if row.stands_out else "  stands out if looked at once" * row.stands_out_once)
        )
        for name in ("unadjusted", "adjusted", "total"):
            if (estimate := getattr(row, name)) is not None:
                yield f"  {name:<11} {span(estimate)}"
        if row.why_none:
            yield f"  no interval: {row.why_none}"
    for test in tests:
        p = "share changed between nights" if test.p_value is None else f"p {written_out(test.p_value, 3)}"
        yield f"sides of {test.scope}: {p}" + ("  ALARM" if test.alarm else "")
    if panel.cap.amount is not None:
        yield (
            f"a day's money counts up to {panel.cap.amount:,.2f} ({panel.cap.origin}); "
            f"{panel.cap.n_days_cut:,} days were cut by {panel.cap.money_cut:,.2f}"
        )
    if panel.history:
        yield f"not adjusted: {panel.history}"
    if panel.is_growing:
        yield f"events have arrived up to {panel.observed_until}: figures still grow, none stands out yet"
    for reason, n in panel.left_out.items():
        yield f"left out: {n:,} {reason}"


_OF_INTAKE = ("intake_messages", "intake_steps", "dispatch_intake")
_OF_DEVICES = ("user_endpoints", "user_features", "registered_addresses")
_NOT_OF_EFFECTS = ("audience_members", "user_index", "effects_mart", *_OF_INTAKE, *_OF_DEVICES)
_READ_BY = {
    "intake_usage": _OF_INTAKE,
    "reach": (*_OF_DEVICES, "dispatch_manifest", "delivery_ledger", "push_receipts"),
}


def publish_effects(lake: Lake, sources: ReportSources, table: Table, conversion: str) -> Commit:
    """Publish the table as `campaign_effects` of the night."""
    contract = dataset("campaign_effects")
    rows = pa.Table.from_pylist(list(table.rows), schema=arrow.schema(contract))
    inputs = [
        commit
        for name, commits in sources.commits.items()
        for commit in commits
        if name not in _NOT_OF_EFFECTS
    ]
    with lake.attempt(contract.name, ds=sources.night.ds) as attempt:
        attempt.write(rows, "part-0000.parquet")
        return attempt.publish(inputs=inputs, params={"conversion": conversion})


def publish_beside(lake: Lake, sources: ReportSources, table: Table) -> Commit | None:
    """Publish a table as the dataset of its name; None where it never had a row."""
    contract = dataset(table.name)
    inputs = [commit for name in _READ_BY[table.name] for commit in sources.commits[name]]
    if not table.rows and lake.head(contract.name, ds=sources.night.ds) is None:
        return None
    with lake.attempt(contract.name, ds=sources.night.ds) as attempt:
        attempt.write(
            pa.Table.from_pylist(list(table.rows), schema=arrow.schema(contract)), "part-0000.parquet"
        )
        return attempt.publish(inputs=inputs)


def _lines(result: dict[str, Any]) -> list[str]:
    def counts(by_name: dict[str, int]) -> str:
        return (
            ", ".join(
                f"{name} {n:,}" for name, n in sorted(by_name.items(), key=lambda item: (-item[1], item[0]))
            )
            or "none"
        )

    lines = [
        f"users       {result['users']:,}",
        f"audiences   {counts(result['audiences'])}",
        f"decisions   {counts(result['decisions'])}",
        (
            f"manifest    {result['manifest_parts']:,} parts, {result['manifest_rows']:,} rows, "
            f"sha256 {result['manifest_sha256']}"
        ),
        f"delivered   {counts(result['delivered'])}",
        f"opens       {result['opens']:,}",
        f"checks      {result['checks']} run, {len(result['warnings'])} warnings"
        + (f": {', '.join(result['warnings'])}" if result["warnings"] else ""),
        f"report      {result['report']}",
    ]
    if result["quality_report"]:
        lines.append(f"quality     {result['quality_report']}")
    return lines
