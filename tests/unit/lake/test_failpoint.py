"""Failpoints kill at the passage that was asked for, and at no other."""

from __future__ import annotations

import signal

import pytest

from angelia.errors import InvalidInput
from angelia.lake import failpoint as module
from angelia.lake.failpoint import POINTS, armed, failpoint


@pytest.fixture
def kills(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the signals that this process would have sent itself."""
    sent: list[int] = []
    monkeypatch.setattr(module.os, "kill", lambda _, number: sent.append(number))
    module._passed.clear()
    return sent


def test_an_unset_variable_arms_nothing(kills: list[int]) -> None:
    assert armed() is None
    for name in POINTS:
        failpoint(name)
    assert kills == []


@pytest.mark.parametrize(("text", "passages"), [("after_send", 1), ("after_send:1", 1), ("after_send:3", 3)])
def test_it_kills_at_the_passage_that_was_asked_for(
    text: str, passages: int, kills: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANGELIA_FAILPOINT", text)
    for _ in range(passages - 1):
        failpoint("after_send")
        failpoint("before_ack")
    assert kills == []
    failpoint("after_send")
    assert kills == [signal.SIGKILL]


@pytest.mark.parametrize("text", ["after_sent", "after_send:second", ":2", "after_send:-1"])
def test_a_name_that_is_no_point_is_refused_with_all_there_are(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANGELIA_FAILPOINT", text)
    with pytest.raises(InvalidInput, match="is not a failpoint") as caught:
        failpoint("after_send")
    assert all(name in caught.value.one_line() for name in POINTS)
