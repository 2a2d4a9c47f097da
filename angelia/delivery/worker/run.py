"""Deliver a plan: hours in order, channels side by side, parts by priority.

`angelia deliver` is a run of this. Reads manifests, the night's catalog snapshot (channels, templates),
stops, suppressions; writes ledger objects, `delivery_ledger`, `push_receipts`. `choosing.py` says which
parts, `senders.py` opens the channels, `settling.py` commits what a part leaves behind.

Surprise: a channel whose configuration is wrong halts alone; parts held by another worker are left to it; a
damaged object of the ledger stops the parts that need it, and no other.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache, partial

from angelia.contracts.sending import Micros
from angelia.delivery.canary.gate import CanaryGate
from angelia.delivery.channels import open_provider
from angelia.delivery.clock import Clock, SimulatedClock, WallClock, lease_now
from angelia.delivery.ledger.first_sight import FirstSeen
from angelia.delivery.ledger.ledger import Claim, Ledger, Owner
from angelia.delivery.manifest import parts
from angelia.delivery.manifest.parts import Part
from angelia.delivery.sending import events
from angelia.delivery.sending.context import DeliveryContext
from angelia.delivery.worker import fallover
from angelia.delivery.worker.choosing import PartChoice, PlannedHour
from angelia.delivery.worker.device_counts import DeviceCounts
from angelia.delivery.worker.options import Options, RunResult
from angelia.delivery.worker.part import PartRun
from angelia.delivery.worker.plan_snapshot import PlanSnapshot
from angelia.delivery.worker.senders import OpenTransport, Senders
from angelia.delivery.worker.settling import Settling
from angelia.delivery.worker.signals import drains_on_signal
from angelia.delivery.worker.takeover import await_lease
from angelia.errors import Corrupt
from angelia.lake import Commit, Lake
from angelia.output import progress
from angelia.users.suppressions import Guards

FOLLOW_UP_ROUNDS = 5
REPORT_S = 2.0


@dataclass(frozen=True)
class Shared:
    """What the runs of one process have in common; its maker closes the senders."""

    senders: Senders
    guards: Guards
    draining: asyncio.Event
    reveal: Callable[[str, str], str] | None = None  # see DeliveryContext


class Delivery:
    """One run of `angelia deliver`, or over batches of the intake."""

    def __init__(
        self,
        lake: Lake,
        options: Options,
        *,
        clock: Clock | None = None,
        transport: OpenTransport | None = None,
        owner: Owner | None = None,
        batches: Sequence[Commit] | None = None,
        shared: Shared | None = None,
    ) -> None:
        parts.require_main(lake)
        self.options, self.result = options, RunResult()
        self.clock: Clock = clock or (SimulatedClock(0) if options.simulated else WallClock())
        self.ledger = Ledger(lake.store, owner or Owner.this_process(), lease_now)
        self._lake, self._shared = lake, shared
        if shared is None:
            shared = Shared(
                Senders(lake, options, self.clock, open_provider, transport),
                Guards(lake, options.ds, lease_now),
                asyncio.Event(),
            )
        self.senders, self._guards, self._draining = shared.senders, shared.guards, shared.draining
        self._canaries = CanaryGate(lake, options.ds, self.clock.now, lease_now)
        self._first_seen = FirstSeen(lake, self.ledger, self.clock.now)
        self._choice = PartChoice(lake, options, self.clock, self.ledger, self.senders, self.result, batches)
        self._settling = Settling(lake, self.clock, self.ledger, self._choice, self.senders, self.result)
        self._device_counts = DeviceCounts(lake)
        self._paced_until: Micros = 0

    async def run(self) -> RunResult:
        """Deliver; every row this process intended has its outcome when this returns.

        Raises:
            Corrupt: something damaged kept all that was left from being sent; else it is in the result.
        """
        began, result = time.monotonic(), self.result
        self._paced_until = lease_now() + int(self.options.paced_s * 1e6)
        own = drains_on_signal(self._draining) if self._shared is None else nullcontext()
        try:
            with own:
                await self._deliver()
        finally:
            if self._shared is None:
                await self.senders.close()
            self.senders.write_metrics()
        result.drained = self._draining.is_set()
        result.halted = self.senders.halted()
        result.seconds = time.monotonic() - began
        if result.damaged and not (result.parts or result.delivered):
            raise result.damaged[0]
        return result

    async def _deliver(self) -> None:
        try:
            plan = await asyncio.to_thread(self._choice.plan)
            async with asyncio.TaskGroup() as group:
                reporter = group.create_task(self._report(plan))
                await self._send(plan)
                reporter.cancel()
        except BaseExceptionGroup as problems:
            raise _innermost(problems) from None

    async def _send(self, plan: list[PlannedHour]) -> None:
        if isinstance(self.clock, SimulatedClock):
            # There is one clock for all: no channel may run ahead of the others.
            await self._hours(plan, None)
            return
        async with asyncio.TaskGroup() as sending:
            for channel in dict.fromkeys(part.channel for planned in plan for part in planned.parts):
                sending.create_task(self._hours(plan, channel))

    async def _hours(self, plan: list[PlannedHour], channel: str | None) -> None:
        """Work through the hours of one channel, or of all channels hour by hour (None).

        A channel that stalls keeps no other from its next hour. Parts of campaigns with a speed limit wait
        beside the next hours; on the simulated clock, which passes for all at once, before them.
        """
        async with asyncio.TaskGroup() as slow:
            for hour, commit, wanted in plan:
                if self._draining.is_set():
                    break
                if isinstance(self.clock, SimulatedClock):
                    self.clock.advance_to(parts.hour_start(hour))
                mine = [part for part in wanted if channel in (None, part.channel)]
                unpaced = [part for part in mine if part.kind not in parts.WAITING]
                await self._hour(hour, commit, unpaced, channel, is_paced=False)
                # What is paced is looked up afterwards: the hour's own parts have just made follow-ups.
                paced = self._hour(hour, commit, [], channel, is_paced=True)
                if self.clock.simulated:
                    await paced
                else:
                    slow.create_task(paced)

    async def _hour(
        self, hour: str, commit: Commit, chosen: list[Part], only: str | None, *, is_paced: bool
    ) -> None:
        """Deliver an hour's parts and what follows them up, in rounds until nothing new comes up.

        Parts go one after the other within a channel, and within a campaign's speed limit.
        """
        tried: set[str] = set()
        for _ in range(FOLLOW_UP_ROUNDS):
            todo = [part for part in chosen if part.id not in tried]
            tried.update(part.id for part in todo)
            async with asyncio.TaskGroup() as group:
                for lane in _lanes(todo):
                    group.create_task(self._lane(lane, commit))
            if self._draining.is_set():
                break
            try:
                every = await asyncio.to_thread(self._choice.of, commit, hour)
            except Corrupt as error:
                self.result.damage(error)
                break
            chosen = [
                part
                for part in fallover.without_surprise(every, tried)
                if only in (None, part.channel) and (part.kind in parts.WAITING) is is_paced
            ]
            if all(part.id in tried for part in chosen):
                break

    async def _lane(self, todo: list[Part], commit: Commit) -> None:
        """Deliver parts one after the other, held ones last; a damaged one stops no other."""
        held = [part for part in todo if not await self._turn(part, commit)]
        for part in held:
            waits = self.options.wait_for_lease and not self.senders.is_halted(part.channel)
            try:
                is_free = waits and await await_lease(self.ledger, part, lease_now, self._draining)
            except Corrupt as error:
                self.result.damage(error)
                continue
            if not is_free and waits and self._draining.is_set():
                self.result.end("unfinished")  # it was not waited for to the end
            elif not is_free or not await self._turn(part, commit):
                self.result.end("busy")

    async def _turn(self, part: Part, commit: Commit) -> bool:
        """Deliver a part, or count why not; False: another worker has it (not counted yet)."""
        senders = self.senders
        if senders.is_closed(part.channel):
            await senders.follow(part.channel, commit)  # it may have been switched on again
        is_shut = senders.is_halted(part.channel) or part.channel in senders.shut
        # What a channel that is off or spent has left is touched only where another one may take it.
        is_stuck = senders.is_closed(part.channel) and not await asyncio.to_thread(
            self._may_move, part, commit
        )
        if self._draining.is_set() or is_shut or is_stuck:
            self.result.end("unfinished")
            return True
        try:
            return await self._part(part, commit)
        except Corrupt as error:
            self.result.damage(error)
            return True

    def _may_move(self, part: Part, commit: Commit) -> bool:
        is_open = partial(self.senders.is_open, commit=commit)
        return fallover.may_move(self._lake, part, self.senders.snapshot(commit), is_open)

    async def _part(self, part: Part, commit: Commit) -> bool:
        """Claim a part and deliver it, unless it is done; False: another worker has it."""
        if part.damaged:
            raise part.damaged
        await self._settling.begin(part)
        if await asyncio.to_thread(self.ledger.is_done, part.id):
            return True
        claim = await asyncio.to_thread(self.ledger.claim, part, takeover=self.options.takeover)
        if claim is None:
            # Another worker may have finished it since the look above.
            return await asyncio.to_thread(self.ledger.is_done, part.id)
        await asyncio.to_thread(events.part_began, part, claim)
        began, how = time.monotonic(), "failed"
        try:
            how = await self._claimed(part, commit, claim)
        finally:
            events.part_ended(part, claim, how, self._settling.counts(part), time.monotonic() - began)
        return True

    async def _claimed(self, part: Part, commit: Commit, claim: Claim) -> str:
        """Deliver a part that is ours; return how that ended."""
        options, snapshot = self.options, self.senders.snapshot(commit)
        # A message asked for by REST is younger than what the event would be counted from.
        cancel_on = snapshot.cancel_on if commit.dataset != parts.INTAKE else {}
        self._guards.watch(frozenset(cancel_on.values()))
        canaries = self._canaries if snapshot.canaries and commit.dataset != parts.INTAKE else None
        if canaries is not None:
            canaries.watch(snapshot.canaries)
        work = DeliveryContext(
            ledger=self.ledger, guards=self._guards, render=snapshot.render, clock=self.clock,
            lease_now=lease_now, batch_rows=options.batch_rows,
            batch_deadline_s=options.batch_deadline_s, request_timeout_s=options.request_timeout_s,
            draining=self._draining, paces=snapshot.paces, cancel_on=cancel_on,
            canaries=canaries, before_batch=partial(self.senders.follow, part.channel, commit),
            reveal=self._shared.reveal if self._shared else None,
            moves_on=cache(partial(self._may_move, part, commit)),
            classes=snapshot.classes, over_quota=partial(self._over_quota, snapshot),
        )  # fmt: skip
        # On the wall clock a waiting part would hold the run up for hours: the next run goes on with it.
        is_limited = part.kind in parts.WAITING and not self.clock.simulated
        run = PartRun(
            work,
            self.senders.of(part.channel, commit),
            part,
            claim,
            self._lake,
            self._first_seen,
            self._choice.families.of(part),
            stop_at=self._paced_until if is_limited else None,
        )
        is_done = await run.run()
        how = await self._settling.end(part, commit, run, is_done=is_done)
        if not run.fenced:
            await asyncio.to_thread(self.ledger.release, claim)
        return how

    def _over_quota(self, snapshot: PlanSnapshot, part: Part) -> set[int]:
        most = snapshot.channels.get(part.channel, {}).get("max_per_device_day") or {}
        return self._device_counts.over(part, most, snapshot.classes, self.clock.now())

    async def _report(self, plan: list[PlannedHour]) -> None:
        """Print a line every two seconds: rate, outcomes, time to go."""
        total = sum(part.n_rows for planned in plan for part in planned.parts)
        last, began = 0, time.monotonic()
        while True:
            await asyncio.sleep(REPORT_S)
            self.senders.write_metrics()
            senders = self.senders.by_channel
            counts: Counter[str] = sum((sender.counts for sender in senders.values()), Counter())
            n = sum(counts.values())
            rate = (n - last) / REPORT_S
            last = n
            left = max(0, total - self.result.already_delivered - n)
            average = n / (time.monotonic() - began)
            eta = f"{left / average:.0f} s" if average else "?"
            words = ", ".join(f"{name} {number}" for name, number in sorted(counts.items()))
            states = "".join(
                f"; {name}: {'halted' if s.halted else s.closed or 'breaker open'}"
                for name, s in senders.items()
                if s.halted or s.closed or s.breaker.is_open
            )
            progress(f"deliver {n}/{total}  {rate:.0f}/s  {words or 'nothing yet'}  to go {eta}{states}")


def _lanes(todo: Iterable[Part]) -> list[list[Part]]:
    """Return lists of parts that wait for one another: of one channel and one speed limit.

    What waits for a canary has a lane of its own: the canary's messages may be among what is paced.
    """
    lanes: dict[tuple[str, str | None, bool], list[Part]] = {}
    for part in todo:
        lanes.setdefault((part.channel, part.campaign, part.kind == parts.CANARY), []).append(part)
    return list(lanes.values())


def _innermost(problems: BaseExceptionGroup[BaseException]) -> BaseException:
    inner: BaseException = problems
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    return inner
