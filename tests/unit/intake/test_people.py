"""The people of a batch are those of the newest night."""

from __future__ import annotations

import pytest

from angelia.errors import NotFound
from angelia.intake.dispatching import people, sample_night
from angelia.intake.dispatching.people import BatchSources, NightPeople
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
