"""Seals and due parts: which parts may be sent, decided by conditional creates."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from angelia.config import MAX_LEAD_HOURS
from angelia.contracts.sending import ANSWERED_DAYS, MAX_TTL_HOURS, PLAN_HOURS
from angelia.delivery.ledger.ledger import Ledger
from angelia.delivery.manifest import parts, sample_plan
from angelia.delivery.manifest.objects import read_json
from angelia.errors import Conflict, Corrupt, InvalidInput, NotFound
from angelia.lake import Lake
from angelia.lake.expire import expire
from angelia.lake.store import LocalStore
from tests.unit.delivery.given import DS, ELSEWHERE, HOUR


def at(hour: int, minute: int = 0, day: int = 15) -> int:
    return int(datetime(2026, 11, day, hour, minute, tzinfo=UTC).timestamp() * 1e6)


def test_the_first_worker_of_an_hour_seals_its_manifest(lake: Lake) -> None:
    first = sample_plan.make(lake, DS, 10, hours=(4, 5))
    assert parts.seal(lake, DS, HOUR, "now") == first
    second = sample_plan.make(lake, DS, 20, hours=(4, 5))
    assert second.number == 2
    assert parts.seal(lake, DS, HOUR, "later").number == 1
    with pytest.raises(Conflict, match=f"began to send {HOUR} while .*@2 was published"):
        parts.seal(lake, DS, "2026-11-15T05", "later")
    with lake.attempt("dispatch_manifest", ds=DS) as attempt:
        carried = [entry for entry in first.files if entry.keys["send_hour"] == HOUR]
        for entry in [*carried, *(e for e in second.files if e.keys["send_hour"] != HOUR)]:
            attempt.add(entry)
        attempt.publish()
    assert parts.seal(lake, DS, "2026-11-15T05", "later").number == 3
    assert read_json(lake.store, f"seals/{DS}/{HOUR}")["sha256"] == first.sha256
    files = parts.sealed_files(lake, DS)
    rows = {hour: sum(entry.rows for entry in each) for hour, each in files.items()}
    assert rows == {HOUR: 5, "2026-11-15T05": 10}
    assert parts.sealed_files(lake, "2026-11-13") == {}
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


def test_due_parts_have_opened_and_are_not_done(lake: Lake) -> None:
    sample_plan.make(lake, DS, 9, hours=(4, 5, 9))
    due = {
        now: [part.send_hour[-2:] for part in parts.due_parts(lake, now)]
        for now in (at(3, 59), at(4), at(5, 30), at(6), at(7), at(9, day=20))
    }
    # Hour 04 closes at 06:00 and stays due: its rows have no outcome yet. A plan of last week is over.
    assert list(due.values()) == [[], ["04"], ["04", "05"], ["04", "05"], ["04", "05"], []]
    assert not list(lake.store.list("seals"))  # asking seals nothing
    ledger = Ledger(lake.store, ELSEWHERE, lambda: 0)
    ledger.finish(parts.due_parts(lake, at(4))[0].id, {})
    assert parts.due_parts(lake, at(4)) == []


def test_a_window_is_read_from_a_files_end_alone(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    (root,) = parts.parts_of(lake, sample_plan.make(lake, DS, 9), HOUR)

    def whole(store: LocalStore, key: str) -> bytes:
        raise AssertionError(f"{key} was fetched whole")

    monkeypatch.setattr(LocalStore, "local_path", lambda store, key: None)
    monkeypatch.setattr(LocalStore, "read", whole)
    assert parts.window(lake, root) == (at(4), at(6))


def test_a_follow_up_that_closed_is_not_due(lake: Lake) -> None:
    commit = sample_plan.make(lake, DS, 9)
    (root,) = parts.parts_of(lake, commit, HOUR)
    parts.follow_up(lake, root, [0, 1], "deferred", f"{root.id[:32]}.deferred-0001")
    assert [part.kind for part in parts.due_parts(lake, at(5, 59))] == ["deferred", "plan"]
    assert [part.kind for part in parts.due_parts(lake, at(6))] == ["plan"]


def test_a_manifest_is_kept_for_the_longest_life(lake: Lake) -> None:
    """The latest slot of the plan that begins latest, of a campaign that is tried longest."""
    start = datetime.fromisoformat(DS).replace(tzinfo=UTC) + timedelta(hours=MAX_LEAD_HOURS + PLAN_HOURS - 1)
    hour = start - datetime(2026, 11, 15, tzinfo=UTC)
    lake = Lake(lake.store, clock=lambda: datetime(2026, 11, 15, 2, tzinfo=UTC))
    changes = {"guarantee": "at_least_once", "not_after": start + timedelta(hours=MAX_TTL_HOURS)}
    sealed = sample_plan.make(lake, DS, 3, hours=(hour // timedelta(hours=1),), changes=changes)
    parts.seal(lake, DS, start.strftime("%Y-%m-%dT%H"), "now")
    sample_plan.make(lake, DS, 2, changes=changes)  # supersedes it, for all hours but the sealed one
    # It is due until its window closes and, as nobody sent it, for the rest of the plan's life.
    for before_end, n_due in ((timedelta(minutes=1), 1), (timedelta(0), 1), (-timedelta(days=1), 0)):
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


def test_a_day_without_a_manifest_is_named(lake: Lake) -> None:
    with pytest.raises(NotFound, match=f"{DS} has no plan to send"):
        parts.send_hours(lake, DS)


@pytest.mark.parametrize("text", ["2026-11-15", "2026-11-15T24", "2026-13-01T00", "2026-11-15T4", "x"])
def test_hours_that_are_none(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not an hour"):
        parts.parse_hour(text)
