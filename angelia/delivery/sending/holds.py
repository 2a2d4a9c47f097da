"""What holds up some rows of a channel only: a campaign's speed limit, a silent receiver.

A row at a closed gate is put aside, and the batch goes on with the rest. Grain: campaign, or receiver (a
webhook's host). Surprise: a limit is shared by all channels of a campaign and all processes of a home, and
divided by the workers of a channel (`--slots`), each of which stays below its share.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from angelia.contracts.sending import Micros
from angelia.delivery.sending.pacing import Breaker, TokenBucket
from angelia.delivery.sending.shared_pace import CAMPAIGN, SharedPace, SharedPaces

SPEED_LIMIT, RECEIVER_DOWN = "speed_limit", "receiver_down"
_FAILURES_OF_ONE = 5  # in a row, until one receiver's breaker opens
_ROOM_S = 0.05
_LOOK_S = 1.0  # gates are looked at again after this long at the latest
# A batch stays open no longer than this for rows at a gate alone: they go into a follow-up part.
_PATIENCE_S = 5.0


class Hold(Protocol):
    """One thing that some rows wait for."""

    reason: str

    def wait(self, now: Micros) -> float:
        """Return 0 if one row may pass now, else the seconds to wait; nothing is used up."""

    def clears_in(self, rows: int, now: Micros) -> float:
        """Return the seconds until that many rows could have passed."""

    def enter(self, now: Micros) -> None:
        """Let one row pass."""


class CampaignPace:
    """A campaign's speed limit."""

    reason = SPEED_LIMIT

    def __init__(self, per_minute: float, now: Micros, shared: SharedPace | None = None) -> None:
        self.bucket = TokenBucket(per_minute, now, shared)

    def wait(self, now: Micros) -> float:
        """See `Hold.wait`."""
        return self.bucket.wait(now)

    def clears_in(self, rows: int, now: Micros) -> float:
        """See `Hold.clears_in`."""
        return self.bucket.clears_in(rows)

    def enter(self, now: Micros) -> None:
        """See `Hold.enter`."""
        self.bucket.use()


class SpeedLimits:
    """The speed limits of one process, by campaign; the same gate for all channels."""

    def __init__(self, slots: int, now: Callable[[], Micros], shared: SharedPaces | None = None) -> None:
        self._slots, self._now, self._shared = slots, now, shared or SharedPaces(None)
        self._gates: dict[tuple[str, int], CampaignPace] = {}

    def of(self, limits: Mapping[str, int]) -> dict[str, CampaignPace]:
        """Return the gates of the campaigns that have a limit (messages a minute)."""
        for key in limits.items():
            if key not in self._gates:
                shared = self._shared.of(CAMPAIGN, *key)
                self._gates[key] = CampaignPace(key[1] / self._slots, self._now(), shared)
        return {campaign: self._gates[campaign, limit] for campaign, limit in limits.items()}


class Receiver:
    """One receiver of a channel whose rows go to many.

    It has a breaker of its own, and a share of the requests under way.
    """

    reason = RECEIVER_DOWN

    def __init__(self, share: int) -> None:
        self.breaker = Breaker(open_after=_FAILURES_OF_ONE)
        self.in_flight, self._share = 0, share

    def wait(self, now: Micros) -> float:
        """See `Hold.wait`."""
        return self.breaker.pause(now) or (_ROOM_S if self.in_flight >= self._share else 0.0)

    def clears_in(self, rows: int, now: Micros) -> float:
        """See `Hold.clears_in`."""
        return self.breaker.pause(now)

    def enter(self, now: Micros) -> None:
        """See `Hold.enter`."""
        self.breaker.wait(now)
        self.in_flight += 1

    def left(self) -> None:
        """Count that one request is over; it may have begun before the channel was opened anew."""
        self.in_flight = max(0, self.in_flight - 1)


class Receivers:
    """The receivers with requests under way or in trouble; the others are forgotten."""

    def __init__(self, receiver_of: Callable[[str], str], concurrency: int) -> None:
        self._receiver_of = receiver_of
        # A quarter, so that no receiver can hold up the channel while its first requests time out.
        self._share = max(1, concurrency // 4)
        self._known: dict[str, Receiver] = {}
        self.n_opened = 0

    def of(self, address: str) -> Receiver:
        """Return an address's receiver."""
        name = self._receiver_of(address)
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = Receiver(self._share)
        return known

    @property
    def n_down(self) -> int:
        """How many breakers are open."""
        return sum(receiver.breaker.is_open for receiver in self._known.values())

    def find(self, address: str) -> Receiver | None:
        """Return an address's receiver, None if nothing is known of it."""
        return self._known.get(self._receiver_of(address))

    def name(self, address: str) -> str:
        """Return the receiver's name."""
        return self._receiver_of(address)

    def answered(self, address: str) -> bool:
        """Count a well-formed answer; say whether it closed the receiver's breaker."""
        receiver = self.of(address)
        closed = receiver.breaker.succeeded()
        if not receiver.in_flight:
            self._known.pop(self._receiver_of(address))
        return closed

    def failed(self, address: str, now: Micros) -> bool:
        """Count a 5xx, no answer, or no connection; say whether it opened the receiver's breaker."""
        opened = self.of(address).breaker.failed(now)
        self.n_opened += opened
        return opened

    def undecided(self, address: str) -> None:
        """Let another request probe: this answer does not tell whether the receiver is well."""
        self.of(address).breaker.abandoned()


class ParkedRows:
    """The rows of one batch that wait at gates."""

    def __init__(self) -> None:
        self._rows: dict[Hold, deque[int]] = {}
        self._look_at: Micros = 0

    def __bool__(self) -> bool:
        return bool(self._rows)

    def put(self, i: int, gate: Hold, now: Micros) -> None:
        """Put a row aside."""
        self._rows.setdefault(gate, deque()).append(i)
        self._look_at = min(self._look_at, now + int(gate.wait(now) * 1e6))

    def ready(self, now: Micros) -> int | None:
        """Return a row whose gate is open now, if there is one."""
        if not self._rows or now < self._look_at:
            return None
        soonest = _LOOK_S
        for gate, rows in self._rows.items():
            pause = gate.wait(now)
            if not pause:
                i = rows.popleft()
                if not rows:
                    del self._rows[gate]
                return i
            soonest = min(soonest, pause)
        self._look_at = now + int(soonest * 1e6)
        return None

    def wait(self, now: Micros) -> float:
        """Return the seconds until it is worth asking again."""
        return max(0.0, (self._look_at - now) / 1e6)

    def hopeless(self, now: Micros, *, is_paced: bool) -> list[tuple[int, str]]:
        """Take the rows that would keep an otherwise finished batch open for long: (row, reason).

        A paced part is there to wait for its campaign's speed limit, however long that takes.
        """
        slow = [
            gate
            for gate, rows in self._rows.items()
            if gate.clears_in(len(rows), now) > _PATIENCE_S and not (is_paced and gate.reason == SPEED_LIMIT)
        ]
        return [(i, gate.reason) for gate in slow for i in self._rows.pop(gate)]

    def everything(self) -> list[tuple[int, str]]:
        """Take all rows: (row, reason)."""
        rows, self._rows = self._rows, {}
        return [(i, gate.reason) for gate, waiting in rows.items() for i in waiting]
