"""The days that a gate measures, those it notes, and those that none passed."""

from __future__ import annotations

from pathlib import Path

import pytest

from angelia.lake import Lake
from angelia.quality import covered
from angelia.quality.covered import _named, days_before, days_for, stand_before, unjudged
from angelia.quality.gates import gate_of
from angelia.quality.verdicts import CheckVerdict, store
from tests.unit.quality.test_judged import DS, judged, put

__all__ = ["judged"]


def test_a_gate_counts_days_before_that_none_passed(judged: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    days = ("2026-11-10", "2026-11-11", "2026-11-12", "2026-11-13")
    for day in days:
        put(judged, "user_events", ds=day)
    for day in days[1:]:
        cited = (judged.require("user_events", ds=day).citation(),)
        check = CheckVerdict(
            "sources", day, "user_events", "user_events.x", None, "critical", day != days[1], False,
            None, None, None, 0.0, "bad", "c", cited,
        )  # fmt: skip
        store(judged, "sources", day, [check])
    put(judged, "user_events", 41, ds=days[2])
    replay = Lake(judged.store, "replay-x")  # main's days were judged on main
    for lake in (judged, replay):
        seen = stand_before(lake, gate_of("sources").windows, DS)
        assert list(unjudged(lake, "sources", DS, seen)) == [
            f"user_events: of 4 days before {DS}, 1 stand as their own gate passed them; 1 changed "
            f"since ({days[2]}); 1 closed ({days[1]}); 1 never judged ({days[0]}): they are read as they "
            f"stand now; to judge one, run `angelia quality check --gate sources --ds {days[2]}`"
        ]


def test_a_days_verdicts_are_looked_up_once(judged: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("user_events", "push_history"):
        put(judged, name, ds="2026-11-13")
    seen, asked = stand_before(judged, ("user_events", "push_history"), DS), list[str]()
    assert [len(citations) for citations in seen.values()] == [1, 1]

    def nothing(lake: Lake, gate: str, day: str) -> list[CheckVerdict]:
        asked.append(day)
        return []

    monkeypatch.setattr(covered, "load", nothing)
    assert len(list(unjudged(judged, "sources", DS, seen))) == 2
    assert asked == ["2026-11-13"]


def test_receipts_are_measured_for_four_nights_others_for_one() -> None:
    assert days_for("user_events", DS) == [DS]
    assert days_for("push_receipts", DS) == ["2026-11-11", "2026-11-12", "2026-11-13", DS]


def test_days_before_reach_as_far_as_history_or_late_rows(
    settings_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANGELIA_HISTORY_DAYS", "5")
    monkeypatch.setenv("ANGELIA_LATE_DAYS", "2")
    assert days_before("user_events", DS) == [f"2026-11-{day:02d}" for day in range(9, 14)]
    # The three days before are measured by this night's own gate.
    assert days_before("push_receipts", DS) == ["2026-11-10"]
    monkeypatch.setenv("ANGELIA_LATE_DAYS", "4")
    assert days_before("user_events", DS)[0] == "2026-11-06"


def test_many_days_are_named_by_their_last() -> None:
    assert _named(["1", "2", "3"]) == "1, 2, 3"
    assert _named(["1", "2", "3", "4", "5"]) == "3, 4, 5 and 2 more"
