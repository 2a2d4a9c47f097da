"""What a dispatcher reports: each trouble once, and counts in one order."""

from __future__ import annotations

import pytest

from angelia.errors import AngeliaError
from angelia.intake.dispatching.terms import Report


def test_a_trouble_that_comes_again_is_reported_once(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report()
    for _ in range(3):
        report.trouble(AngeliaError("the disk is full", fix="make room"))
    report.trouble(AngeliaError("the database is down"))
    assert len(report.problems) == 2
    assert capsys.readouterr().err.count("the disk is full") == 1


def test_the_document_lists_steps_by_name() -> None:
    report = Report(seconds=1.23456)
    report.steps.update({"sent": 2, "failed": 1})
    document = report.to_json()
    assert list(document["steps"].items()) == [("failed", 1), ("sent", 2)]
    assert document["seconds"] == 1.235
