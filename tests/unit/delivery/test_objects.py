"""Every object of the ledger and the journal with a flipped bit is named by its key.

What was written before there were checksums is still read.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from angelia.delivery.ledger import compaction
from angelia.delivery.ledger.first_sight import FirstSeen
from angelia.delivery.ledger.ledger import Ledger, Owner
from angelia.delivery.ledger.status import release, status
from angelia.delivery.manifest import parts, sample_plan
from angelia.delivery.manifest.objects import from_bytes, to_bytes
from angelia.errors import Corrupt
from angelia.lake import Lake
from angelia.receive.journal import Event, Journal
from angelia.transport.wire import Answer
from tests.unit.delivery.given import DS, HOUR, OK

NOW = datetime(2026, 11, 15, 6, tzinfo=UTC)
STOP = Event("e1", "0" * 32, "stop", 1_000_000)
SEAL_BYTES = 72


def test_every_flipped_bit_of_a_document_is_noticed() -> None:
    data = to_bytes({"size": 60, "rows": [1, 2], "word": "ü"})
    assert from_bytes(data, "k") == {"size": 60, "rows": [1, 2], "word": "ü"}
    for position in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises(Corrupt, match=r"^intents/p/000001 is damaged$"):
            from_bytes(bytes(flipped), "intents/p/000001")
    for n in range(len(data)):
        with pytest.raises(Corrupt):
            from_bytes(data[:n], "k")


@pytest.fixture
def half_sent(bench: Any) -> Any:
    """Return a bench that was stopped half way: a part done, one under way, and a journal."""
    sample_plan.make(bench.lake, DS, 80, part_rows=40)

    def script(nth: int, message: dict[str, Any]) -> Answer:
        if len(bench.wire.requests) == 45:
            signal.raise_signal(signal.SIGTERM)
        return OK

    assert bench.deliver(script, batch_rows=5).drained
    done, going = bench.parts()
    assert [bench.lake.store.exists(f"done/{part.id}") for part in (done, going)] == [True, False]
    Journal(bench.lake.store).keep([STOP], NOW)
    bench.done, bench.going = done, going
    return bench


def claim(lake: Lake, number: int) -> None:
    part = parts.parts_of(lake, parts.standing_manifest(lake, DS, HOUR), HOUR)[number]
    Ledger(lake.store, Owner.this_process(), lambda: 1).claim(part, takeover=True)


def first(lake: Lake) -> None:
    part = parts.parts_of(lake, parts.standing_manifest(lake, DS, HOUR), HOUR)[0]
    FirstSeen(lake, Ledger(lake.store, Owner.this_process(), lambda: 1), lambda: 0).first(part)


def counts(lake: Lake) -> None:
    ledger = Ledger(lake.store, Owner.this_process(), lambda: 1)
    compaction.counts(ledger, parts.parts_of(lake, parts.standing_manifest(lake, DS, HOUR), HOUR))


def intents(lake: Lake) -> None:
    ledger = Ledger(lake.store, Owner.this_process(), lambda: 1)
    for part in parts.parts_of(lake, parts.standing_manifest(lake, DS, HOUR), HOUR):
        ledger.intents(part.id)


def journal(lake: Lake) -> None:
    problems: list[Corrupt] = []
    events = list(Journal(lake.store).pending(problems))
    if problems:
        assert events == []
        raise problems[0]


READERS: dict[str, list[Callable[[Lake], Any]]] = {
    "claims": [lambda lake: claim(lake, -1)],
    "released": [lambda lake: claim(lake, -1)],
    "done": [lambda lake: claim(lake, 0)],
    "intents": [intents],
    "outcomes": [counts],
    "sights": [first],
    "seals": [
        lambda lake: parts.seal(lake, DS, HOUR, "now"),
        lambda lake: parts.standing_manifest(lake, DS, HOUR),
        lambda lake: parts.sealed_files(lake, DS),
    ],
    "followups": [lambda lake: parts.parts_of(lake, parts.standing_manifest(lake, DS, HOUR), HOUR)],
    "received": [journal],
}


def flips(path: Path) -> Iterator[None]:
    """Flip one bit of each byte of a file, one after the other; the file is sound in the end."""
    path.chmod(0o644)
    sound = path.read_bytes()
    for position in range(len(sound)):
        flipped = bytearray(sound)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(flipped)
        yield
    path.write_bytes(sound)


@pytest.mark.parametrize("folder", READERS)
def test_whoever_reads_an_object_with_a_flipped_bit_names_it(folder: str, half_sent: Any) -> None:
    if folder == "followups":
        parts.follow_up(half_sent.lake, half_sent.done, [1, 2], "resent", f"{'0' * 32}.resent-0001")
    of_going = [key for key in half_sent.lake.store.list(folder) if half_sent.going.id in key]
    key = next(iter(of_going or half_sent.lake.store.list(folder)))
    before = set(half_sent.lake.store.list(""))
    for read in READERS[folder]:
        for _ in flips(half_sent.lake.store.local_path(key)):
            with pytest.raises(Corrupt, match=f"^{key} is damaged$"):
                read(half_sent.lake)
    assert set(half_sent.lake.store.list("")) == before


def test_a_heartbeat_with_a_flipped_bit_counts_as_none(half_sent: Any) -> None:
    store, now = half_sent.lake.store, [1_000_000_000]
    elsewhere = Ledger(store, Owner("elsewhere", "boot", "ns", 1, "1"), lambda: now[0])
    part = half_sent.going
    held = elsewhere.claim(part)
    assert held is not None
    now[0] += 200_000_000
    elsewhere.heartbeat(held)
    now[0] += 150_000_000
    assert elsewhere.claim(part) is None
    for _ in flips(store.local_path(f"heartbeats/{part.id}/{held.epoch:08d}")):
        assert elsewhere._is_free(part.id, held.epoch)


def test_objects_written_before_there_were_checksums_are_read(half_sent: Any) -> None:
    store = half_sent.lake.store
    sent = [message["data"]["dispatch_id"] for message, _ in half_sent.wire.requests]
    for folder in ("claims", "released", "done", "intents", "sights", "seals"):
        for key in list(store.list(folder)):
            path = store.local_path(key)
            path.chmod(0o644)
            path.write_bytes(path.read_bytes()[SEAL_BYTES:])
            assert json.loads(path.read_bytes()) == json.loads(store.read(key))
    for key in list(store.list("outcomes")):
        store.local_path(key).chmod(0o644)
        store.local_path(key).write_bytes(store.read(key)[:-38])
    result = half_sent.deliver(batch_rows=5)
    assert result.unfinished == 0
    sent += [message["data"]["dispatch_id"] for message, _ in half_sent.wire.requests]
    assert sorted(sent) == sorted(half_sent.ledger())
    (key,) = store.list("received")
    store.local_path(key).chmod(0o644)
    store.local_path(key).write_bytes(json.dumps(json.loads(store.read(key)[SEAL_BYTES:])["events"]).encode())
    assert [events for _, events in Journal(store).pending()] == [[STOP]]


@pytest.mark.parametrize(
    ("old", "new"), [(b'"size": 5', b'"size": 1'), (b'"rows": 5', b'"rows": 4'), (b'"host"', b'"hosd"')]
)
def test_an_intent_without_checksum_must_fit_its_part(old: bytes, new: bytes, half_sent: Any) -> None:
    store = half_sent.lake.store
    for key in list(store.list(f"intents/{half_sent.going.id}")):
        path = store.local_path(key)
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[SEAL_BYTES:].replace(old, new))
    with pytest.raises(Corrupt, match=rf"^intents/{half_sent.going.id}/\d+ is damaged$"):
        half_sent.deliver(takeover=True, batch_rows=5)


def test_parts_beside_a_damaged_object_are_sent(bench: Any) -> None:
    sample_plan.make(bench.lake, DS, 60, hours=(4, 5), part_rows=10)
    hours = (HOUR, "2026-11-15T05")
    spoilt = bench.parts()[1]
    ledger = Ledger(bench.lake.store, Owner("elsewhere", "boot", "ns", 1, "1"), lambda: 1)
    assert ledger.claim(spoilt) is not None
    path = bench.lake.store.local_path(f"claims/{spoilt.id}/00000001")
    path.chmod(0o644)
    sound = path.read_bytes()
    path.write_bytes(sound.replace(b"boot", b"bood", 1))
    result = bench.deliver(hours=hours, takeover=True)
    assert (result.parts, result.unfinished) == (5, 1)
    assert [str(error) for error in result.damaged] == [f"claims/{spoilt.id}/00000001 is damaged"]
    assert result.to_json()["damaged"] == [f"claims/{spoilt.id}/00000001 is damaged"]
    assert len(bench.wire.requests) == 50
    path.write_bytes(sound)
    assert bench.deliver(hours=hours, takeover=True).delivered == {"accepted": 10}


def test_hours_beside_a_damaged_seal_are_sent_and_it_is_due(bench: Any) -> None:
    sample_plan.make(bench.lake, DS, 60, hours=(4, 5), part_rows=10)
    parts.seal(bench.lake, DS, HOUR, "now")
    path = bench.lake.store.local_path(f"seals/{DS}/{HOUR}")
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])
    result = bench.deliver(hours=(HOUR, "2026-11-15T05"))
    assert result.delivered == {"accepted": 30}
    assert [error.message for error in result.damaged] == [f"seals/{DS}/{HOUR} is damaged"]
    at = int(datetime(2026, 11, 15, 4, 30, tzinfo=UTC).timestamp() * 1e6)
    assert [part.number for part in parts.due_parts(bench.lake, at)] == [0, 1, 2]


def test_a_damaged_follow_up_holds_back_its_file_only(bench: Any, fcm_error: Any) -> None:
    far = datetime(2100, 1, 1, tzinfo=UTC)
    sample_plan.make(bench.lake, DS, 30, part_rows=10, changes={"not_after": far})
    at = int(datetime(2026, 11, 15, 4, 30, tzinfo=UTC).timestamp() * 1e6)
    assert bench.deliver(lambda *_: fcm_error(503, "UNAVAILABLE"), part=1).delivered == {"deferred": 10}
    roots = {part.id[:32] for part in bench.parts() if part.rows is None}
    keys = sorted(bench.lake.store.list("followups"), key=lambda key: key.split("/")[-1][:32] in roots)
    path = bench.lake.store.local_path(keys[-1])
    path.chmod(0o644)
    sound = path.read_bytes()
    path.write_bytes(sound.replace(b'"rows": [', b'"rows": [1'))
    result = bench.deliver()
    assert result.delivered == {"accepted": 20}
    (error,) = result.damaged
    assert error.message == f"{keys[-1]} is damaged"
    assert 1 in [part.number for part in parts.due_parts(bench.lake, at)]
    for ask in (lambda: status(bench.lake, DS), lambda: release(bench.lake, DS, None, dry_run=True)):
        with pytest.raises(Corrupt, match=r"^followups/"):
            ask()
    path.write_bytes(sound)
    assert bench.deliver().unfinished == 0
    assert len(bench.wire.requests) == 10
    assert {row["outcome"] for row in bench.ledger().values()} == {"accepted"}


def test_a_part_whose_end_is_damaged_is_due(half_sent: Any) -> None:
    at = int(datetime(2026, 11, 15, 4, 30, tzinfo=UTC).timestamp() * 1e6)
    store = half_sent.lake.store
    key = f"done/{half_sent.done.id}"
    assert key not in [f"done/{part.id}" for part in parts.due_parts(half_sent.lake, at)]
    store.local_path(key).chmod(0o644)
    store.local_path(key).write_bytes(b"{}}")
    assert key in [f"done/{part.id}" for part in parts.due_parts(half_sent.lake, at)]


def test_a_damaged_journal_holds_up_no_other_and_is_kept(lake: Lake) -> None:
    held = Journal(lake.store)
    held.keep([STOP], NOW)
    (key,) = lake.store.list("received")
    lake.store.local_path(key).chmod(0o644)
    lake.store.local_path(key).write_bytes(b"sha256:")
    held.keep([STOP], NOW)
    problems: list[Corrupt] = []
    assert [events for _, events in held.pending(problems)] == [[STOP]]
    assert [error.message for error in problems] == [f"{key} is damaged"]
    held.forget(NOW.replace(day=28))
    assert lake.store.exists(key)
