"""States in their order: a crash before a failure before a warning; each has sign and word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from angelia.quality.states import GUARD_STATES, GUARD_WORDS, SIGNS, WORDS, badge, state
from angelia.quality.verdicts import CheckVerdict
from tests.unit.quality.week import GOOD

WARNED = replace(GOOD, success=False, severity="warning")
FAILED = replace(GOOD, success=False)
CRASHED = replace(GOOD, success=False, crashed=True)


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        ([], "ok"),
        ([GOOD], "ok"),
        ([GOOD, WARNED], "warned"),
        ([WARNED, FAILED, GOOD], "failed"),
        ([FAILED, CRASHED], "crashed"),
    ],
)
def test_the_worst_verdict_counts(verdicts: list[CheckVerdict], worst: str) -> None:
    assert state(verdicts) == worst


def test_every_state_has_a_sign_a_word_and_a_badge() -> None:
    assert SIGNS.keys() == WORDS.keys()
    assert GUARD_WORDS.keys() == GUARD_STATES.keys()
    assert set(GUARD_STATES.values()) <= SIGNS.keys()
    assert len(set(SIGNS.values())) == len(SIGNS), "states are told apart without colour"
    for its, word in WORDS.items():
        assert word in badge(its)


def test_a_badges_own_word_is_escaped() -> None:
    assert badge("failed", "<b>") == '<span class="verdict bad">&lt;b&gt;</span>'
