"""Whether a row may leave at this instant: one verdict, and one place that takes back.

Grain: one message of a batch. Room and the stop lists come first, then the token, the pace, the row's own
window, and the gates of its campaign and receiver. Surprise: from the grant of a token to the request nothing
is awaited, so what was checked still holds when the bytes are handed over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

from angelia.contracts.outcomes import AT_LEAST_ONCE, CANCELLED_BY_EVENT, DEFERRED, EVENTS_UNREADABLE, SKIPPED
from angelia.contracts.sending import Micros
from angelia.delivery.sending.context import DeliveryContext
from angelia.delivery.sending.holds import Hold
from angelia.delivery.sending.sender import Sender
from angelia.delivery.sending.windows import EXPIRED, QUIET, SendSpan, spans
from angelia.timing.own_hours import joined
from angelia.transport.wire import Request

# Waits for tokens last at least this long, so that requests leave together, not one a turn of the loop
# (measured: a third less CPU).
PACE_S = 0.005
GUARD_PAUSE_S = 0.5
CLOCK_JUMPED = "clock_jumped"
NEVER: Micros = 2**62  # when what would make a row moot happens, as far as is known


class Send(NamedTuple):
    """The row leaves now, as this request; all that it needs is taken."""

    request: Request


class Settle(NamedTuple):
    """The row does not leave in this batch: an outcome, if nothing better is known, and why."""

    outcome: str
    reason: str | None


class Wait(NamedTuple):
    """The row may not leave yet: what to await before asking again."""

    until: Callable[[], Awaitable[object]]


class Park(NamedTuple):
    """A gate holds the row up, and not the rows behind it."""

    gate: Hold


class Clearance:
    """What decides when a batch's rows may leave."""

    def __init__(
        self, work: DeliveryContext, sender: Sender, column: dict[str, list[Any]], deadline: Micros
    ) -> None:
        self._work, self._sender, self._column, self._deadline = work, sender, column, deadline
        self._guards_version = -1
        self._blocked: list[str | None] = []
        self._moot_at: list[Micros | None] | None = None  # None of a row: nothing makes it moot
        # Whether a row's person goes first; None: its campaign has no canary.
        self._goes_first = work.canaries and work.canaries.members(column["campaign_id"], column["user_id"])
        self._spans: list[SendSpan] = []
        self._hours: dict[str, list[Any]] = column  # with the quiet hours that people chose since the plan
        self._n_jumps = -1
        self._has_gates = bool(work.paces) or sender.receivers is not None

    def must_stop(self) -> str | None:
        """Return why nothing of this batch may be sent any more, None if something may."""
        if self._sender.halted is not None:
            return "channel_halted"
        if self._sender.closed is not None:
            return self._sender.closed
        if self._work.draining.is_set():
            return "drained"
        if self._work.lease_now() >= self._deadline:
            return "deadline" if self._work.guards.is_fresh() else "stop_list_unreadable"
        return None

    def of(self, i: int, build: Callable[[int], Send | Settle]) -> Send | Settle | Wait | Park:
        """Return the verdict on a row; `build` makes its request once nothing else is in the way.

        What the verdict took (a token, perhaps the probe of an open breaker) is kept only by `Send`.
        """
        sender, work = self._sender, self._work
        if sender.in_flight >= sender.concurrency:
            return Wait(sender.room)
        if not work.guards.is_fresh():
            return Wait(self._read_guards)
        if sender.authorization() is None:
            return Wait(partial(sender.renew, None))
        pause = sender.gate(work.clock.steady())
        if pause:
            return Wait(partial(work.clock.sleep, min(max(pause, PACE_S), 1.0)))
        verdict = self._recheck(i) or build(i)
        if not isinstance(verdict, Send):
            sender.ungate()
        elif self._has_gates:
            for gate in self._gates(i):
                gate.enter(work.clock.steady())
        return verdict

    def closed_gate(self, i: int, now: Micros) -> Hold | None:
        """Return what holds this row up and not the others, None if nothing does."""
        if not self._has_gates:
            return None
        pace = self._work.paces.get(self._column["campaign_id"][i])
        if pace is not None and pace.wait(now):
            return pace
        if self._sender.receivers is None:
            return None
        receiver = self._sender.receivers.find(self._column["address"][i])
        return receiver if receiver is not None and receiver.wait(now) else None

    def _gates(self, i: int) -> list[Hold]:
        """Return the gates a row passes: its campaign's speed limit, and its receiver."""
        gates: list[Hold] = []
        pace = self._work.paces.get(self._column["campaign_id"][i])
        if pace is not None:
            gates.append(pace)
        if self._sender.receivers is not None:
            gates.append(self._sender.receivers.of(self._column["address"][i]))
        return gates

    def _recheck(self, i: int) -> Settle | Wait | Park | None:
        """Return what keeps a row from leaving at this instant, None if nothing does."""
        work, clock = self._work, self._work.clock
        if work.guards.version != self._guards_version:
            self._look_at_guards()
        now, early = clock.now(), clock.earliest()
        if clock.n_jumps != self._n_jumps:
            self._look_at_clock(now)
        blocked = self._blocked[i]
        if blocked is not None:
            return Settle(SKIPPED, blocked)
        if self._moot_at is not None and (moot_at := self._moot_at[i]) is not None:
            # On a simulated clock what happens later has not happened yet.
            if moot_at <= now:
                return Settle(SKIPPED, CANCELLED_BY_EVENT)
            if moot_at == NEVER and not work.guards.knows_events():
                return Settle(DEFERRED, EVENTS_UNREADABLE)
        if self._goes_first and (goes_first := self._goes_first[i]) is not None:
            # A stop comes first, and a window that is over last: `expired` would hide what it waited for.
            canaries = work.canaries
            assert canaries is not None
            if not canaries.is_fresh():
                return Wait(canaries.refresh)
            held = canaries.withheld(self._column["campaign_id"][i], goes_first=goes_first)
            if held is not None:
                return Settle(*held)
        opens, closes, reason = self._spans[i]
        if early < closes <= now and early < now:
            # Over by one clock and not by the other: judged in a later run, when there is one time again.
            return Settle(DEFERRED, CLOCK_JUMPED)
        if now >= closes:
            if reason == QUIET and now < self._column["not_after"][i]:
                # Quiet hours were to begin here, or the look ahead ended: what comes next is not known yet.
                self._look_at_clock(now)
                opens, closes, reason = self._spans[i]
            if now >= closes:
                return Settle(SKIPPED, EXPIRED if now >= self._column["not_after"][i] else reason)
        if early < opens:
            if not clock.simulated and work.lease_now() + (opens - early) >= self._deadline:
                # The batch ends before the row may leave; a follow-up part will have it.
                return Settle(DEFERRED, "not_before")
            # Real time is waited for in seconds, so that a drain is noticed; simulated time in one step.
            return Wait(partial(clock.sleep, min((opens - early) / 1e6, 1e9 if clock.simulated else 1.0)))
        gate = self.closed_gate(i, clock.steady())
        return None if gate is None else Park(gate)

    async def _read_guards(self) -> None:
        if not await self._work.guards.refresh():
            await asyncio.sleep(GUARD_PAUSE_S)  # real time: the log is outside the plan

    def _look_at_guards(self) -> None:
        column = self._column
        self._guards_version = self._work.guards.version
        # Who refuses a topic still gets what they wait for, a receipt or a code.
        topics = [
            "" if guarantee == AT_LEAST_ONCE else topic
            for topic, guarantee in zip(column["topic"], column["guarantee"], strict=True)
        ]
        self._blocked = self._work.guards.blocked(
            column["campaign_id"], column["user_id"], self._sender.channel, column["address"], topics
        )
        self._look_at_quiet_hours()
        cancel_on = self._work.cancel_on
        if cancel_on:
            happened = self._work.guards.happened
            self._moot_at = [
                None
                if (event := cancel_on.get(campaign)) is None
                else NEVER
                if (at := happened.at(user, event)) is None
                else at
                for campaign, user in zip(column["campaign_id"], column["user_id"], strict=True)
            ]

    def _look_at_quiet_hours(self) -> None:
        """Join the rows' quiet hours with those that their people chose since the plan."""
        column = self._column
        new = self._work.guards.quiet_of(column["user_id"])
        if not new:
            return
        starts, ends = list(column["quiet_start"]), list(column["quiet_end"])
        for i, span in new.items():
            planned = None if starts[i] is None else (starts[i], ends[i])
            starts[i], ends[i] = joined(planned, span) or (None, None)
        self._hours = {**column, "quiet_start": starts, "quiet_end": ends}
        self._n_jumps = -1  # spans are made anew

    def _look_at_clock(self, now: Micros) -> None:
        self._n_jumps = self._work.clock.n_jumps
        self._spans = spans(self._hours, now, self._work.clock.earliest())
