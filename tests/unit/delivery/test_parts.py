"""Seals, due parts, claims: who may send what, decided by conditional creates."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from angelia.config import MAX_LEAD_HOURS
from angelia.contracts.sending import ANSWERED_DAYS, MAX_TTL_HOURS, PLAN_HOURS
from angelia.delivery.ledger import compaction
from angelia.delivery.ledger.ledger import Ledger, Owner
from angelia.delivery.ledger.outcomes import Outcomes, gone_reason, merge, read, says_gone
from angelia.delivery.manifest import parts, sample_plan
from angelia.delivery.manifest.objects import read_json
from angelia.errors import Corrupt, InvalidInput, NotFound
from angelia.lake import Lake
from angelia.lake.expire import expire

DS, HOUR = "2026-11-14", "2026-11-15T04"
ELSEWHERE = Owner("elsewhere", "boot", "ns", 1, "1")


def at(hour: int, minute: int = 0, day: int = 15) -> int:
    return int(datetime(2026, 11, day, hour, minute, tzinfo=UTC).timestamp() * 1e6)


def test_the_first_worker_of_an_hour_seals_its_manifest(lake: Lake) -> None:
    first = sample_plan.make(lake, DS, 10, hours=(4, 5))
    assert parts.seal(lake, DS, HOUR, "now") == first
    second = sample_plan.make(lake, DS, 20, hours=(4, 5))
    assert second.number == 2
    assert parts.seal(lake, DS, HOUR, "later").number == 1
    assert parts.seal(lake, DS, "2026-11-15T05", "later").number == 2
    assert read_json(lake.store, f"seals/{DS}/{HOUR}")["sha256"] == first.sha256
    assert parts.sealed_hours(lake, DS) == {HOUR: 1, "2026-11-15T05": 2}
    assert len(parts.sealed_messages(lake, DS)) == 5 + 10
    assert parts.sealed_hours(lake, "2026-11-13") == {}
    assert len(parts.sealed_messages(lake, "2026-11-13")) == 0
    assert {part.n_rows for part in parts.parts_of(lake, parts.standing_manifest(lake, DS, HOUR), HOUR)} == {
        5
    }


def test_a_sealed_commit_whose_content_changed_is_refused(lake: Lake) -> None:
    commit = sample_plan.make(lake, DS, 10)
    parts.seal(lake, DS, HOUR, "now")
    path = lake.store.local_path(f"{commit.folder}/_commits/{commit.number:08d}.json")
    assert path is not None
    document = json.loads(path.read_text())
    document["files"][0]["rows"] = 9
    path.chmod(0o644)
    path.write_text(json.dumps(document))
    with pytest.raises(Corrupt, match="nothing was sent"):
        parts.seal(lake, DS, HOUR, "now")


def test_due_parts_are_open_and_not_done(lake: Lake) -> None:
    sample_plan.make(lake, DS, 9, hours=(4, 5, 9))
    due = {
        now: [part.send_hour[-2:] for part in parts.due_parts(lake, now)]
        for now in (at(3, 59), at(4), at(5, 30), at(6), at(7), at(9, day=20))
    }
    assert list(due.values()) == [[], ["04"], ["04", "05"], ["05"], [], []]
    assert not list(lake.store.list("seals"))  # asking seals nothing
    ledger = Ledger(lake.store, ELSEWHERE, lambda: 0)
    ledger.finish(parts.due_parts(lake, at(4))[0].id, {})
    assert parts.due_parts(lake, at(4)) == []


def test_a_manifest_is_kept_for_the_longest_life(lake: Lake) -> None:
    """The latest slot of the plan that begins latest, of a campaign that is tried longest."""
    start = datetime.fromisoformat(DS).replace(tzinfo=UTC) + timedelta(hours=MAX_LEAD_HOURS + PLAN_HOURS - 1)
    hour = start - datetime(2026, 11, 15, tzinfo=UTC)
    lake = Lake(lake.store, clock=lambda: datetime(2026, 11, 15, 2, tzinfo=UTC))
    changes = {"guarantee": "at_least_once", "not_after": start + timedelta(hours=MAX_TTL_HOURS)}
    sealed = sample_plan.make(lake, DS, 3, hours=(hour // timedelta(hours=1),), changes=changes)
    parts.seal(lake, DS, start.strftime("%Y-%m-%dT%H"), "now")
    sample_plan.make(lake, DS, 2, changes=changes)  # supersedes it, for all hours but the sealed one
    for before_end, n_due in ((timedelta(minutes=1), 1), (timedelta(0), 0)):
        now = start + timedelta(hours=MAX_TTL_HOURS) - before_end
        due = parts.due_parts(lake, int(now.timestamp() * 1e6))
        assert [part.n_rows for part in due if part.send_hour == start.strftime("%Y-%m-%dT%H")] == [3] * n_due
        expire(Lake(lake.store, clock=lambda now=now: now), 0)
        assert lake.store.exists(sealed.files[0].path)
    expire(Lake(lake.store, clock=lambda: now + timedelta(days=3)), 0)
    assert lake.store.exists(sealed.files[0].path)  # it may still be answered
    expire(Lake(lake.store, clock=lambda: now + timedelta(days=ANSWERED_DAYS)), 0)
    assert not lake.store.exists(sealed.files[0].path)


def test_a_replay_is_never_due(lake: Lake) -> None:
    with pytest.raises(InvalidInput, match="only main"):
        parts.due_parts(Lake(lake.store, "replay-x"), at(4))
    with pytest.raises(InvalidInput, match="only main"):
        parts.seal(Lake(lake.store, "replay-x"), DS, HOUR, "now")


def test_no_manifest_names_who_writes_it(lake: Lake) -> None:
    with pytest.raises(NotFound, match="dispatch_manifest"):
        parts.send_hours(lake, DS)


@pytest.mark.parametrize("text", ["2026-11-15", "2026-11-15T24", "2026-13-01T00", "2026-11-15T4", "x"])
def test_hours_that_are_none(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not an hour"):
        parts.parse_hour(text)


@pytest.fixture
def part(lake: Lake) -> parts.Part:
    return parts.parts_of(lake, sample_plan.make(lake, DS, 4), HOUR)[0]


def test_a_part_has_one_owner_until_it_is_free(lake: Lake, part: parts.Part) -> None:
    now = [0]
    mine, theirs = (
        Ledger(lake.store, ELSEWHERE, lambda: now[0]),
        Ledger(lake.store, replace(ELSEWHERE, host="third"), lambda: now[0]),
    )
    claim = mine.claim(part)
    assert claim is not None
    assert theirs.claim(part) is None
    now[0] = 299 * 1_000_000
    mine.heartbeat(claim)
    now[0] = 500 * 1_000_000
    assert theirs.claim(part) is None
    now[0] = 600 * 1_000_000
    taken = theirs.claim(part)
    assert taken is not None
    assert taken.epoch == 2
    assert mine.is_fenced(claim)
    assert not theirs.is_fenced(taken)
    theirs.release(taken)
    again = mine.claim(part)
    assert again is not None
    forced = theirs.claim(part, takeover=True)
    assert forced is not None
    assert forced.epoch == 4


def test_an_owner_provably_dead_on_this_machine_holds_nothing(lake: Lake, part: parts.Part) -> None:
    alive = Owner.this_process()
    assert not alive.is_dead()
    assert replace(alive, started="0").is_dead()  # the number was given to another process
    assert replace(alive, pid=2**22 + 1).is_dead()
    assert not replace(alive, pid=2**22 + 1, host="elsewhere").is_dead()  # who knows
    assert Ledger(lake.store, replace(alive, started="0"), lambda: 0).claim(part) is not None
    assert Ledger(lake.store, alive, lambda: 0).claim(part) is not None
    assert Ledger(lake.store, ELSEWHERE, lambda: 0).claim(part) is None


def test_an_intent_has_one_owner_and_late_truth_is_kept(lake: Lake, part: parts.Part) -> None:
    first, second = (
        Ledger(lake.store, ELSEWHERE, lambda: 0),
        Ledger(lake.store, replace(ELSEWHERE, host="third"), lambda: 0),
    )
    a = first.claim(part)
    b = second.claim(part, takeover=True)
    assert a is not None
    assert b is not None
    assert first.intend(a, 0, 4, 4, 99)
    assert not second.intend(b, 0, 4, 4, 99)
    assert second.intend(b, 0, 4, 4, 99, again=True)
    assert [intent.epoch for intent in first.intents(part.id)[0]] == [1, 2]
    assert second.conclude(b, 0, outcomes([("ambiguous", 4)]))
    assert not first.conclude(a, 0, outcomes([("accepted", 2), ("ambiguous", 2)]))
    merged = merge(read(data) for data in first.read_outcomes(part.id))
    assert merged["outcome"].to_pylist() == ["accepted", "accepted", "ambiguous", "ambiguous"]


def outcomes(runs: list[tuple[str, int]], tries: int = 1) -> bytes:
    words = [word for word, n in runs for _ in range(n)]
    batch: Any = Outcomes(list(range(len(words))))
    batch.outcome[:] = words
    batch.attempts[:] = [tries] * len(words)
    return bytes(batch.to_bytes())


BEST_FIRST = ("accepted", "ambiguous", "rejected", "skipped", "deferred")


@pytest.mark.parametrize("better", BEST_FIRST)
@pytest.mark.parametrize("worse", BEST_FIRST)
def test_merging_keeps_the_best_known_outcome_whatever_the_order(better: str, worse: str) -> None:
    if BEST_FIRST.index(better) > BEST_FIRST.index(worse):
        better, worse = worse, better
    for order in ((better, worse), (worse, better)):
        table = merge(read(outcomes([(word, 1)])) for word in order)
        assert table["outcome"].to_pylist() == [better]
        assert table["n_attempts"].to_pylist() == [2]


@pytest.mark.parametrize(
    ("tries", "late", "known"),
    [
        (0, "rejected", "rejected"),  # the one try there was
        (1, "rejected", "ambiguous"),  # the second worker's own try may have arrived
        (0, "skipped", "ambiguous"),
        (0, "accepted", "accepted"),
    ],
)
def test_a_lost_owner_explains_its_own_try_only(
    lake: Lake, part: parts.Part, tries: int, late: str, known: str
) -> None:
    first, second = (Ledger(lake.store, replace(ELSEWHERE, host=name), lambda: 0) for name in ("a", "b"))
    a, b = first.claim(part), second.claim(part, takeover=True)
    assert a is not None
    assert b is not None
    assert second.conclude(b, 0, outcomes([("ambiguous", 1)], tries))
    assert not first.conclude(a, 0, outcomes([(late, 1)]))
    assert compaction.merged(first, [part])["outcome"].to_pylist() == [known]


def test_a_batch_with_an_unaccounted_row_cannot_be_written() -> None:
    with pytest.raises(AssertionError):
        Outcomes([0]).to_bytes()


def test_a_gone_address_is_recognised_by_the_reason_written() -> None:
    reasons = pa.chunked_array([[gone_reason("HTTP_410"), "HTTP_410", "gone_for_lunch", None]], pa.string())
    assert says_gone(reasons).to_pylist() == [True, False, False, False]
