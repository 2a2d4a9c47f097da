"""The live page escapes what comes from outside, and marks what came twice."""

from __future__ import annotations

from angelia.sandbox.page import render
from angelia.sandbox.phones import Phones


def test_what_comes_from_outside_is_escaped_everywhere() -> None:
    phones, evil = Phones(), "<script>alert(1)</script>"
    phones.outcomes[evil] += 1
    for _ in range(2):
        phones.receive(evil, evil, evil, evil)
    shown = render(phones).decode()
    assert "<script" not in shown
    assert shown.count("&lt;script") >= 5


def test_doubles_are_marked_and_named() -> None:
    phones = Phones()
    assert "No message yet." in render(phones).decode()
    for dispatch in ("one", "two", "two", ""):
        phones.receive(dispatch, "t", "title", "body")
    shown = render(phones).decode()
    assert "<code>two</code><td class=bad>2 times" in shown
    assert "<code>one</code>" not in shown
    assert "<dt>doubled</dt><dd class=bad>1</dd>" in shown
    assert ("without an id" in shown, "· once<" in shown) == (True, True)
