"""Rules of faults: which requests they meet, how often, and files that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from angelia.errors import InvalidInput
from angelia.sandbox.rules import Rules


def test_rules_count_and_draw_as_written() -> None:
    from angelia.sandbox.rules import RuleFile

    rules = Rules(
        RuleFile.model_validate(
            {"rules": [{"match": {"nth": 2}}, {"match": {"every": 3, "max": 2}, "then": {"status": 503}}]}
        )
    )
    answers = [rules.find("t", "d") for _ in range(12)]
    # The second rule counts only what the first let through.
    assert [0 if then is None else then.status for then in answers] == [
        0,
        200,
        0,
        503,
        0,
        0,
        503,
        0,
        0,
        0,
        0,
        0,
    ]


@pytest.mark.parametrize(
    "text",
    [
        "rules: [{match: {tokenprefix: x}}]",
        "rules: 5",
        "{",
        "rules: [{then: {status: 99}}]",
        "rules: &a []\nconnections: *a",
        "rules: " + "[" * 2_000,
        "rules: 2026-13-45",
    ],
)
def test_rule_files_that_are_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput):
        Rules.load(path)
