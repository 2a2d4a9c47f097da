"""Receipts are added to their hour: few files, each name once, large files left alone."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from angelia.lake import Commit, Lake
from angelia.receive import receipts as room
from angelia.receive.finding.dispatches import FACTS
from angelia.receive.journal import Event
from angelia.receive.receipts import HourlyReceipts

DS, AT = "2026-11-14", datetime(2026, 11, 15, 5, tzinfo=UTC)
LEAF = {"ds": DS, "source": "receive", "part": "2026-11-15T05"}


def dispatch(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()[:32]


def add(receipts: HourlyReceipts, *numbers: int) -> int:
    events = [Event(f"e{n}", dispatch(n), "opened", int(AT.timestamp() * 1e6)) for n in numbers]
    facts: dict[str, dict[str, Any]] = {
        dispatch(n): {
            "dispatch_id": dispatch(n), "message_id": dispatch(n), "user_id": f"u{n}", "campaign_id": "c",
            "material_id": "m", "channel": "fcm", "ds": DS, "sent_ts": AT,
        }
        for n in numbers
    }  # fmt: skip
    return receipts.add(events, facts, FACTS)


def users(commit: Commit, lake: Lake) -> list[str]:
    return sorted(lake.read(commit)["user_id"].to_pylist())


def test_a_fold_adds_a_file_and_leaves_large_ones_alone(lake: Lake, monkeypatch: Any) -> None:
    receipts = HourlyReceipts(lake)
    assert add(receipts, *range(100)) == 100
    (large,) = lake.require("push_receipts", **LEAF).files
    for number in range(100, 110):
        assert add(receipts, number, 5) == 1
    commit = lake.require("push_receipts", **LEAF)
    assert large in commit.files
    assert len(commit.files) <= 4
    assert users(commit, lake) == sorted(f"u{n}" for n in range(110))
    # Half as many rows as the largest: they become one file, unless that would be too large.
    monkeypatch.setattr(room, "_FULL_ROWS", 169)
    assert add(receipts, *range(110, 180)) == 70
    assert large in lake.require("push_receipts", **LEAF).files
    monkeypatch.setattr(room, "_FULL_ROWS", 1_000)
    assert add(receipts, *range(180, 280)) == 100
    (whole,) = lake.require("push_receipts", **LEAF).files
    assert whole.rows == 280


def test_what_stands_already_is_not_added_again(lake: Lake) -> None:
    first = HourlyReceipts(lake)
    add(first, *range(50))
    for receipts in (first, HourlyReceipts(lake)):
        assert add(receipts, 3, 49) == 0
    assert add(HourlyReceipts(lake), 3, 50) == 1
    assert lake.require("push_receipts", **LEAF).rows == 51


def test_a_prefix_alone_is_no_repetition(lake: Lake, monkeypatch: Any) -> None:
    monkeypatch.setattr(
        room, "digest", lambda text: "ab" * 8 + hashlib.sha256(text.encode()).hexdigest()[:16]
    )
    receipts = HourlyReceipts(lake)
    assert (add(receipts, 1, 2), add(receipts, 2, 3), add(receipts, 1, 2, 3)) == (2, 1, 0)


def test_names_of_files_not_asked_about_are_forgotten(lake: Lake, monkeypatch: Any) -> None:
    monkeypatch.setattr(room, "_HELD_NAMES", 22)
    receipts = HourlyReceipts(lake)
    add(receipts, *range(20))
    add(receipts, 20)
    add(receipts, 21, 22, 23)
    add(receipts, 1)
    assert sum(len(keys) for keys, _ in receipts._names.values()) <= 22
    assert (add(receipts, 1, 20, 23), add(receipts, 24)) == (0, 1)
