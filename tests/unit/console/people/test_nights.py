"""The last few nights that people were asked about, kept open."""

from __future__ import annotations

from pathlib import Path

import pytest

from angelia.asking.records import Why
from angelia.asking.why import why
from angelia.audience.bitmaps.blobs import Blobs
from angelia.console.people.nights import Nights
from angelia.contracts.rows import user_name
from angelia.errors import Corrupt
from angelia.lake import Lake
from angelia.users.one_person import PersonLake
from models.registry import Registry
from tests.unit.spark_jobs.test_plan_dispatch import DS


@pytest.fixture
def tight(tight_home: Path) -> Lake:
    """Return a lake with a planned night of 600 people in three shards; do not write to it."""
    return Lake.open(str(tight_home / "lake"))


def ask_of(lake: Lake, number: int) -> Why:
    return why(lake, user_name(number), DS, registry=Registry.open(lake.store.url))


def test_a_kept_night_answers_alike_and_cites_nothing_again(tight: Lake, monkeypatch) -> None:
    nights, index = Nights(), tight.require("user_index", chain="0")

    def kept(number: int) -> Why:
        mine = PersonLake(tight, number, int(index.meta["shard_bits"]))
        return nights.why(tight, user_name(number), DS, mine, Registry.open(tight.store.url))

    assert [kept(number) for number in (7, 300)] == [ask_of(tight, number) for number in (7, 300)]
    monkeypatch.setattr(Lake, "cited", lambda *_: pytest.fail("a commit was read again"))
    monkeypatch.setattr(Blobs, "__init__", lambda *_: pytest.fail("a file of the index was opened again"))
    assert kept(8).campaigns
    assert kept(301).campaigns


def test_a_night_that_misses_a_file_is_opened_again(tight: Lake, monkeypatch) -> None:
    nights, calls = Nights(), []

    def broken_once(*words: object, **named: object) -> Why:
        calls.append(named["resident"])
        if len(calls) == 1:
            raise Corrupt("a file is gone")
        return why(*words, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("angelia.console.people.nights.why", broken_once)
    mine = PersonLake(tight, 7, 8)
    answer = nights.why(tight, user_name(7), DS, mine, Registry.open(tight.store.url))
    assert answer == ask_of(tight, 7)
    assert calls[0] is not calls[1]


def test_few_nights_are_kept(tight: Lake, monkeypatch) -> None:
    monkeypatch.setattr("angelia.console.people.nights.KEPT_AT_MOST", 1)
    nights = Nights()
    first = nights.of(tight, DS)
    assert nights.of(tight, DS) is first
    tight.store.create("erasures/of-somebody", b"{}")
    try:
        assert nights.of(tight, DS) is not first, "an erasure takes away files that it cites"
    finally:
        tight.store.delete("erasures/of-somebody")
    assert nights.of(tight, DS) is not first
