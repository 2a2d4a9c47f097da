"""`angelia effects series`: a span of nights as one page with charts.

Reads effects_mart, and writes series.html among the reports or the file that it is given.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from angelia.commands.effects.mart import connected
from angelia.commands.report import FirstDay, LastDay
from angelia.config import load_settings
from angelia.drawing.files import require_writable, write_text
from angelia.effects.attribution.series import draw_series
from angelia.effects.attribution.words import gaps_line
from angelia.lake.configured import open_lake
from angelia.output import JsonFlag, days_between, emit
from angelia.quality.pages import ReportPages


def series(
    first: FirstDay,
    last: LastDay,
    out: Annotated[
        Path | None, typer.Option("--out", help="Page to write; default: HOME/reports/series.html.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Draw the marts of a span night by night, and deliverability by channel and phone maker."""
    settings = load_settings()
    pages = ReportPages(settings)
    if out is not None:
        require_writable(out)
    with connected() as connection:
        text, nights = draw_series(connection, open_lake(settings=settings), days_between(first, last))
    if out is None:
        place = pages.write("series.html", text)
    else:
        write_text(out, text)
        place = str(out)
    result = {
        "page": place,
        "nights": sorted(nights.complete),
        "nights_without_mart": list(nights.missing),
        "days_without_plan": list(nights.unplanned),
    }
    drawn = f"{place}  {len(nights.complete)} night{'s' * (len(nights.complete) > 1)} drawn"
    emit(result, [", ".join(filter(None, (drawn, gaps_line(nights.missing, nights.unplanned))))], as_json)
