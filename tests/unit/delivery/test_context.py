"""What a part's delivery is given: nothing is shared between two of them by accident."""

from __future__ import annotations

from typing import Any

import pytest

from angelia.delivery.sending.context import DeliveryContext


def context() -> DeliveryContext:
    outside: Any = None
    return DeliveryContext(outside, outside, outside, outside, lambda: 0)


def test_draining_one_delivery_drains_no_other() -> None:
    first, second = context(), context()
    first.draining.set()
    assert not second.draining.is_set()


def test_a_failpoint_is_looked_up_when_a_context_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    before = context()
    monkeypatch.setenv("ANGELIA_FAILPOINT", "after_intent")
    assert (before.is_armed, context().is_armed) == (False, True)
