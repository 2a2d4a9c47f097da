"""A fake wire, a plan, and a worker around them: no socket, no sleeping.

Time passes only while a task waits for it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from angelia.delivery.channels.base import ChannelConfig, Provider
from angelia.delivery.channels.fcm import FcmAdapter
from angelia.delivery.clock import Clock, SimulatedClock
from angelia.delivery.manifest import parts, sample_plan
from angelia.delivery.worker.options import Options, RunResult
from angelia.delivery.worker.run import Delivery
from angelia.lake import Lake
from angelia.transport.wire import Answer, Request
from tests.unit.delivery.given import DS, HOUR, OK


def error(status: int, code: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Answer:
    """Return an FCM error answer."""
    details = [{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}]
    return Answer(
        status, json.dumps({"error": {"code": status, "status": "X", "details": details}}).encode(), headers
    )


class FakeWire:
    """Answers by a script: `script(n, message)` -> Answer, or None for never.

    `n` counts the requests for this address, from 1.
    """

    def __init__(self, script: Callable[[int, dict[str, Any]], Answer | None]) -> None:
        self.script = script
        self.requests: list[tuple[dict[str, Any], bytes]] = []
        self.tries: dict[str, int] = {}

    def submit(
        self, request: Request, authorization: bytes, done: Callable[[Any, Answer], None], tag: Any
    ) -> None:
        message = json.loads(request.body)["message"]
        token = message["token"]
        self.tries[token] = self.tries.get(token, 0) + 1
        self.requests.append((message, authorization))
        answer = self.script(self.tries[token], message)
        if answer is not None:
            asyncio.get_running_loop().call_soon(done, tag, answer)

    async def close(self) -> None:
        pass


class Keys:
    """Credentials that count refreshes."""

    def __init__(self) -> None:
        self.n_refreshes = 0
        self.header: bytes | None = None

    def current(self) -> bytes | None:
        return self.header

    async def refresh(self, stale: bytes | None) -> None:
        if self.header is not None and self.header != stale:
            return
        self.n_refreshes += 1
        await asyncio.sleep(0)
        self.header = f"Bearer {self.n_refreshes}".encode()


class Bench:
    """Runs deliveries of one lake over a fake wire."""

    def __init__(self, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lake = lake
        self.keys = Keys()
        self.wire: FakeWire | None = None
        self.clock: Clock | None = None
        self.delivery: Delivery | None = None
        monkeypatch.setattr("angelia.delivery.worker.run.open_provider", self._provider)

    def _provider(self, config: ChannelConfig) -> Provider:
        return Provider(FcmAdapter("p"), "https://sandbox.test", self.keys, concurrency=50)

    def plan(self, n: int, **changes: Any) -> None:
        sample_plan.make(self.lake, DS, n, changes=changes)

    def deliver(
        self,
        script: Callable[[int, dict[str, Any]], Answer | None] = lambda _, __: OK,
        clock: Clock | None = None,
        **options: Any,
    ) -> RunResult:
        self.wire = FakeWire(script)
        self.clock = clock or SimulatedClock(0)
        given = replace(Options(DS, (HOUR,), simulated=self.clock.simulated, batch_rows=100), **options)
        self.delivery = Delivery(self.lake, given, clock=self.clock, transport=lambda _, __: self.wire)
        return asyncio.run(self.delivery.run())

    def ledger(self) -> dict[str, dict[str, Any]]:
        """Return the compacted ledger by dispatch id, over all parts."""
        rows_of = {}
        for leaf in self.lake.partitions("delivery_ledger", ds=DS):
            for row in self.lake.read(self.lake.require("delivery_ledger", **leaf)).to_pylist():
                assert row["dispatch_id"] not in rows_of
                rows_of[row["dispatch_id"]] = row
        return rows_of

    def parts(self) -> list[parts.Part]:
        return parts.parts_of(self.lake, parts.standing_manifest(self.lake, DS, HOUR), HOUR)


@pytest.fixture
def bench(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(lake, monkeypatch)


@pytest.fixture
def fcm_error() -> Callable[..., Answer]:
    return error


@pytest.fixture
def part(lake: Lake) -> parts.Part:
    """Return the one part of a plan of four rows."""
    return parts.parts_of(lake, sample_plan.make(lake, DS, 4), HOUR)[0]
