"""Deliver a plan: hours in order, channels side by side, parts by priority; what `angelia deliver` does.

Reads manifests, the night's catalog snapshot (channels, templates), stops, suppressions; writes ledger
objects, `delivery_ledger`, `push_receipts`. Surprises: the simulated clock refuses the provider's own
address; a channel whose configuration is wrong halts alone; parts held by another worker are left to it; a
damaged object of the ledger stops the parts that need it, and no other.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from angelia.contracts.sending import Micros
from angelia.delivery.channels import open_provider
from angelia.delivery.channels.base import ChannelConfig, Provider
from angelia.delivery.clock import Clock, SimulatedClock, WallClock
from angelia.delivery.ledger import compaction
from angelia.delivery.ledger.first_sight import FirstSeen
from angelia.delivery.ledger.followups import follow_up
from angelia.delivery.ledger.ledger import Claim, Ledger, Owner
from angelia.delivery.manifest import parts
from angelia.delivery.manifest.parts import Part
from angelia.delivery.sending import events
from angelia.delivery.sending.context import DeliveryContext
from angelia.delivery.sending.holds import SpeedLimits
from angelia.delivery.sending.sender import Sender
from angelia.delivery.worker import fallover
from angelia.delivery.worker import worker_metrics as metrics
from angelia.delivery.worker.options import Options, Result
from angelia.delivery.worker.part import PartRun
from angelia.delivery.worker.plan_snapshot import PlanSnapshot, channel_config
from angelia.errors import Corrupt, InvalidInput
from angelia.lake import Commit, Lake
from angelia.lake.failpoint import failpoint
from angelia.output import progress
from angelia.transport.client import Http2Client
from angelia.transport.wire import Transport
from angelia.users.suppressions import Guards

log = logging.getLogger(__name__)
FOLLOW_UP_ROUNDS = 5
PROVIDER_HOSTS = ("googleapis.com", "push.apple.com")  # a rehearsal never talks to these


_LEASE = WallClock()


def lease_now() -> Micros:
    """Return real time in microseconds: what claims and deadlines are read on. A clock set back does not make
    a deadline later.
    """
    return _LEASE.now()


class Delivery:
    """One run of `angelia deliver`."""

    def __init__(
        self,
        lake: Lake,
        options: Options,
        *,
        clock: Clock | None = None,
        transport: Callable[[Provider, ChannelConfig], Transport] | None = None,
        owner: Owner | None = None,
    ) -> None:
        parts.require_main(lake)
        self.lake, self.options = lake, options
        self.clock: Clock = clock or (SimulatedClock(0) if options.simulated else WallClock())
        self.ledger = Ledger(lake.store, owner or Owner.this_process(), lease_now)
        self.result = Result()
        self.draining = asyncio.Event()
        self._transport = transport or self._open_transport
        self._senders: dict[str, Sender] = {}
        self._catalog: dict[int, PlanSnapshot] = {}
        self._paces = SpeedLimits(options.slots, self.clock.steady)
        self._guards = Guards(lake, options.ds, lease_now)
        self._sights = FirstSeen(lake, self.ledger, self.clock.now)
        self._before: dict[str, Counter[str]] = {}
        self._families: dict[str, list[Part]] = {}
        self._choosing = threading.Lock()
        self._shut: dict[str, str] = {}  # channels that only fall-over parts want, and that cannot be opened
        self._concluding: dict[str, asyncio.Lock] = {}
        self._total = 0

    async def run(self) -> Result:
        """Deliver; every row this process intended has its outcome when this returns.

        Raises:
            Corrupt: something damaged kept all that was left from being sent; else it is in the result.
        """
        began = time.monotonic()
        self._paced_until = lease_now() + int(self.options.paced_s * 1e6)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.draining.set)
        try:
            plan = await asyncio.to_thread(self._plan)
            async with asyncio.TaskGroup() as group:
                reporter = group.create_task(self._report())
                if isinstance(self.clock, SimulatedClock):  # one clock: nobody may run ahead of the others
                    await self._hours(plan, None)
                else:
                    channels = dict.fromkeys(part.channel for _, _, chosen in plan for part in chosen)
                    async with asyncio.TaskGroup() as sending:
                        for channel in channels:
                            sending.create_task(self._hours(plan, channel))
                reporter.cancel()
        except BaseExceptionGroup as problems:
            raise _innermost(problems) from None
        finally:
            loop.remove_signal_handler(signal.SIGTERM)
            for sender in self._senders.values():
                await sender.transport.close()
            self._write_metrics()
        result = self.result
        result.drained = self.draining.is_set()
        result.halted = self._shut | {
            name: sender.halted for name, sender in self._senders.items() if sender.halted
        }
        result.seconds = time.monotonic() - began
        if result.damaged and not (result.parts or result.delivered):
            raise result.damaged[0]
        return result

    # ---- what to do

    def _plan(self) -> list[tuple[str, Commit, list[Part]]]:
        options, lake = self.options, self.lake
        if options.hours is None:
            due = [part for part in parts.due_parts(lake, self.clock.now()) if part.ds == options.ds]
            hours: Sequence[str] = sorted({part.send_hour for part in due})
        else:
            hours = options.hours
            known = parts.send_hours(lake, options.ds)
            for hour in hours:
                if hour not in known:
                    raise InvalidInput(
                        f"the plan of {options.ds} has nothing to send in {hour}",
                        fix=f"hours: {known[0]} to {known[-1]}",
                    )
                if not self.clock.simulated and parts.hour_start(hour) > self.clock.now():
                    raise InvalidInput(
                        f"{hour} has not begun; sealing it now would freeze the plan too early",
                        fix="wait, or --clock simulated",
                    )
        sound = []
        for hour in hours:  # whatever the operator has to put right is found before anything is written
            try:
                commit = parts.standing_manifest(lake, options.ds, hour)
                wanted = self._wanted(parts.parts_of(lake, commit, hour))
            except Corrupt as error:
                self._damaged(error)
                continue
            sound.append(hour)
            todo = [part for part in wanted if not self._is_done(part)]
            for channel in sorted({part.channel for part in todo}):
                try:
                    self._sender(channel, commit)
                except InvalidInput as error:
                    if not all(part.is_fallover for part in todo if part.channel == channel):
                        raise
                    self._shut[channel] = (
                        error.one_line()
                    )  # nobody planned this channel: it must not keep the others from going
        plan = []
        for hour in sound:
            commit = parts.seal(lake, options.ds, hour, lake.clock().isoformat(timespec="seconds"))
            chosen = self._choose(commit, hour)
            parts.verify(lake, chosen)
            self._total += sum(part.n_rows for part in chosen)
            plan.append((hour, commit, chosen))
        return plan

    def _damaged(self, error: Corrupt) -> None:
        """Keep what stopped a part, or a whole hour, and say so once the others are sent."""
        self.result.unfinished += 1
        if error.message not in [known.message for known in self.result.damaged]:
            self.result.damaged.append(error)

    def _is_done(self, part: Part) -> bool:
        try:
            return self.ledger.is_done(part.id)
        except Corrupt:
            return True  # nothing is prepared for it; it is named when its turn comes

    def _choose(self, commit: Commit, hour: str) -> list[Part]:
        every = parts.parts_of(self.lake, commit, hour)
        with self._choosing:
            for part in every:
                family = self._families.setdefault(part.entry.identity, [])
                if part.id not in [member.id for member in family]:
                    family.append(part)
                    family.sort(key=lambda member: member.rows is not None)
        return self._wanted(every)

    def _wanted(self, every: Sequence[Part]) -> list[Part]:
        options = self.options
        wanted = [
            p for p in every if options.channel in (None, p.channel) and options.part in (None, p.number)
        ]
        return [
            p
            for p in wanted
            if options.priority in (None, p.priority) and not (p.is_fallover and p.channel in self._shut)
        ]

    async def _hours(self, plan: list[tuple[str, Commit, list[Part]]], channel: str | None) -> None:
        """Work through the hours of one channel (None = of all, hour by hour): a channel that stalls keeps no
        other from its next hour.

        Parts of campaigns with a speed limit wait beside the next hours; on the simulated clock, which passes
        for all at once, before them.
        """
        async with asyncio.TaskGroup() as slow:
            for hour, commit, chosen in plan:
                if self.draining.is_set():
                    break
                if isinstance(self.clock, SimulatedClock):
                    self.clock.advance_to(parts.hour_start(hour))
                mine = [part for part in chosen if channel in (None, part.channel)]
                await self._hour(
                    hour, commit, [part for part in mine if part.kind != parts.PACED], channel, is_paced=False
                )
                paced = self._hour(hour, commit, [], channel, is_paced=True)
                if self.clock.simulated:
                    await paced
                else:
                    slow.create_task(paced)

    async def _hour(
        self, hour: str, commit: Commit, chosen: list[Part], only: str | None, *, is_paced: bool
    ) -> None:
        """Deliver an hour's parts and what follows them up: one after the other within a channel, and within
        a campaign's speed limit.
        """
        tried: set[str] = set()
        for _ in range(FOLLOW_UP_ROUNDS):
            todo = [part for part in chosen if part.id not in tried]
            tried.update(part.id for part in todo)
            lanes: dict[tuple[str, str | None], list[Part]] = {}
            for part in todo:
                lanes.setdefault((part.channel, part.campaign), []).append(part)
            async with asyncio.TaskGroup() as group:
                for lane in lanes.values():
                    group.create_task(self._lane(lane, commit))
            if self.draining.is_set():
                break
            try:
                every = await asyncio.to_thread(self._choose, commit, hour)
            except Corrupt as error:
                self._damaged(error)
                break
            every = fallover.without_surprise(every, tried)
            chosen = [
                part
                for part in every
                if only in (None, part.channel) and (part.kind == parts.PACED) is is_paced
            ]
            if all(part.id in tried for part in chosen):
                break

    async def _lane(self, todo: list[Part], commit: Commit) -> None:
        for part in todo:
            sender = self._senders.get(part.channel)
            if self.draining.is_set() or (sender is not None and sender.halted):
                self.result.unfinished += 1
                continue
            try:
                await self._part(part, commit)
            except Corrupt as error:
                self._damaged(error)

    async def _part(self, part: Part, commit: Commit) -> None:
        if part.damaged:
            raise part.damaged
        root, result = part.entry.identity, self.result
        family = self._families[root]
        if root not in self._before:
            self._before[root] = await asyncio.to_thread(compaction.counts, self.ledger, family)
            result.already_delivered += sum(self._before[root].values())
        if await asyncio.to_thread(self.ledger.is_done, part.id):
            return
        claim = await asyncio.to_thread(self.ledger.claim, part, takeover=self.options.takeover)
        if claim is None:
            result.busy += 1
            return
        await asyncio.to_thread(events.part_began, part, claim)
        began, how = time.monotonic(), "failed"
        try:
            how = await self._claimed(part, commit, claim)
        finally:
            events.part_ended(part, claim, how, self._before[root], time.monotonic() - began)

    async def _claimed(self, part: Part, commit: Commit, claim: Claim) -> str:
        """Deliver a part that is ours; return how that ended."""
        root, options, night = part.entry.identity, self.options, self._documents(commit)
        family = self._families[root]
        work = DeliveryContext(
            ledger=self.ledger, guards=self._guards, render=night.render, clock=self.clock,
            lease_now=lease_now, batch_rows=options.batch_rows,
            batch_deadline_s=options.batch_deadline_s, request_timeout_s=options.request_timeout_s,
            draining=self.draining, paces=night.paces,
        )  # fmt: skip
        run = PartRun(work, self._sender(part.channel, commit), part, claim, self.lake, self._sights, family)
        if part.kind == parts.PACED and not self.clock.simulated:
            run.stop_at = self._paced_until
        done = await run.run()
        how = "done" if done else "taken_over" if run.fenced else "unfinished"
        async with self._concluding.setdefault(
            root, asyncio.Lock()
        ):  # parts of one file may be under way side by side
            if done:
                await asyncio.to_thread(self._conclude, part, commit)
                failpoint("before_done")
            after = await asyncio.to_thread(compaction.counts, self.ledger, family)
            if done:
                summary = {"ds": part.ds, "send_hour": part.send_hour, "leaf": part.leaf, "rows": part.n_rows}
                await asyncio.to_thread(self.ledger.finish, part.id, summary)
                self.result.parts += 1
            elif run.stop_at is not None and lease_now() >= run.stop_at:
                self.result.waiting += 1
                how = "waiting"
            else:
                self.result.unfinished += 1
            self._count(root, after)
            if run.fenced and self.ledger.is_done(
                part.id
            ):  # our late truth joins what the other worker committed
                await asyncio.to_thread(self._compact, part, commit)
        if not run.fenced:
            await asyncio.to_thread(self.ledger.release, claim)
        return how

    def _count(self, root: str, after: Counter[str]) -> None:
        before = self._before[root]
        # A row whose outcome improves (deferred before, accepted now) is not "already delivered".
        self.result.already_delivered -= sum(
            max(0, number - after[outcome]) for outcome, number in before.items()
        )
        for outcome in {*before, *after}:
            self.result.delivered[outcome] += after[outcome] - before[outcome]
            if not self.result.delivered[outcome]:
                del self.result.delivered[outcome]
        self._before[root] = after

    def _conclude(self, part: Part, commit: Commit) -> None:
        """Name in follow-up parts what is to be sent again, commit ledger and receipts, and what falls over
        to another channel.
        """
        follow_up(self.lake, self.ledger, part, self.clock.earliest(), self._documents(commit).paces)
        self._compact(part, commit)
        night, family = self._documents(commit), self._families[part.entry.identity]
        rows = fallover.fall_over(self.lake, self.ledger, part, family, night, commit, self.clock.earliest())
        if rows:
            events.fell_over(part, rows)

    def _compact(self, part: Part, commit: Commit) -> None:
        def family() -> Sequence[Part]:
            self._choose(commit, part.send_hour)
            for member in self._families[part.entry.identity]:
                if member.damaged:  # since this run began
                    raise member.damaged
            return self._families[part.entry.identity]

        compaction.compact(self.lake, self.ledger, family, commit)

    # ---- what is needed for it

    def _documents(self, commit: Commit) -> PlanSnapshot:
        if commit.number not in self._catalog:
            self._catalog[commit.number] = PlanSnapshot.read(self.lake, commit, self._paces)
        return self._catalog[commit.number]

    def _sender(self, channel: str, commit: Commit) -> Sender:
        if channel not in self._senders:
            document = self._documents(commit).channels.get(channel)
            if document is None:
                raise InvalidInput(
                    f"the catalog snapshot of {self.options.ds} declares no channel {channel}",
                    fix="add it to the catalog",
                )
            config = channel_config(channel, document, self.options.endpoint_url)
            provider = open_provider(config)
            if self.clock.simulated:
                host = urlsplit(provider.base_url).hostname or ""
                if not provider.may_rehearse or any(
                    host == name or host.endswith(f".{name}") for name in PROVIDER_HOSTS
                ):
                    raise InvalidInput(
                        "a simulated clock must not send to a real provider",
                        fix=f"set ANGELIA_{channel.upper()}_URL to a sandbox",
                    )
            per_minute = config.quota_per_minute / self.options.slots
            transport = self._transport(provider, config)
            self._senders[channel] = Sender(
                channel, provider, transport, self.clock, per_minute=per_minute, seed=self.options.seed
            )
        return self._senders[channel]

    def _open_transport(self, provider: Provider, config: ChannelConfig) -> Transport:
        if provider.open_transport is not None:
            return provider.open_transport(config, self.options.request_timeout_s)
        return Http2Client(
            provider.base_url,
            connections=provider.connections,
            timeout_s=self.options.request_timeout_s,
            ca_file=config.ca_file,
        )

    def _write_metrics(self) -> None:
        if self.options.metrics_file is not None:
            try:
                metrics.write(self.options.metrics_file, self._senders, self.options.ds)
            except OSError as error:  # sending matters more than being watched
                log.warning("metrics file: %s", error.strerror)

    async def _report(self) -> None:
        """Print a line every two seconds: rate, outcomes, time to go."""
        last, began = 0, time.monotonic()
        while True:
            await asyncio.sleep(2.0)
            self._write_metrics()
            counts: Counter[str] = sum((sender.counts for sender in self._senders.values()), Counter())
            n = sum(counts.values())
            rate = (n - last) / 2.0
            last = n
            left = max(0, self._total - self.result.already_delivered - n)
            average = n / (time.monotonic() - began)
            eta = f"{left / average:.0f} s" if average else "?"
            words = ", ".join(f"{name} {number}" for name, number in sorted(counts.items()))
            states = "".join(
                f"; {name}: {'halted' if s.halted else 'breaker open'}"
                for name, s in self._senders.items()
                if s.halted or s.breaker.is_open
            )
            progress(
                f"deliver {n}/{self._total}  {rate:.0f}/s  {words or 'nothing yet'}  to go {eta}{states}"
            )


def _innermost(problems: BaseExceptionGroup[BaseException]) -> BaseException:
    inner: BaseException = problems
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    return inner
