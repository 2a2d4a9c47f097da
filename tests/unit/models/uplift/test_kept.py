"""Kept lift models: whole, chained, and read back as they were stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from angelia.contracts.rows import valid_rows
from angelia.errors import Corrupt, InvalidInput
from angelia.lake.store import LocalStore
from models.uplift import kept
from models.uplift.learning import Uplift, fit
from models.uplift.people import KEPT, USER_COLUMNS, encode

N = 800
FACTS = {"metric": "converted", "scope": "all", "above_chance": True, "nights": ["2026-11-14"]}
WORDS: dict[str, list[str]] = {name: [] for name in USER_COLUMNS}


@pytest.fixture(scope="module")
def learnt() -> Uplift:
    """A lift that goes with a number, as people of the contract have it."""
    matrix = encode(valid_rows("user_features", N), WORDS)
    treated, number = np.arange(N) % 2 == 0, matrix[:, KEPT.index("n_events_28d")]
    outcome = (treated & (number > np.median(number))).astype(float)
    return fit(matrix, treated, outcome, 0.5, KEPT, [], 1)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "models")


def test_the_newest_counts_and_is_read_back_whole(store: LocalStore, learnt: Uplift) -> None:
    assert kept.newest(store, "moved") is None
    first = kept.keep(store, "moved", learnt, WORDS, 4.0, FACTS)
    second = kept.keep(store, "moved", learnt, WORDS, 2.0, FACTS)
    kept.keep(store, "other", learnt, WORDS, 9.0, FACTS)
    stored = kept.newest(store, "moved")
    assert stored is not None
    model = kept.load("moved", stored)
    assert model.version == second != first
    users = valid_rows("user_features", N)
    lift = model.per_message(users)
    np.testing.assert_allclose(lift, learnt.score(encode(users, WORDS)) / 2.0)
    assert np.ptp(lift) > 0.1
    assert model.as_meta() == {"model": second, **FACTS}


def test_what_was_changed_or_is_foreign_is_refused(store: LocalStore, learnt: Uplift) -> None:
    kept.keep(store, "moved", learnt, WORDS, 4.0, FACTS)
    stored = kept.newest(store, "moved") or b""
    raw: dict[str, Any] = json.loads(stored)
    raw["body"]["messages"] = 1.0
    with pytest.raises(Corrupt, match="changed after"):
        kept.load("moved", json.dumps(raw).encode())
    with pytest.raises(Corrupt, match="damaged"):
        kept.load("moved", stored[:100])
    raw["body"]["columns"] = ["age"]
    raw["sha256"] = kept._hash(raw["body"])
    with pytest.raises(InvalidInput, match="other columns"):
        kept.load("moved", json.dumps(raw).encode())


def test_without_messages_there_is_no_lift_of_one(store: LocalStore, learnt: Uplift) -> None:
    with pytest.raises(InvalidInput, match="nobody was sent a message"):
        kept.keep(store, "moved", learnt, WORDS, 0.0, FACTS)
    assert kept.newest(store, "moved") is None
