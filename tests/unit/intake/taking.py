"""A dispatcher's batches, claimed at an instant."""

from __future__ import annotations

from sqlalchemy.engine import Engine

from angelia.delivery.ledger.ledger import Owner
from angelia.intake.dispatching.batches import Batches, IntakeBatch

DS, HOUR = "2026-11-26", "2026-11-28T04"
LEASE_US = 60_000_000


def of(engine: Engine) -> Batches:
    return Batches(engine, Owner.this_process(), LEASE_US)


def claim(batches: Batches, now_us: int, limit: int = 9, *priorities: int) -> IntakeBatch | None:
    return batches.claim(now_us, limit, DS, HOUR, priorities or (0, 1, 2))[0]
