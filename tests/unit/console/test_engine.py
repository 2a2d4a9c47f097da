"""Knowledge is made once for its key, forgotten by age, and never kept if it failed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from angelia.console import engine as module
from angelia.console.engine import Engine


def test_a_key_is_made_once_and_another_anew() -> None:
    engine, made = Engine(), []
    assert engine.kept(("plan", 1), lambda: made.append(1) or "one") == "one"
    assert engine.kept(("plan", 1), lambda: made.append(2) or "two") == "one"
    assert engine.kept(("plan", 2), lambda: made.append(3) or None) is None
    assert engine.kept(("plan", 2), lambda: made.append(4) or "four") is None, "None is kept, too"
    assert made == [1, 3]


def test_whoever_asks_meanwhile_waits_for_the_same() -> None:
    engine, begun, made = Engine(), Barrier(4), []
    ready = Event()

    def make() -> object:
        ready.wait(10)
        made.append(1)
        return object()

    def ask() -> object:
        begun.wait(10)
        return engine.kept("key", make)

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask) for _ in range(4)]
        ready.set()
        answers = {id(one.result(10)) for one in asked}
    assert (len(answers), len(made)) == (1, 1)


def test_what_failed_is_tried_again() -> None:
    engine = Engine()
    with pytest.raises(ZeroDivisionError):
        engine.kept("key", lambda: 1 / 0)
    assert engine.kept("key", lambda: "now") == "now"


def test_the_least_recently_used_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_AT_MOST", 2)
    engine = Engine()
    for key in ("a", "b", "a", "c"):
        engine.kept(key, lambda key=key: key)
    assert engine.kept("a", lambda: "new") == "a"
    assert engine.kept("b", lambda: "new") == "new"
