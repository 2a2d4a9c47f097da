"""The people of a batch are those of the newest night."""

from __future__ import annotations

import pyarrow as pa
import pytest

from angelia.errors import NotFound
from angelia.intake.dispatching import people, sample_night
from angelia.intake.dispatching.people import BatchSources, NightPeople, RememberedPeople
from tests.unit.intake.dispatching import Bench, bench

__all__ = ["bench"]


def test_without_a_night_nothing_is_claimed(bench: Bench) -> None:
    (message,) = bench.accept({})
    with pytest.raises(NotFound, match="nobody can be reached"):
        bench.dispatch()
    assert bench.states([message]) == ["accepted"]


@pytest.mark.parametrize("kept", [0, 10])
def test_people_are_the_same_remembered_or_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(people, "_KEPT_PEOPLE", kept)
    sample_night.make(bench.lake, 5, "2026-11-26")
    night = NightPeople(bench.lake, BatchSources.newest(bench.lake))
    asked = [sample_night.user(3), "nobody", sample_night.user(0), sample_night.user(3)]
    known = night.of(asked)
    assert {user: row["ordinal"] for user, row in known.items()} == {asked[2]: 0, asked[0]: 3}
    assert all(row["user_id"] == user and row["timezone"] for user, row in known.items())
    assert night.of(["nobody"]) == night.of([]) == {}


def test_people_of_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "hash_array", lambda ids, categorize: pa.array([7] * len(ids)).to_numpy())
    table = pa.table({"user_id": ["a", "b", "c"], "ordinal": [0, 1, 2]})
    assert RememberedPeople(table).of(["b", "z"]) == {"b": {"user_id": "b", "ordinal": 1}}
