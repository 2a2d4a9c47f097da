"""A message to all of a person's devices is one message; a device's end is its own."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from angelia.delivery.channels import base, fcm
from angelia.delivery.manifest.parts import FALLOVER
from angelia.transport.wire import Answer
from tests.unit.delivery.conftest import error
from tests.unit.delivery.given import DS, LOST, OK
from tests.unit.delivery.test_fallover import plan, tokens

GONE = error(404, "UNREGISTERED")


def is_device(message: dict[str, Any], person: int, *devices: int) -> bool:
    """Say whether a message is for one of these devices of a person; 0 is the first."""
    token = message["token"]
    names = [f"sandbox-{person:08d}-" + (str(device) if device else "x" * 120) for device in devices]
    return token in names


def by_channel(bench: Any) -> Counter[tuple[str, str]]:
    return Counter((row["channel"], row["outcome"]) for row in bench.ledger().values())


def reached_by(bench: Any) -> dict[str, set[str]]:
    """Return the channels by which each message was accepted."""
    reached: dict[str, set[str]] = {}
    for row in bench.ledger().values():
        if row["outcome"] == "accepted":
            reached.setdefault(row["message_id"], set()).add(row["channel"])
    return reached


def test_each_device_gets_it_once(bench: Any) -> None:
    plan(bench.lake, 4, devices=3)
    assert bench.deliver().delivered == {"accepted": 12}
    assert len(set(tokens(bench))) == 12
    assert len({row["message_id"] for row in bench.ledger().values()}) == 4
    assert bench.deliver().delivered == {}


def test_a_device_that_is_gone_ends_alone(bench: Any) -> None:
    plan(bench.lake, 3, devices=3)
    first = bench.deliver(lambda _, message: GONE if is_device(message, 1, 2) else OK)
    assert first.delivered == {"accepted": 8, "rejected": 1}
    assert bench.lake.partitions(FALLOVER, ds=DS) == [], "two devices have it"
    log = bench.lake.read_log("suppressions").to_pylist()
    assert [(row["user_id"], row["reason"]) for row in log] == [("u00000001", "gone")]
    assert log[0]["address_hash"] is not None


def test_without_any_device_one_message_falls_over(bench: Any) -> None:
    plan(bench.lake, 3, devices=3)
    bench.deliver(lambda _, message: GONE if is_device(message, 1, 0, 1, 2) else OK)
    assert bench.deliver().delivered == {"accepted": 1}
    assert tokens(bench) == ["mail-1"]


def test_one_of_unknown_fate_keeps_the_others(bench: Any) -> None:
    plan(bench.lake, 2, devices=3)
    bench.deliver(
        lambda _, message: LOST if is_device(message, 0, 1) else GONE if is_device(message, 0, 0, 2) else OK
    )
    assert by_channel(bench)["fcm", "ambiguous"] == 1
    assert bench.lake.partitions(FALLOVER, ds=DS) == []


def test_a_spent_quota_moves_only_who_has_nothing(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is lost and none gets it by two channels, wherever the count ends."""
    monkeypatch.setitem(fcm.ERRORS, "SPENT", base.SPENT)
    plan(bench.lake, 60, devices=3)
    taken: list[str] = []

    def script(_: int, message: dict[str, Any]) -> Answer:
        if message["token"].startswith("mail"):
            return OK
        taken.append(message["token"])
        return OK if len(taken) <= 50 else error(429, "SPENT")

    bench.deliver(script)
    bench.deliver(script)
    bench.deliver()
    reached = reached_by(bench)
    assert len(reached) == 60
    assert all(len(channels) == 1 for channels in reached.values())
    counts = Counter(next(iter(channels)) for channels in reached.values())
    assert counts["email"] > 10
    assert by_channel(bench)["email", "accepted"] == counts["email"], "one mail a person"
