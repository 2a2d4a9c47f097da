"""Wait for a part whose worker may be dead.

A killed worker's claim keeps others out for `STALE_US` after its last heartbeat, unless it ran on this very
machine. A task's own retry comes sooner than that; without this wait it would leave the part to the next
hour. Surprise: a holder that is heard of meanwhile keeps the part, and nobody waits for it to finish.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from angelia.contracts.sending import Micros
from angelia.delivery.ledger.ledger import Lease, Ledger
from angelia.delivery.manifest.parts import Part
from angelia.output import progress

LOOK_S = 5.0


async def await_lease(
    ledger: Ledger, part: Part, lease_now: Callable[[], Micros], draining: asyncio.Event
) -> bool:
    """Wait until a part may be claimed; False if it must be left.

    Its holder was heard of, or this worker was asked to stop.

    Raises:
        Corrupt: the standing claim, its release or the mark of the end is damaged.
    """
    first: Lease | None = None
    while (lease := await asyncio.to_thread(ledger.lease, part.id)) is not None:
        if first is None:
            first = lease
            left = max(0.0, (lease.end - lease_now()) / 1e6)
            progress(
                f"{part.channel} part {part.number} of {part.send_hour} is held by a worker last heard of "
                f"{(lease_now() - lease.seen) / 1e6:.0f} s ago; waiting {left:.0f} s, unless it lives"
            )
        elif lease != first:
            return False
        # The instant after the lease, never sooner than a look: `end` itself is still the holder's.
        rest = (lease.end - lease_now()) / 1e6 + 0.01
        with suppress(TimeoutError):
            await asyncio.wait_for(draining.wait(), min(LOOK_S, max(0.01, rest)))
            return False
    return True
