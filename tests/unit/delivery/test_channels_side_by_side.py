"""Channels run side by side, each hour after hour; within one, high goes before low."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.delivery.channels.base import Provider
from angelia.delivery.channels.fcm import FcmAdapter
from angelia.delivery.manifest import sample_plan
from angelia.delivery.worker.options import Options, RunResult
from angelia.delivery.worker.run import Delivery
from angelia.lake import Lake
from angelia.transport.wire import Answer, Request
from tests.unit.delivery.given import DS, OK


def plan(lake: Lake, parts: list[tuple[int, str, str]], n: int = 40) -> None:
    """Write parts (hour, channel, priority) of n rows each, in this order."""
    with lake.attempt("catalog_snapshot", ds=DS) as attempt:
        documents = sample_plan.documents(channels=sorted({channel for _, channel, _ in parts}))
        attempt.write(
            pa.Table.from_pylist(documents, schema=arrow.schema(dataset("catalog_snapshot"))),
            "part-0000.parquet",
        )
        snapshot = attempt.publish()
    with lake.attempt("dispatch_manifest", ds=DS) as attempt:
        for number, (hour, channel, priority) in enumerate(parts):
            start = datetime(2026, 11, 15, hour, tzinfo=UTC)
            table = sample_plan.rows(
                number * n,
                n,
                start,
                channel=channel,
                priority=priority,
                not_after=datetime(2100, 1, 1, tzinfo=UTC),
            )
            keys = {"send_hour": start.strftime("%Y-%m-%dT%H"), "channel": channel, "priority": priority}
            attempt.write(
                table, "/".join(f"{k}={v}" for k, v in keys.items()) + "/part-0000.parquet", keys=keys
            )
        attempt.publish(inputs=[snapshot])


def deliver(lake: Lake, monkeypatch: pytest.MonkeyPatch, wire: Callable[[str], Any]) -> RunResult:
    """Deliver on the wall clock."""
    monkeypatch.setattr(
        "angelia.delivery.worker.run.open_provider",
        lambda config: Provider(FcmAdapter("p"), "https://sandbox.test", None, concurrency=10),
    )
    hours = tuple(f"2026-11-15T{hour:02d}" for hour in (4, 5) if lake.partitions("dispatch_manifest"))
    return asyncio.run(
        Delivery(lake, Options(DS, hours), transport=lambda _, config: wire(config.channel)).run()
    )


class Wire:
    """Answers at once, or when `until` is set, after at most three seconds."""

    def __init__(self, channel: str, log: list[tuple[str, str]], until: asyncio.Event | None) -> None:
        self.channel, self.log, self.until = channel, log, until

    def submit(
        self, request: Request, authorization: bytes, done: Callable[[Any, Answer], None], tag: Any
    ) -> None:
        self.log.append((self.channel, request.body.split(b'"token":"')[1][:16].decode()))

        async def answer() -> None:
            if self.until is not None:
                try:
                    async with asyncio.timeout(3.0):
                        await self.until.wait()
                except TimeoutError:
                    self.log.append((self.channel, "waited in vain"))
            done(tag, OK)

        self.task = asyncio.get_running_loop().create_task(answer())

    async def close(self) -> None:
        pass


def test_a_stalled_channel_keeps_no_other_from_its_hours(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    plan(lake, [(4, "apns", "high"), (4, "fcm", "low"), (5, "apns", "high"), (5, "fcm", "low")])
    log: list[tuple[str, str]] = []
    finished = asyncio.Event()

    def wire(channel: str) -> Wire:
        if channel == "apns":
            return Wire(channel, log, finished)
        made = Wire(channel, log, None)
        submit = made.submit

        def counted(*args: Any) -> None:
            submit(*args)
            if sum(name == "fcm" for name, _ in log) == 80:
                finished.set()

        monkeypatch.setattr(made, "submit", counted)
        return made

    result = deliver(lake, monkeypatch, wire)
    assert result.delivered == {"accepted": 160}
    assert ("apns", "waited in vain") not in log


def test_high_goes_before_medium_before_low(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    plan(lake, [(4, "fcm", "low"), (4, "fcm", "high"), (4, "fcm", "medium"), (5, "fcm", "low")])
    log: list[tuple[str, str]] = []
    assert deliver(lake, monkeypatch, lambda channel: Wire(channel, log, None)).delivered == {"accepted": 160}
    order = [int(token[8:16]) // 40 for _, token in log]
    assert order == sorted(order, key=[1, 2, 0, 3].index)
