"""The breaker of a channel opens, lets a single probe through, and counts requests."""

from __future__ import annotations

from angelia.delivery.clock import SimulatedClock
from angelia.delivery.sending.sender import NOBODY, Breaker, Nowhere, Sender


def test_the_breaker_opens_probes_once_and_closes() -> None:
    breaker = Breaker()
    for _ in range(20):
        assert breaker.wait(0) == 0.0
        breaker.failed(0)
    assert breaker.wait(500_000) == 0.5
    assert breaker.wait(1_000_000) == 0.0  # the probe
    assert breaker.wait(1_000_000) > 0.0  # nobody else
    breaker.failed(1_000_000)
    assert breaker.wait(2_500_000) == 0.5  # twice as long
    assert breaker.wait(3_000_000) == 0.0
    breaker.succeeded()
    assert breaker.wait(3_000_000) == 0.0
    assert not breaker.is_open


def opened() -> Sender:
    return Sender("huawei", NOBODY, Nowhere(), SimulatedClock(0), per_minute=60_000)


def test_a_request_that_fails_counts_once() -> None:
    sender = opened()
    for request in range(1, 21):
        assert not sender.breaker.is_open
        for _ in range(100):  # messages that left by it
            sender.failed("token", 0, request)
        assert sender.breaker.failures == request
    assert sender.breaker.is_open
    alone = opened()
    for _ in range(20):
        alone.failed("token", 0)
    assert alone.breaker.is_open, "messages that left alone count each"


def test_a_list_refused_for_its_configuration_counts_once() -> None:
    sender = opened()
    for request in range(1, 11):
        assert sender.halted is None
        for _ in range(100):
            sender.configuration_answer("80200001", request)
    assert sender.halted is not None
