"""The report's section on credit: its figures, how complete, and how to make it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from angelia.effects.attribution.section import credited

COMPLETE = {
    "is_final": True,
    "n_too_late": 1_200,
    "n_not_displayed": 0,
    "n_sent": 50,
    "n_sent_planned": 47,
}
ROW = {"campaign_id": "<sale>", "n_sent": 50, "n_opened": 9, "conversion_value": 12.5}


def section_of(complete: dict[str, Any] | None) -> str:
    mart = SimpleNamespace(meta={"complete": complete}) if complete is not None else None
    sources = SimpleNamespace(only=lambda name: mart, night=SimpleNamespace(ds="2026-11-14"))
    findings: Any = SimpleNamespace(sources=sources, tables={"credited": SimpleNamespace(rows=[ROW])})
    return credited(findings)


def test_without_a_mart_it_says_how_to_make_it() -> None:
    text = section_of(None)
    assert "Not made yet: angelia effects mart --from 2026-11-14 --to 2026-11-14" in text
    assert "<table>" not in text


def test_figures_and_what_takes_no_credit_are_shown() -> None:
    text = section_of(COMPLETE)
    assert "How complete: complete." in text
    assert "&lt;sale&gt;" in text
    assert "1,200 reached the phone too late for credit; 3 were sent without a decision" in text
    assert "not reported as shown" not in text


def test_where_everything_takes_credit_nothing_is_folded_away() -> None:
    text = section_of(COMPLETE | {"n_too_late": 0, "n_sent_planned": 50})
    assert "Messages that take no credit" not in text
