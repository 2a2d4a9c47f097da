"""What a report is made of is written as text, whatever it holds."""

from __future__ import annotations

from typing import Any

from angelia.config import load_settings
from angelia.lake import Lake
from angelia.lake.views import scratch_connection


def test_headings_and_labels_escape_the_conversion(lake: Lake, night: Any) -> None:
    from angelia.effects.findings import Findings
    from angelia.effects.report import render
    from angelia.effects.sources import find_sources, register
    from angelia.effects.tables import run_tables

    conversion, sources = "<meta name=x>", find_sources(lake, "2026-11-14", load_settings().lead_hours)
    with scratch_connection("report") as connection:
        register(connection, lake, sources)
        tables, checks = run_tables(connection, sources.night, conversion)
    page = render(Findings(sources, tables, checks, [], conversion))
    assert conversion not in page
    assert "&lt;meta name=x&gt;" in page
