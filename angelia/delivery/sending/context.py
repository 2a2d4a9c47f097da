"""What delivering a part needs: ledger, guards, renderer, clocks, limits.

Everything that touches the outside is injected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from angelia.contracts.sending import Micros
from angelia.delivery.canary.gate import CanaryGate
from angelia.delivery.clock import Clock
from angelia.delivery.ledger.ledger import Ledger
from angelia.delivery.manifest.parts import Part
from angelia.delivery.sending.holds import CampaignPace
from angelia.lake.failpoint import armed
from angelia.users.suppressions import Guards


class Render(Protocol):
    """Renders a row's template.

    Raises:
        MessageRejected: the row has no text.
    """

    def __call__(
        self, template_id: str, version: int, fields: str, locale: str | None
    ) -> tuple[str, str, str | None]:
        """Return title, body and link."""

    def digest(self, template_id: str, version: int) -> bytes:
        """Return a hash of the template's text."""


@dataclass
class DeliveryContext:
    """What a part's delivery needs; everything that touches the outside is injected."""

    ledger: Ledger
    guards: Guards
    render: Render
    clock: Clock
    lease_now: Callable[[], Micros]
    batch_rows: int = 2_000
    open_batches: int = 4
    batch_deadline_s: float = 60.0
    request_timeout_s: float = 10.0
    max_attempts: int = 8
    # Of the campaigns that have a speed limit.
    paces: Mapping[str, CampaignPace] = field(default_factory=dict)
    # Of the campaigns whose messages an event makes moot: its type.
    cancel_on: Mapping[str, str] = field(default_factory=dict)
    # Of the campaigns whose canary goes first; None: of none.
    canaries: CanaryGate | None = None
    # Awaited before each batch: what was applied since may switch the channel off, or to another provider.
    before_batch: Callable[[], Awaitable[None]] | None = None
    # Whether another channel may take rows of the part that a closed channel leaves.
    moves_on: Callable[[], bool] = lambda: False
    # The rows of a part whose device has had its provider's messages of the day.
    over_quota: Callable[[Part], Collection[int]] = lambda _: ()
    # As which class providers count a campaign's messages.
    classes: Mapping[str, str] = field(default_factory=dict)
    # Once set: start nothing more, wait for answers (at most request_timeout_s), leave.
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    # (user, fields) -> the fields with what must not stand in the lake, such as a one-time code.
    reveal: Callable[[str, str], str] | None = None
    # Whether a failpoint is armed; looked up once, not at every row.
    is_armed: bool = field(default_factory=lambda: armed() is not None)
