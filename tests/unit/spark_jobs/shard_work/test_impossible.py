"""A night that can send nothing says why before it is solved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from angelia.catalog.documents import parse_document
from angelia.catalog.snapshot import StoredDocument, catalog_of
from angelia.intake.dispatching import sample_night
from angelia.planning.inputs import terms_of
from angelia.planning.terms import Terms
from spark_jobs.shard_work.impossible import impossible

DS = "2026-11-14"


class Sizes:
    """The inputs of a night, as far as they are looked at here."""

    def __init__(self, people: int) -> None:
        self.audiences = self
        self.meta = {"sizes": {"everyone": people}}


def reasons(
    monkeypatch: pytest.MonkeyPatch, people: int = 9, capacity: int = 0, reserve: int = 0
) -> list[str]:
    """Return what is said of a night with so much room an hour, some of it for drawn messages."""
    catalog = catalog_of(StoredDocument(parse_document(raw), 1) for raw in sample_night.DOCUMENTS)
    terms = terms_of(catalog, DS, 28, None)
    n = terms.limits().capacity.size
    limits: Any = type(
        "Limits", (), {"capacity": np.full((1, n), capacity), "flat": lambda self: np.full(n + 3, capacity)}
    )()
    monkeypatch.setattr(Terms, "limits", lambda _: limits)
    monkeypatch.setattr(Terms, "explore_limits", lambda _: np.full(n + 3, reserve))
    inputs: Any = Sizes(people)
    return [each.says for each in impossible(catalog, terms, inputs)]


def test_an_audience_of_nobody_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert any(
        "audience everyone holds nobody" in says for says in reasons(monkeypatch, people=0, capacity=5)
    )


def test_room_that_is_set_aside_for_drawn_messages_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reasons(monkeypatch, capacity=0, reserve=1) == []
    assert reasons(monkeypatch, capacity=1) == []
    assert reasons(monkeypatch) != []
