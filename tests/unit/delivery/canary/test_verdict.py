"""The verdict on a canary, at its exact boundaries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from angelia.delivery.canary.verdict import (
    FAILED,
    PASSED,
    UNDECIDED,
    WAITS,
    CanaryChoice,
    CanaryFacts,
    CanaryRule,
    judge,
)

RULE = CanaryRule(2.0, 3, 100, 10.0, 1.0, 0.0, "expire")
SENT, HOUR = 1_800_000_000_000_000, 3_600_000_000
OVER = SENT + 3 * HOUR
# A hundred answers: 90 accepted, 10 rejected, which is what ten percent allow.
GOOD = CanaryFacts(planned=120, settled=120, answered=100, rejected=10, refused=0, opened=9, first_sent=SENT)


@pytest.mark.parametrize(
    ("changes", "at", "state", "says"),
    [
        ({}, OVER, PASSED, "of 100 answers 10 were rejections"),
        ({}, OVER - 1, WAITS, "3 h after its first message"),
        ({"rejected": 11}, OVER, FAILED, "11 of 100 were rejected, more than 10 %"),
        ({"rejected": 11}, OVER - 1, FAILED, "11 of 100 were rejected"),
        ({"rejected": 11, "answered": 99, "planned": 121}, OVER - 1, WAITS, "3 h after"),
        ({"rejected": 0, "refused": 1}, OVER, PASSED, ""),
        ({"rejected": 0, "refused": 2}, OVER, FAILED, "2 of 100 unsubscribed or complained"),
        ({"rejected": 100}, OVER, FAILED, "100 of 100 were rejected"),
        ({"answered": 99}, OVER, UNDECIDED, "99 of the 100 answers"),
        ({"answered": 99, "planned": 121}, OVER, WAITS, "1 of its messages are still to leave"),
        ({"answered": 0, "settled": 0, "first_sent": None}, OVER, WAITS, "none of its 120 messages has left"),
        ({"answered": 0, "rejected": 0, "first_sent": None}, OVER, UNDECIDED, "0 of the 100"),
        ({"planned": 0, "settled": 0, "answered": 0, "first_sent": None}, SENT, UNDECIDED, "0 of the 100"),
    ],
)
def test_what_comes_of_it_decides(changes: dict[str, Any], at: int, state: str, says: str) -> None:
    verdict = judge(RULE, replace(GOOD, **changes), None, at)
    assert verdict.state == state
    assert says in verdict.says


@pytest.mark.parametrize(("then", "state"), [("send", PASSED), ("expire", UNDECIDED), ("ask", WAITS)])
def test_too_few_to_tell_is_the_document_s_choice(then: str, state: str) -> None:
    verdict = judge(replace(RULE, then=then), replace(GOOD, answered=99), None, OVER)
    assert verdict.state == state
    assert "99 of the 100 answers that a verdict takes are known" in verdict.says


def test_opens_are_judged_once_the_wait_is_over() -> None:
    rule = replace(RULE, min_opened_pct=10.0)
    assert judge(rule, GOOD, None, OVER).state == PASSED  # 9 of 90
    few = replace(GOOD, opened=8)
    assert judge(rule, few, None, OVER - 1).state == WAITS
    assert judge(rule, few, None, OVER).says == "8 of 90 were opened, less than 10 %"


def test_a_person_s_word_holds_over_everything() -> None:
    assert judge(RULE, replace(GOOD, rejected=90), CanaryChoice("pass", "ann", "known"), SENT) == (
        PASSED,
        "passed by ann: known",
    )
    assert judge(RULE, GOOD, CanaryChoice("fail", "bob", "typo"), OVER) == (FAILED, "failed by bob: typo")


def test_a_rule_is_read_from_a_stored_document() -> None:
    body = {"share_pct": 2.0, "hours": 3, "messages": 100, "max_rejected_pct": 10.0, "max_refused_pct": 1.0}
    assert CanaryRule.of(body | {"min_opened_pct": 0.0, "then": "expire"}) == RULE
