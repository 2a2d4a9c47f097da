"""The quality report: every square and line equals the planted verdicts; the page is safe."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

from angelia.config import load_settings
from angelia.contracts.rows import valid_rows
from angelia.errors import NotFound
from angelia.lake import Lake
from angelia.quality import run_gate
from angelia.quality.history import gather
from angelia.quality.publish import publish_report
from angelia.quality.report import render
from tests.unit.quality.week import GOOD, LAST, keep, squares


def test_the_page_needs_nothing_and_says_nothing_of_a_person(week: Lake, settings_home: Path) -> None:
    canary = "canary-7f3a@example.org"
    rows = valid_rows("user_events", 300)
    names = pa.array([f"{canary}{i}" if i < 200 else None for i in range(300)])
    with week.attempt("user_events", ds=LAST) as attempt:
        attempt.write(
            rows.set_column(rows.column_names.index("user_id"), "user_id", names),
            "part-0000.parquet",
            conform=False,
        )
        attempt.publish()
    run_gate(week, "sources", LAST)
    page = Path(publish_report(load_settings())["report"]).read_text("utf-8")
    assert "user_events.user_id" in page
    assert "canary" not in page
    assert str(settings_home) not in page
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", page)
    assert "default-src 'none'" in page
    assert page == Path(publish_report(load_settings())["report"]).read_text("utf-8"), (
        "equal verdicts, equal bytes"
    )


def test_one_day_and_none(lake: Lake, settings_home: Path) -> None:
    with pytest.raises(NotFound, match="no gate was ever checked"):
        publish_report(load_settings())
    page = render(gather(lake, LAST, 1))
    assert "No gate was checked in these days." in page
    keep(lake, LAST, GOOD)
    assert squares(render(gather(lake, LAST, 1))) == {"user_events": ["14 passed"]}
