"""A device that has had its messages of the day gets no more of that class by this channel."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from angelia.contracts.ids import dispatch_id
from angelia.delivery.channels.base import Message
from angelia.delivery.channels.fcm import FcmAdapter
from angelia.delivery.manifest.parts import FALLOVER
from angelia.delivery.worker.device_counts import DeviceCounts
from angelia.transport.wire import Request
from tests.unit.delivery.given import DS, OK, START
from tests.unit.delivery.test_fallover import filled, plan, tokens

NOW = int(START.timestamp() * 1e6)
MOST = {"marketing": 2}
BEFORE = "2026-11-15T03"


def phone(person: int, device: int = 0) -> str:
    return f"sandbox-{person:08d}-" + (str(device) if device else "x" * 120)


def sent(lake: Any, person: int, n: int, *, device: int = 0, hours: float = 1, **changes: Any) -> None:
    """Put n earlier messages to a device into a ledger partition of their own."""
    at = START - timedelta(hours=hours)
    rows = []
    for number in range(n):
        message = f"{person}-{device}-{number}-{hours}-{len(changes)}".encode().hex().ljust(32, "0")[:32]
        channel = changes.get("channel", "fcm")
        rows.append(
            {
                "dispatch_id": dispatch_id(message, channel, phone(person, device)), "message_id": message,
                "user_id": f"u{person:08d}", "campaign_id": "digest", "material_id": "m", "channel": channel,
                "outcome": "accepted", "sent_ts": at, "n_attempts": 1, **changes,
            }
        )  # fmt: skip
    part = f"{rows[0]['channel']}.medium.{person:02d}{device}{int(hours)}{len(changes)}"
    with lake.attempt("delivery_ledger", ds="2026-11-13", send_hour=BEFORE, part=part) as attempt:
        attempt.write(filled("delivery_ledger", rows), "ledger.parquet")
        attempt.publish()


def over(bench: Any, most: dict[str, int] | None = None, **classes: str) -> list[str]:
    """Return the addresses of the rows that are over."""
    (part,) = bench.parts()
    rows = DeviceCounts(bench.lake).over(part, most or MOST, classes, NOW)
    address = bench.lake.read_file(part.entry, ["address"])["address"].to_pylist()
    return sorted(address[row] for row in rows)


@pytest.mark.parametrize(
    ("n", "changes", "is_over"),
    [
        (1, {}, False),
        (2, {}, True),
        (2, {"outcome": "ambiguous"}, True),
        (2, {"outcome": "rejected"}, False),
        (2, {"hours": 23.999}, True),
        (2, {"hours": 24}, False),
        (2, {"channel": "email"}, False),
        (2, {"device": 1}, False),
    ],
)
def test_what_counts_for_a_device(n: int, changes: dict[str, Any], is_over: bool, bench: Any) -> None:
    plan(bench.lake, 2)
    sent(bench.lake, 0, n, **changes)
    assert over(bench) == ([phone(0)] if is_over else [])


def test_classes_count_by_themselves(bench: Any) -> None:
    plan(bench.lake, 2)
    sent(bench.lake, 0, 2)
    assert over(bench, digest="service") == []
    assert over(bench, {"service": 2}, digest="service", price_drop="service") == [phone(0)]
    assert over(bench, {"transactional": 2}) == []


def test_a_part_counts_its_own_rows(bench: Any) -> None:
    """Three messages to one device in one part: two fit."""
    occurrence = {"user_id": "u00000000", "address": phone(0), "message_id": lambda k: f"{k:032x}"}
    plan(bench.lake, 3, **occurrence)
    assert len(over(bench)) == 1
    assert over(bench, {"marketing": 3}) == []


def test_devices_are_counted_one_by_one(bench: Any) -> None:
    plan(bench.lake, 2, devices=3)
    sent(bench.lake, 1, 2, device=2)
    assert over(bench) == [phone(1, 2)]


def test_what_is_over_goes_to_the_next_channel(bench: Any) -> None:
    plan(bench.lake, 6, limits={"fcm": {"marketing": 2}})
    for person in (1, 4):
        sent(bench.lake, person, 2)
    first = bench.deliver()
    assert first.delivered == {"accepted": 4, "rejected": 2}
    assert len(bench.wire.requests) == 4
    assert bench.deliver().delivered == {"accepted": 2}
    assert tokens(bench) == ["mail-1", "mail-4"]
    rows = [row for row in bench.ledger().values() if row["sent_ts"] is None or row["sent_ts"] >= START]
    assert Counter((row["channel"], row["outcome"], row["reason"]) for row in rows) == {
        ("fcm", "accepted", None): 4,
        ("fcm", "rejected", "quota:device_day"): 2,
        ("email", "accepted", None): 2,
    }
    assert len(bench.lake.partitions(FALLOVER, ds=DS)) == 1


def test_without_a_limit_no_ledger_is_read(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plan(bench.lake, 2)
    sent(bench.lake, 0, 2)
    monkeypatch.setattr(DeviceCounts, "_past", lambda *_: pytest.fail("ledgers were read"))
    assert bench.deliver(lambda *_: OK).delivered == {"accepted": 2}


@pytest.mark.parametrize(
    ("campaign", "wire_class"),
    [
        ({}, "marketing"),
        ({"message_class": "service"}, "service"),
        ({"guarantee": "at_least_once"}, "transactional"),
    ],
)
def test_the_class_reaches_the_adapter(
    campaign: dict[str, Any], wire_class: str, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan(bench.lake, 1, campaign=campaign)
    seen: list[str] = []
    build = FcmAdapter.build_request

    def watched(self: FcmAdapter, message: Message) -> Request:
        seen.append(message.wire_class)
        return build(self, message)

    monkeypatch.setattr(FcmAdapter, "build_request", watched)
    bench.deliver()
    assert seen == [wire_class]
