"""Opens and clicks of programs are told from those of people."""

from __future__ import annotations

import pytest

from angelia.receive.machines import reason_of_open


@pytest.mark.parametrize(
    ("agent", "reason"),
    [
        ("Mozilla/5.0", "machine"), ("Mozilla/5.0 (Windows NT 10.0) GoogleImageProxy", None), (None, None),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)", None), ("Barracuda Sentinel", "machine"),
    ],
)  # fmt: skip
def test_machine_opens_are_told_apart(agent: str | None, reason: str | None) -> None:
    assert reason_of_open(agent) == reason
