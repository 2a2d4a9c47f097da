"""The ledger's objects go with their manifests, and not before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from angelia.delivery.ledger import expiry
from angelia.delivery.ledger.status import status
from angelia.delivery.manifest import sample_plan
from angelia.lake import Lake
from angelia.lake.expire import expire
from tests.unit.delivery.given import DS

FOLDERS = (*expiry.BY_PART, *expiry.BY_DAY, "sights")


def later(lake: Lake, days: int) -> Lake:
    """Return the lake so many days from now; the ledger's objects are of this minute."""
    return Lake(lake.store, clock=lambda: datetime.now(UTC) + timedelta(days=days))


def held(lake: Lake) -> dict[str, int]:
    """Return the number of objects in each folder of the ledger that has some."""
    counts = {folder: len(list(lake.store.list(folder))) for folder in FOLDERS}
    return {folder: n for folder, n in counts.items() if n}


def test_objects_go_with_their_manifest(bench: Any, fcm_error: Any) -> None:
    sample_plan.make(bench.lake, DS, 30, part_rows=10)
    refused = fcm_error(503, "UNAVAILABLE")
    bench.deliver(lambda *_: refused, part=1)  # deferred, with a follow-up
    bench.deliver()
    before = held(bench.lake)
    assert {"seals", "claims", "intents", "outcomes", "followups", "done", "sights"} <= before.keys()
    lake = later(bench.lake, 60)
    # While the manifest stands, all of it is asked for but the old sights.
    assert expiry.expire(lake, 30, dry_run=True) == before["sights"] - 1
    rows = status(bench.lake, DS)["outcomes"]
    assert expire(lake, 30).commits
    n = sum(before.values()) - 1
    assert expiry.expire(lake, 30, dry_run=True) == n
    assert held(bench.lake) == before
    assert expiry.expire(later(bench.lake, 10), 1) == 0  # a message may still be answered
    assert expiry.expire(lake, 30) == n
    assert held(bench.lake) == {"sights": 1}
    assert sum(rows.values()) == 30


def test_the_next_sight_is_numbered_after_the_last(bench: Any) -> None:
    bench.plan(10)
    bench.deliver()
    lake = later(bench.lake, 60)
    expire(lake, 30)
    expiry.expire(lake, 30)
    sample_plan.make(bench.lake, DS, 5)
    bench.deliver()
    assert [key.split("/")[-1] for key in bench.lake.store.list("sights")] == ["00000001", "00000002"]


def test_a_replay_hides_no_manifest_that_was_sent(bench: Any) -> None:
    bench.plan(10)
    bench.deliver()
    sample_plan.make(Lake(bench.lake.store, "replay-x"), DS, 20)
    replay = Lake(bench.lake.store, "replay-x", clock=later(bench.lake, 60).clock)
    assert expiry.expire(replay, 30) == 0
