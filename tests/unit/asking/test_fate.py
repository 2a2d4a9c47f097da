"""What became of a planned message: emitted, held back, sent, opened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from angelia.asking.fate import Openings, fate_of
from angelia.asking.records import Fate
from angelia.contracts import arrow, dataset
from angelia.contracts.rows import valid_rows
from angelia.lake import Commit, FileEntry, Lake
from angelia.users.one_person import PersonLake

DS, HOUR = "2026-11-14", "2026-11-15T09"
SLOT = datetime(2026, 11, 15, 9, tzinfo=UTC)
MESSAGE, OTHER = "a" * 32, "b" * 32
SENT, OPENED = SLOT + timedelta(minutes=3), SLOT + timedelta(hours=2)


def publish(lake: Lake, name: str, rows: list[dict[str, Any]], keys: Any = None, **leaf: Any) -> None:
    """Publish rows made of valid ones; `leaf` may hold the commit's `params`."""
    params = leaf.pop("params", None)
    base = valid_rows(name, max(len(rows), 1)).to_pylist()[: len(rows)]
    table = pa.Table.from_pylist(
        [a | b for a, b in zip(base, rows, strict=True)], schema=arrow.schema(dataset(name))
    )
    with lake.attempt(name, **leaf) as attempt:
        attempt.write(table, f"{leaf.get('part', 'part-0000')}.parquet", keys=keys, conform=False)
        attempt.publish(params=params)


def emit(lake: Lake, message: str, **params: Any) -> None:
    publish(lake, "dispatch_manifest", [{"message_id": message}], {"send_hour": HOUR}, ds=DS, params=params)


def ledger(lake: Lake, **rows: dict[str, Any]) -> None:
    for part, row in rows.items():
        whole = {"message_id": MESSAGE, "reason": None, "sent_ts": None} | row
        publish(lake, "delivery_ledger", [whole], ds=DS, send_hour=HOUR, part=part)


def receipts(lake: Lake, *rows: tuple[str, datetime, str | None]) -> None:
    made = [
        {"message_id": MESSAGE, "kind": kind, "receipt_ts": at, "reason": reason} for kind, at, reason in rows
    ]
    publish(lake, "push_receipts", made, ds=DS, source="world", part="0000")


def ask(lake: Lake, openings: Openings | None = None) -> Fate:
    return fate_of(lake, PersonLake(lake, 3, 8), DS, "sale", MESSAGE, SLOT, openings)


def reads_of(monkeypatch: pytest.MonkeyPatch, commit: Commit) -> list[Any]:
    """Return a list to which each read of a commit adds its columns."""
    read, whole = [], Lake.read_file

    def watched(self: Lake, entry: FileEntry, columns: Any = None, *more: Any) -> pa.Table:
        if entry in commit.files:
            read.append(columns)
        return whole(self, entry, columns, *more)

    monkeypatch.setattr(Lake, "read_file", watched)
    return read


def test_before_manifests_nothing_is_emitted(lake: Lake) -> None:
    assert ask(lake).state == "not_emitted"


def test_a_campaign_the_guard_held_back_says_so(lake: Lake) -> None:
    emit(lake, OTHER, held_back=["sale"])
    assert ask(lake).state == "held_back"


@pytest.mark.parametrize(("emitted", "state"), [(MESSAGE, "not_sent_yet"), (OTHER, "not_emitted")])
def test_a_message_waits_or_was_left_out(lake: Lake, emitted: str, state: str) -> None:
    emit(lake, emitted)
    assert ask(lake).state == state


def test_a_message_that_fell_over_counts_as_sent(lake: Lake) -> None:
    emit(lake, MESSAGE)
    rejected = {"outcome": "rejected", "reason": "gone", "channel": "fcm"}
    ledger(lake, first=rejected, second={"outcome": "accepted", "channel": "sms", "sent_ts": SENT})
    assert ask(lake) == Fate("accepted", "sms", None, SENT, None)


def test_a_rejection_names_its_reason(lake: Lake) -> None:
    emit(lake, MESSAGE)
    ledger(lake, first={"outcome": "rejected", "reason": "gone", "channel": "fcm", "sent_ts": SENT})
    assert ask(lake) == Fate("rejected", "fcm", "gone", SENT, None)


@pytest.mark.parametrize("openings", [None, Openings()])
def test_an_open_is_read_from_receipts_but_for_machines(lake: Lake, openings: Openings | None) -> None:
    emit(lake, MESSAGE)
    ledger(lake, first={"outcome": "accepted", "channel": "fcm", "sent_ts": SENT})
    receipts(lake, ("opened", SLOT + timedelta(minutes=4), "machine"), ("delivered", SENT, None))
    assert ask(lake, openings).opened_ts is None
    receipts(lake, ("opened", SLOT + timedelta(hours=5), None), ("opened", OPENED, None))
    assert ask(lake, openings).opened_ts == OPENED


def test_kept_opens_are_read_once_until_an_erasure(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    emit(lake, MESSAGE)
    ledger(lake, first={"outcome": "accepted", "channel": "fcm", "sent_ts": SENT})
    receipts(lake, ("opened", OPENED, None), ("opened", OPENED, "machine"), ("delivered", SENT, None))
    openings = Openings()
    read = reads_of(monkeypatch, lake.require("push_receipts", ds=DS, source="world", part="0000"))
    assert [ask(lake, openings).opened_ts for _ in range(3)] == [OPENED] * 3
    assert len(read) == 1
    lake.store.put("erasures/first.json", b"{}")
    assert ask(lake, openings).opened_ts == OPENED
    assert len(read) == 2


def test_the_oldest_kept_opens_are_forgotten(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("angelia.asking.fate.OPENS_AT_MOST", 1)
    openings, commits = Openings(), []
    for _ in range(3):
        receipts(lake, ("opened", OPENED, None))
        commits.append(lake.require("push_receipts", ds=DS, source="world", part="0000"))
        assert openings.of(lake, commits[-1]).num_rows == 1
    assert list(openings._kept) == [commits[-1].citation()]


def test_the_workers_own_receipts_are_not_listed(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    emit(lake, MESSAGE)
    ledger(lake, first={"outcome": "accepted", "channel": "fcm", "sent_ts": SENT})
    receipts(lake, ("opened", OPENED, None))
    row = {"message_id": MESSAGE, "kind": "opened", "receipt_ts": SENT, "reason": None}
    publish(lake, "push_receipts", [row], ds=DS, source="worker", part="0000")
    listed, whole = [], Lake.leaves

    def watched(self: Lake, branch: str, name: str, prefix: Any, **more: Any) -> Any:
        listed.append((name, prefix.get("source")))
        return whole(self, branch, name, prefix, **more)

    monkeypatch.setattr(Lake, "leaves", watched)
    assert ask(lake).opened_ts == OPENED
    assert {source for name, source in listed if name == "push_receipts"} == {"world"}


def test_receipts_of_others_are_read_by_their_key_alone(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    emit(lake, MESSAGE)
    ledger(lake, first={"outcome": "accepted", "channel": "fcm", "sent_ts": SENT})
    row = {"message_id": OTHER, "kind": "opened", "receipt_ts": OPENED, "reason": None}
    publish(lake, "push_receipts", [row], ds=DS, source="world", part="0000")
    commit = lake.require("push_receipts", ds=DS, source="world", part="0000")
    read = reads_of(monkeypatch, commit)
    assert ask(lake).opened_ts is None
    assert read == [["message_id"]]


def test_an_open_is_read_from_the_persons_days(lake: Lake) -> None:
    emit(lake, MESSAGE)
    ledger(lake, first={"outcome": "accepted", "channel": "fcm", "sent_ts": SENT})
    row = {"ordinal": 3, "message_id": MESSAGE, "kind": "opened", "at_ts": OPENED, "sent_ts": SENT}
    publish(lake, "user_pushes", [row], ds="2026-11-15")
    assert ask(lake).opened_ts == OPENED
    publish(lake, "user_pushes", [row | {"ordinal": 4}], ds="2026-11-15")  # another person's
    assert ask(lake).opened_ts is None


def test_devices_that_took_it_are_counted(lake: Lake) -> None:
    emit(lake, MESSAGE)
    ledger(
        lake,
        first={"outcome": "accepted", "channel": "fcm", "sent_ts": SENT},
        second={"outcome": "rejected", "reason": "gone", "channel": "fcm", "sent_ts": SENT},
        third={"outcome": "accepted", "channel": "fcm", "sent_ts": SENT},
    )
    assert ask(lake) == Fate("accepted", "fcm", None, SENT, None, (2, 3))
