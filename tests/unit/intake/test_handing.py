"""A batch is handed over once: a file a channel and priority, and the first seal counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from angelia.delivery.manifest.batches import sealed_batch
from angelia.intake.dispatching import sample_night
from angelia.intake.dispatching.batches import IntakeBatch
from angelia.intake.dispatching.deciding import Verdicts
from angelia.intake.dispatching.handing import hand_over
from angelia.intake.dispatching.people import BatchSources
from angelia.lake import Lake
from tests.unit.intake.verdicts import contents, message, verdicts_of

DS, HOUR = "2026-11-27", "2026-11-28T12"
BATCH = IntakeBatch("b" * 32, "first", False, 0, DS, HOUR, ())


@pytest.fixture
def sources(lake: Lake) -> BatchSources:
    sample_night.make(lake, 2, "2026-11-26")
    return BatchSources.newest(lake)


def decided() -> Verdicts:
    """Return two messages that may be sent, of two priorities, and one that was refused."""
    verdicts = verdicts_of(contents(), message(1), message(2, priority=0))
    verdicts.refused.append((message(3), "capped"))
    return verdicts


def test_each_channel_and_priority_has_its_file(lake: Lake, sources: BatchSources) -> None:
    commit = hand_over(lake, sources, BATCH, decided())
    assert [entry.keys["priority"] for entry in commit.files if entry.keys] == ["high", "medium"]
    assert [entry.rows for entry in commit.files] == [1, 1]
    assert (commit.rejects, commit.params["holder"]) == ({"capped": 1}, "first")
    assert sealed_batch(lake, DS, HOUR, BATCH.id) == commit


def test_another_holders_verdicts_change_nothing_once_sealed(lake: Lake, sources: BatchSources) -> None:
    commit = hand_over(lake, sources, BATCH, decided())
    later = IntakeBatch(BATCH.id, "second", False, 1, DS, HOUR, ())
    assert hand_over(lake, sources, later, verdicts_of(contents(), message(1))) == commit


def test_a_message_to_all_devices_is_a_row_each(lake: Lake, sources: BatchSources) -> None:
    people = {("u1", "fcm"): ["new", "old", "oldest"]}
    for ways, addresses in (({"devices": "all"}, ["new", "old", "oldest"]), ({}, ["new"])):
        verdicts = verdicts_of(contents(sale=ways), message(1), addresses=people)
        batch = replace(BATCH, id=f"{len(addresses):032x}")
        rows = lake.read(hand_over(lake, sources, batch, verdicts)).to_pylist()
        assert sorted(row["address"] for row in rows) == addresses
        assert len({row["message_id"] for row in rows}) == 1
        assert len({row["dispatch_id"] for row in rows}) == len(addresses)
