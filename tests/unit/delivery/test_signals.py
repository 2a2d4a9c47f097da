"""SIGTERM and the first Ctrl-C drain a worker; a second Ctrl-C ends it."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest

from angelia.delivery.worker.signals import drains_on_signal
from angelia.transport.wire import Answer
from tests.unit.delivery.given import OK, number_of


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_worker_loses_no_message(number: signal.Signals, bench: Any) -> None:
    bench.plan(1000)

    def script(nth: int, message: dict[str, Any]) -> Answer:
        if len(bench.wire.requests) == 300:
            signal.raise_signal(number)
        return OK

    first = bench.deliver(script)
    assert first.drained
    sent = [number_of(message) for message, _ in bench.wire.requests]
    assert len(sent) < 1000
    assert not bench.deliver().drained
    sent += [number_of(message) for message, _ in bench.wire.requests]
    assert sorted(sent) == list(range(1000))
    assert {row["outcome"] for row in bench.ledger().values()} == {"accepted"}


def test_a_second_ctrl_c_ends_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)

    async def main() -> None:
        draining = asyncio.Event()
        with drains_on_signal(draining):
            signal.raise_signal(signal.SIGINT)
            await draining.wait()
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert signal.getsignal(signal.SIGINT) is before
    assert capsys.readouterr().err.startswith("interrupted: no new request begins")
