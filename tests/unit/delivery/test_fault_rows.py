"""Rows of docs/reference/faults.md over a fake wire.

A provider flaps, addresses are not addresses, consent is withdrawn while a part is sent.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.delivery.channels.apns import ApnsAdapter
from angelia.delivery.channels.base import Adapter, Provider
from angelia.delivery.channels.fcm import FcmAdapter
from angelia.delivery.channels.mail_format import Mailbox
from angelia.delivery.channels.smtp import SmtpAdapter
from angelia.delivery.channels.webhook import WebhookAdapter
from angelia.delivery.clock import SimulatedClock
from angelia.delivery.worker.options import Options
from angelia.delivery.worker.run import Delivery
from angelia.transport.wire import NOT_SENT, Answer
from tests.unit.delivery.given import OK, START


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_provider_that_flaps_loses_nothing_and_gets_no_storm(seed: int, bench: Any, fcm_error: Any) -> None:
    """Every second answer is a 503, a lost connection or a throttle.

    Retries are bounded and spread in time, and no row is lost or doubled.
    """
    draw = random.Random(seed)
    bench.plan(
        300,
        not_after=datetime(2100, 1, 1, tzinfo=UTC),
        guarantee=lambda n: "at_least_once" if n % 2 else "at_most_once",
    )
    accepted: Counter[str] = Counter()
    tried: dict[str, list[int]] = {}

    def script(nth: int, message: dict[str, Any]) -> Answer:
        dispatch = message["data"]["dispatch_id"]
        tried.setdefault(dispatch, []).append(bench.clock.now())
        kind = draw.random()
        if kind < 0.3:
            return fcm_error(503, "UNAVAILABLE")
        if kind < 0.4:
            return Answer(0, failure=NOT_SENT)
        if kind < 0.5:
            return fcm_error(429, "QUOTA_EXCEEDED", ((b"retry-after", b"1"),))
        accepted[dispatch] += 1
        return OK

    bench.deliver(script)
    rows = bench.ledger()
    assert {row["outcome"] for row in rows.values()} == {"accepted"}
    assert accepted == dict.fromkeys(rows, 1)
    assert max(map(len, tried.values())) <= 8 * 6  # tries of a part, times the parts a row can be in
    # Between the tries of a part there is backoff; a follow-up part, after eight of them, may begin at once.
    assert all(
        sum(later - earlier < 50_000 for earlier, later in pairwise(at)) <= (len(at) - 1) // 8
        for at in tried.values()
    )
    assert all(row["n_attempts"] == len(tried[dispatch]) for dispatch, row in rows.items())


FAR = b"Sun, 06 Nov 1994 08:49:37 +99999999999999999999999"
HOSTILE = [
    Answer(503, b"{}", ((b"retry-after", FAR),)),
    Answer(429, b"{}", ((b"retry-after", FAR),)),
    Answer(200, b'{"name": "\\ud800"}'),
    Answer(200, b"[" * 100_000),
    Answer(400, b'{"error": {"status": "\\ud83d"}}'),
    Answer(400, b'{"error": {"details": [{"errorCode": "' + b"x" * 100_000 + b'"}]}}'),
    Answer(200, b'{"name": "' + b"n" * 100_000 + b'"}'),
]


@pytest.mark.parametrize("guarantee", ["at_most_once", "at_least_once"])
def test_a_hostile_answer_costs_its_own_row_only(guarantee: str, bench: Any) -> None:
    bench.plan(60, not_after=datetime(2100, 1, 1, tzinfo=UTC), guarantee=guarantee)
    arrived: Counter[str] = Counter()

    def script(nth: int, message: dict[str, Any]) -> Answer:
        arrived[message["data"]["dispatch_id"]] += 1
        number = int(message["token"].split("-")[1])
        return HOSTILE[number // 4 % len(HOSTILE)] if number % 4 == 0 and nth == 1 else OK

    bench.deliver(script)
    rows = bench.ledger()
    assert len(rows) == 60
    assert sum(row["outcome"] == "accepted" for row in rows.values()) >= 45
    assert all(
        arrived[dispatch] == 1
        for dispatch, row in rows.items()
        if row["outcome"] == "accepted" and row["n_attempts"] == 1
    )
    assert guarantee == "at_least_once" or all(
        row["outcome"] != "ambiguous" or arrived[dispatch] == 1 for dispatch, row in rows.items()
    )


def test_a_defect_met_by_an_answer_costs_its_own_row_only(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> float:
        raise OverflowError("a@b.example")

    monkeypatch.setattr("angelia.delivery.sending.batch.retry_after", broken)
    bench.plan(60)
    bench.deliver(
        lambda nth, message: Answer(503, b"{}") if message["token"].split("-")[1].endswith("7") else OK
    )
    outcomes = Counter((row["outcome"], row["reason"]) for row in bench.ledger().values())
    assert outcomes == {("accepted", None): 54, ("ambiguous", "answer_error"): 6}


BAD = [
    "\r\nx: y",
    "a\x00b",
    "\x00",
    " ",
    "é" * 10,
    "x" * 1_000_000,
    "a\r\n.\r\nQUIT",
    "../../x",
    "'; rm -rf /",
    "=cmd|' /C calc'!A0",
    "{{ 7*7 }}",
    "\u202eabc",
]
ADAPTERS: dict[str, tuple[Adapter, Any]] = {
    "fcm": (FcmAdapter("p"), lambda n: f"sandbox-{n:08d}"),
    "apns": (ApnsAdapter("topic"), lambda n: f"{n:064x}"),
    "email": (
        SmtpAdapter(Mailbox("", "news@shop.example"), "https://shop.example/u", b"k"),
        lambda n: f"ann.{n}@people.example",
    ),
    "webhook": (WebhookAdapter(b"k"), lambda n: f"https://hooks.example/{n}"),
}


@pytest.mark.parametrize("channel", sorted(ADAPTERS))
def test_an_address_that_is_none_costs_its_own_row_only(
    channel: str, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter, good = ADAPTERS[channel]
    sent: list[bytes] = []

    class Wire:
        def submit(self, request: Any, authorization: bytes, done: Any, tag: Any) -> None:
            sent.append(request.path + request.body)
            asyncio.get_running_loop().call_soon(done, tag, OK)

        async def close(self) -> None:
            pass

    monkeypatch.setattr(
        "angelia.delivery.worker.run.open_provider",
        lambda _: Provider(adapter, "https://sandbox.test", None, concurrency=50),
    )
    address = lambda n: BAD[n // 4] if n % 4 == 1 and n // 4 < len(BAD) else good(n)  # noqa: E731
    bench.plan(100, channel=channel, address=address)
    delivery = Delivery(
        bench.lake,
        Options("2026-11-14", ("2026-11-15T04",), simulated=True),
        clock=SimulatedClock(0),
        transport=lambda *_: Wire(),
    )
    result = asyncio.run(delivery.run())
    refused = {row["user_id"] for row in bench.ledger().values() if row["outcome"] == "rejected"}
    bad = {f"u{n:08d}" for n in range(100) if address(n) in BAD}
    assert sum(result.delivered.values()) == 100
    assert result.delivered["accepted"] == len(sent) == 100 - len(refused)
    assert refused <= bad
    if (
        channel != "fcm"
    ):  # FCM's tokens are opaque: inside JSON they are harmless, and FCM itself refuses them
        assert refused == bad


def test_who_unsubscribes_during_a_part_gets_nothing_more(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.plan(1000)
    lease = [1_000_000_000]
    monkeypatch.setattr("angelia.delivery.worker.run.lease_now", lambda: lease[0])
    leaving = {f"u{n:08d}" for n in range(0, 1000, 2)}
    sent: list[str] = []

    def script(nth: int, message: dict[str, Any]) -> Answer:
        sent.append(f"u{message['token'][8:16]}")
        if len(sent) == 300:
            at = {"channel": None, "address_hash": None, "since_ts": START, "reason": "unsubscribed"}
            entries = [{"entry_id": f"e-{user}", "user_id": user, **at} for user in sorted(leaving)]
            bench.lake.append_log(
                "suppressions", pa.Table.from_pylist(entries, schema=arrow.schema(dataset("suppressions")))
            )
            lease[0] += 11_000_000  # the list is at most ten seconds old
        return OK

    result = bench.deliver(script)
    assert len([user for user in sent[350:] if user in leaving]) == 0  # 50 may have been under way
    assert result.delivered["accepted"] == len(sent)
    assert result.delivered["skipped"] == 1000 - len(sent)
    assert {row["reason"] for row in bench.ledger().values()} == {None, "suppressed"}
