"""What a part leaves behind is counted once, though parts of its file end side by side."""

from __future__ import annotations

import asyncio
from typing import Any

from angelia.delivery.worker.settling import Settling
from tests.unit.delivery.given import LOST, OK


def test_a_file_is_counted_once_though_two_of_its_parts_begin(bench: Any) -> None:
    """A paced part and another one of the same file are claimed side by side."""
    bench.plan(30)
    bench.deliver(lambda _, message: LOST if message["token"].startswith("sandbox-00000003") else OK)
    run = bench.delivery
    before, part = run.result.already_delivered, bench.parts()[0]

    async def both(settling: Settling) -> None:
        await asyncio.gather(settling.begin(part), settling.begin(part))

    settling = Settling(bench.lake, run.clock, run.ledger, run._choice, run.senders, run.result)
    asyncio.run(both(settling))
    assert run.result.already_delivered - before == 30
    assert settling.counts(part) == {"accepted": 29, "ambiguous": 1}
