"""The difference that settings make, as lines: signed changes, and only what changes."""

from __future__ import annotations

from angelia.asking.settings import Setting
from angelia.asking.whatif import Moves, Pair, PlanFigures, WhatIf
from angelia.asking.whatif_text import lines, setting_lines

PAIR = Pair(PlanFigures(1_200, 5_000_000, 60.0), PlanFigures(900, 4_500_000, 61.5))
SAME = Pair(PlanFigures(1, 1, 1.0), PlanFigures(1, 1, 1.0))


def answer(**changes: object) -> WhatIf:
    given: dict[str, object] = {
        "ds": "2026-11-14",
        "plan": "decisions/ds=2026-11-14@1",
        "settings": {"min_gap_hours": "2"},
        "total": PAIR,
        "people": (1_000, 800),
        "campaigns": {"sale": PAIR},
        "channels": {"fcm": SAME},
        "moves": {"sale": Moves(10, 310, 5), "news": Moves()},
        "outcomes": {"sale": {"sent": (1_200, 900), "capped": (5, 305)}, "news": {"capped": (3, 3)}},
        "certificates": {"plan": {"gap_pct": 0.1}, "what_if": {"gap_pct": 0.2}},
    }
    return WhatIf(**{**given, **changes})  # type: ignore[arg-type]


def test_each_figure_has_its_change() -> None:
    page = lines(answer(contradictions=("none fits",), notes=("one hour passed",)))
    text = "\n".join(page)
    assert page[0] == "night 2026-11-14, decisions/ds=2026-11-14@1; what if min_gap_hours=2"
    assert page[1] == "  impossible: none fits"
    (sale,) = [line for line in page if line.startswith("  sale ") and "gained" not in line]
    assert sale.split()[1:] == ["1,200", "900", "-300", "5.00", "4.50", "-0.50", "60.0", "61.5", "+1.5"]
    assert "people with a message 1,000 -> 800 (-200); gap 0.1 % -> 0.2 %" in text
    assert page[-1] == "  note: one hour passed"


def test_only_what_moves_or_changes_is_listed() -> None:
    text = "\n".join(lines(answer()))
    assert "10 gained      310 lost        5 at another hour" in text
    assert text.count("gained") == 1
    assert "+300" in text
    assert "outcomes that change" in text
    quiet = "\n".join(
        lines(answer(outcomes={"sale": {"sent": (2, 3)}, "news": {"sent": (3, 2)}}, settings={}))
    )
    assert "every outcome is as planned" in quiet
    assert "what if nothing set" in quiet


def test_settings_stand_in_columns() -> None:
    settings = [
        Setting("min_gap_hours", "4", "hours between two", "a number"),
        Setting("x", "10", "any", "a text"),
    ]
    assert setting_lines(settings) == [
        "min_gap_hours  4   hours between two: a number",
        "x              10  any: a text",
    ]
    assert setting_lines([]) == []
