"""`angelia report`: the night as one HTML page, and its effects as a dataset.

Reads the lake; writes HOME/reports/<ds>.html (or --out) with the quality report beside it, `campaign_effects`
through the lake, and --summary-json. A failed critical check of a table still leaves the page, which shows
it, but publishes no effects and ends with exit code 2.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import duckdb
import pyarrow as pa
import typer

from angelia.config import Settings, load_settings
from angelia.contracts import arrow, dataset
from angelia.contracts.sources import NAME
from angelia.drawing.files import require_writable, write_text
from angelia.effects.findings import Findings
from angelia.effects.report import render
from angelia.effects.sources import Sources, find_sources, register
from angelia.effects.summary import summary
from angelia.effects.tables import Table, run_tables
from angelia.errors import GateClosed, InvalidInput, NotFound
from angelia.lake import Commit, Lake
from angelia.lake.configured import open_lake
from angelia.output import DsOption, JsonFlag, emit


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
    from angelia.quality.publish import publish_report, report_name, reports_folder

    if not re.fullmatch(NAME, conversion):
        raise InvalidInput(
            "--conversion is not an event type",
            fix=f"give a type that events carry, such as purchase; it matches {NAME}",
        )
    lake = open_lake(settings=settings)
    sources = find_sources(lake, ds, settings.lead_hours)
    if sources.one("decisions") is None:
        raise NotFound(
            f"nothing was decided for {ds}",
            fix="run the night first, or name a day that `angelia lake log decisions` lists",
        )
    folder = reports_folder(settings)
    target = out or folder / f"{ds}.html"
    for path in filter(None, (target, summary_json)):
        require_writable(path)
    with _connection() as connection:
        register(connection, lake, sources)
        tables, checks = run_tables(connection, sources.night, conversion)
    # A page that is written elsewhere stands alone: nothing beside it could be linked.
    beside = report_name(ds) if out is None else None
    write_text(target, render(Findings(sources, tables, checks, verdicts(lake, ds), conversion, beside)))
    quality = publish_report(settings, ds)["report"] if beside else None
    critical = [check for check in checks if check.failed and check.severity == "critical"]
    if critical:
        named = "; ".join(f"{check.table}.{check.name}: {check.n_rows}" for check in critical)
        raise GateClosed(
            f"critical checks of the report failed: {named}", fix=f"see {target}; no effects were published"
        )
    effects = publish_effects(lake, sources, tables["campaign_effects"], conversion)
    result = summary(lake, ds) | {
        "report": str(target),
        "quality_report": quality,
        "effects": effects.ref,
        "checks": len(checks),
        "warnings": [f"{check.table}.{check.name}" for check in checks if check.failed],
    }
    if summary_json:
        write_text(summary_json, json.dumps(result, indent=1, sort_keys=True) + "\n")
    return result


def publish_effects(lake: Lake, sources: Sources, table: Table, conversion: str) -> Commit:
    """Publish the table as `campaign_effects` of the night."""
    contract = dataset("campaign_effects")
    rows = pa.Table.from_pylist(list(table.rows), schema=arrow.schema(contract))
    inputs = [
        commit
        for name, commits in sources.commits.items()
        for commit in commits
        if name not in ("audience_members", "user_index")
    ]
    with lake.attempt(contract.name, ds=sources.night.ds) as attempt:
        attempt.write(rows, "part-0000.parquet")
        return attempt.publish(inputs=inputs, params={"conversion": conversion})


@contextmanager
def _connection() -> Iterator[duckdb.DuckDBPyConnection]:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="angelia-report-") as folder:
        connection = duckdb.connect(config={"temp_directory": folder})
        try:
            yield connection
        finally:
            connection.close()


def _lines(result: dict[str, Any]) -> list[str]:
    def counts(found: dict[str, int]) -> str:
        return (
            ", ".join(
                f"{name} {n:,}" for name, n in sorted(found.items(), key=lambda item: (-item[1], item[0]))
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
