"""Rules of faults: which requests they meet, how often, and files that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from angelia.errors import InvalidInput
from angelia.sandbox.rules import RuleFile, Rules


def test_rules_count_and_draw_as_written() -> None:
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
    ("match", "broken"),
    [
        ({"for_s": 20}, [True, True, True, False]),
        ({"after_s": 10}, [False, True, True, True]),
        ({"after_s": 10, "for_s": 10}, [False, True, True, False]),
    ],
)
def test_a_rule_holds_for_a_time_after_its_first_message(match: dict[str, float], broken: list[bool]) -> None:
    rule = {"match": {"token_prefix": "a", **match}, "then": {"status": 503}}
    now = [100.0]
    rules = Rules(RuleFile.model_validate({"rules": [rule]}), lambda: now[0])
    assert rules.find("b", "") is None, "another channel's message begins no storm"
    answers = []
    for now[0] in (105.0, 115.0, 124.9, 125.0):
        answers.append(rules.find("a", "") is not None)
    assert answers == broken


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
