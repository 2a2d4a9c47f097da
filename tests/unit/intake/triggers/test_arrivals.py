"""New files are read once, and events nobody can believe are counted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.intake.dispatching import Bench, bench
from tests.unit.intake.triggers.setting import (
    MINUTE,
    T,
    arrive,
    run,
)

__all__ = ["bench"]


def test_only_new_files_are_read(shop: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    arrive(shop.lake, (0, "cart", T))
    run(shop, T + MINUTE)
    arrive(shop.lake, (1, "cart", T))
    read: list[str] = []
    original = type(shop.lake).read_file

    def noting(self: Any, entry: Any, *given: Any, **named: Any) -> Any:
        read.append(entry.path)
        return original(self, entry, *given, **named)

    monkeypatch.setattr(type(shop.lake), "read_file", noting)
    assert run(shop, T + MINUTE).events == 1
    assert len([path for path in read if "user_events" in path]) == 1


def test_events_nobody_can_believe_are_counted(shop: Bench) -> None:
    arrive(shop.lake, (0, "cart", T + 24 * 60 * MINUTE))
    assert run(shop, T).dropped == {"in_the_future": 1}
    arrive(shop.lake, ("null", "cart", T), ("a b", "cart", T), name="more")
    assert run(shop, T).dropped == {"not_valid": 2}
    assert run(shop, T).dropped == {}
