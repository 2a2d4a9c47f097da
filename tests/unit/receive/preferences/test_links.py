"""A link opens for its purpose, its secret and its time, and names nobody."""

from __future__ import annotations

from datetime import timedelta

import pytest

from angelia.receive.preferences.links import CONFIRM, LIFE_S, PAGE, Links
from tests.unit.receive.callers import NOW

LINKS, WORDS = Links("l" * 32), ["u0000001", "email"]


@pytest.mark.parametrize("purpose", [PAGE, CONFIRM])
def test_a_link_opens_until_its_last_second(purpose: str) -> None:
    token, life = LINKS.make(purpose, WORDS, NOW), timedelta(seconds=LIFE_S[purpose])
    assert LINKS.open(purpose, token, NOW + life) == WORDS
    assert LINKS.open(purpose, token, NOW + life + timedelta(seconds=1)) is None


def test_a_link_of_one_purpose_opens_no_other() -> None:
    assert LINKS.open(CONFIRM, LINKS.make(PAGE, WORDS, NOW), NOW) is None
    assert LINKS.open(PAGE, LINKS.make(CONFIRM, WORDS, NOW), NOW) is None


def test_another_secrets_or_a_changed_link_opens_nothing() -> None:
    token = LINKS.make(PAGE, WORDS, NOW)
    assert Links("m" * 32).open(PAGE, token, NOW) is None
    other = token[:20] + ("B" if token[20] == "A" else "A") + token[21:]
    for changed in (token[:-4], other, "", "ä" * 40):
        assert LINKS.open(PAGE, changed, NOW) is None


def test_a_link_shows_nobody_the_person() -> None:
    first, second = LINKS.make(PAGE, WORDS, NOW), LINKS.make(PAGE, WORDS, NOW)
    assert "u0000001" not in first
    assert first != second  # nor may two links be seen to be one person's
