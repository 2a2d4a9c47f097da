"""The breaker of a channel: it opens, lets a single probe through, and closes."""

from __future__ import annotations

from angelia.delivery.sending.sender import Breaker


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
