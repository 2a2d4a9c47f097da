"""The dispatcher: due messages become batches, and batches go through the delivery worker.

Grain: batch. Reads and writes the intake database; what is sent is sent by `delivery.worker.run.Delivery`.
Several dispatchers may run at once, on one database and one lake. Surprise: one lane takes high messages
only, so that they never wait behind a slow batch; a batch that cannot end now (a limit, a channel that is
shut) is given back and comes again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from angelia.contracts.ids import INTAKE_OCCURRENCE, message_id
from angelia.contracts.sending import Micros
from angelia.delivery.channels import open_provider
from angelia.delivery.clock import Clock, WallClock, lease_now
from angelia.delivery.ledger.ledger import Ledger, Owner
from angelia.delivery.manifest import parts
from angelia.delivery.manifest.batches import sealed_batch
from angelia.delivery.worker.options import Options
from angelia.delivery.worker.run import Delivery, Shared
from angelia.delivery.worker.senders import OpenTransport, Senders
from angelia.errors import AngeliaError, Corrupt
from angelia.intake.codes import Codes
from angelia.intake.dispatching.batches import Batches, IntakeBatch, Lost
from angelia.intake.dispatching.caps import DAY_US, NightlySends, cap, days_counted, limit_codes, send_of
from angelia.intake.dispatching.deciding import Verdicts, decide, occurrence_of
from angelia.intake.dispatching.device_day import DeviceDay
from angelia.intake.dispatching.due import EVERY
from angelia.intake.dispatching.handing import hand_over
from angelia.intake.dispatching.people import BatchSources, NightPeople
from angelia.intake.dispatching.steps import OutcomeStep, counted
from angelia.intake.dispatching.terms import DispatchTerms, Report
from angelia.intake.dispatching.tracking import Receipts, progress_of
from angelia.intake.dispatching.whose import find_people
from angelia.intake.message import is_by_address
from angelia.intake.store import Row
from angelia.lake import Commit, Lake
from angelia.lake.failpoint import failpoint
from angelia.users.suppressions import Guards

log = logging.getLogger(__name__)
HIGH = (0,)
SOURCES_S = 10.0  # so old may be what a dispatcher knows of the newest night and catalog
RECEIPTS_S = 5.0
REOPEN_S = 60.0  # after so long a channel that halted is tried again
PACED_S = 5.0  # so long a run waits for a campaign's speed limit; then the batch rests
_POLL_S, _GATHER_S, _TROUBLE_S = 0.05, 0.5, 2.0


@dataclass(frozen=True)
class _Standing:
    """What batches are made from and sent with, until the sources change."""

    sources: BatchSources
    people: NightPeople
    shared: Shared
    since_s: float = field(default_factory=time.monotonic)

    def is_young(self) -> bool:
        """Say whether its channels were opened a moment ago."""
        return time.monotonic() - self.since_s < REOPEN_S


class Dispatcher:
    """One dispatcher process."""

    def __init__(
        self,
        lake: Lake,
        batches: Batches,
        terms: DispatchTerms,
        codes: Codes,
        *,
        clock: Clock | None = None,
        transport: OpenTransport | None = None,
        owner: Owner | None = None,
    ) -> None:
        parts.require_main(lake)
        self.report = Report()
        self.draining = asyncio.Event()
        self._lake, self._batches, self._terms, self._codes = lake, batches, terms, codes
        self._clock: Clock = clock or WallClock()
        self._transport, self._owner = transport, owner or Owner.this_process()
        self._ledger = Ledger(lake.store, self._owner, lease_now)
        self._nightly = NightlySends(lake)
        self._receipts = Receipts(lake, batches.find)
        self._held: dict[str, IntakeBatch] = {}
        self._standing: _Standing | None = None
        self._looked_at = 0.0
        self._changing = asyncio.Lock()
        self._beside = set[asyncio.Task[None]]()  # a task that nobody holds may be collected before its end

    async def run(self) -> Report:
        """Dispatch until asked to drain, or, if it is for once, until nothing is due.

        Raises:
            NotFound: no night has people, addresses and a catalog.
            Unavailable: the database does not answer, and this is for once.
        """
        began = time.monotonic()
        others = [self._keep_leases(), *([] if self._terms.once else [self._follow_receipts()])]
        self._beside |= set(map(asyncio.create_task, others))
        try:
            await self._stand()
            async with asyncio.TaskGroup() as lanes:
                lanes.create_task(self._lane(HIGH))
                for _ in range(self._terms.lanes):
                    lanes.create_task(self._lane(EVERY))
            await self._note_receipts()
        except BaseExceptionGroup as problems:
            raise _innermost(problems) from None
        finally:
            for task in self._beside:
                task.cancel()
            if self._standing is not None:
                self.report.halted = self._standing.shared.senders.halted()
                await self._standing.shared.senders.close()
            self.report.seconds = time.monotonic() - began
        return self.report

    async def _lane(self, priorities: Sequence[int]) -> None:
        """Take batch after batch; the lanes of all priorities take over what others left, too."""
        while not self.draining.is_set():
            try:
                batch, is_full = await asyncio.to_thread(self._take, priorities)
            except AngeliaError as error:
                if self._terms.once:
                    raise
                self.report.trouble(error)
                await self._pause(_TROUBLE_S)
                continue
            if batch is not None:
                await self._guarded(batch)
            # Behind a batch of expired messages alone others may be due.
            if is_full or (batch is not None and self._terms.once):
                continue
            if self._terms.once:
                return
            # Others' messages gather meanwhile: a batch a moment would cost more than it carries.
            await self._pause(_POLL_S if priorities == HIGH else _GATHER_S)

    def _take(self, priorities: Sequence[int]) -> tuple[IntakeBatch | None, bool]:
        now = self._clock.now()
        if priorities == EVERY and (batch := self._batches.take_over(now)) is not None:
            self._held[batch.id] = batch
            return batch, True
        ds, hour = self._place(now)
        batch, n_expired = self._batches.claim(now, self._terms.batch_rows, ds, hour, priorities)
        if n_expired:
            self.report.steps["expired: expired"] += n_expired
        if batch is None:
            return None, n_expired >= self._terms.batch_rows
        self._held[batch.id] = batch
        failpoint("batch.claimed")
        return batch, n_expired + len(batch.members) >= self._terms.batch_rows

    def _place(self, now: Micros) -> tuple[str, str]:
        """Return the plan day whose hours are now, and the hour."""
        moment = datetime.fromtimestamp(now / 1e6, UTC)
        ds = (moment - timedelta(hours=self._terms.lead_hours)).date().isoformat()
        return ds, moment.strftime("%Y-%m-%dT%H")

    async def _guarded(self, batch: IntakeBatch) -> None:
        """Work on a batch; whatever goes wrong with it is told, and it comes again."""
        rest_s = min(60.0, 2.0 * (1 + batch.tries))
        try:
            is_over = await self._work(batch)
        except Lost:
            is_over = True  # its new holder counts it
        except (AngeliaError, OSError) as error:
            trouble = error if isinstance(error, AngeliaError) else AngeliaError(f"{type(error).__name__}")
            self.report.trouble(trouble)
            is_over = False
        finally:
            self._held.pop(batch.id, None)
        self.report.batches += 1
        if not is_over:
            self.report.unfinished += 1
            until = self._clock.now() + (0 if self.draining.is_set() else int(rest_s * 1e6))
            with contextlib.suppress(AngeliaError):
                await asyncio.to_thread(self._batches.rest, batch, until)

    async def _work(self, batch: IntakeBatch) -> bool:
        """Decide, hand over, send, and note; return whether nothing of the batch is left to do."""
        standing = await self._stand()
        commit = await asyncio.to_thread(self._sealed, batch, standing)
        if commit is None:
            return True
        failpoint("batch.sealed")
        options = Options(
            batch.ds,
            slots=self._terms.slots,
            endpoint_url=self._terms.endpoint_url,
            request_timeout_s=self._terms.request_timeout_s,
            paced_s=PACED_S,
        )
        delivery = Delivery(
            self._lake,
            options,
            clock=self._clock,
            owner=self._owner,
            batches=[commit],
            shared=standing.shared,
        )
        result = await delivery.run()
        for error in result.damaged:
            self.report.trouble(error)
        failpoint("batch.delivered")
        return await asyncio.to_thread(self._note, batch, commit)

    # ---- a batch, in a thread

    def _sealed(self, batch: IntakeBatch, standing: _Standing) -> Commit | None:
        """Return the batch's sealed commit, decided now if need be; None if nothing is sent."""
        commit = sealed_batch(self._lake, batch.ds, batch.send_hour, batch.id)
        if not batch.is_sealed:
            rows, now = self._batches.rows(batch), self._clock.now()
            verdicts: Verdicts | None = None
            if commit is None:
                verdicts = self._decided(batch, standing, rows, now)
                if verdicts.chosen:
                    commit = hand_over(self._lake, standing.sources, batch, verdicts)
            if commit is not None and commit.params.get("holder") != batch.holder:
                verdicts = None  # another dispatcher sealed it, and did not come to say what it decided
            self._write_down(batch, rows, commit, verdicts, now)
        if commit is None:
            self._batches.note(batch, [], [], is_over=True)
        return commit

    def _write_down(
        self,
        batch: IntakeBatch,
        rows: Sequence[Row],
        commit: Commit | None,
        verdicts: Verdicts | None,
        now: Micros,
    ) -> None:
        """Note what is queued, refused or comes back later; the last two use no room."""
        channels = self._channels(commit)
        sealed = self._clock.now()  # the worker has it from here on, not since it was decided
        noted = [
            OutcomeStep(row["client"], row["id"], "queued", sealed, "queued", channel=channels[row["id"]])
            for row in rows
            if row["id"] in channels
        ]
        if verdicts is None:
            left_out = [row for row in rows if row["id"] not in channels]
            postponed = [(row, now, "taken_over") for row in left_out]
        else:
            noted += [
                OutcomeStep(row["client"], row["id"], "refused", now, "refused", reason)
                for row, reason in verdicts.refused
            ]
            left_out = [row for row, _ in verdicts.refused] + [row for row, _, _ in verdicts.postponed]
            postponed = verdicts.postponed
        free = [message_id(row["campaign_id"], row["user_id"], occurrence_of(row["id"])) for row in left_out]
        waiting = {row["id"] for row, _, _ in postponed}
        over = [(row["client"], row["id"]) for row in rows if is_by_address(row) and row["id"] not in waiting]
        self._batches.seal(batch, noted, postponed, free, now, over)
        self.report.steps.update(counted(noted))
        self.report.steps.update(Counter(f"postponed: {reason}" for _, _, reason in postponed))

    def _channels(self, commit: Commit | None) -> dict[str, str]:
        """Return the channel of each message that stands in a batch's commit."""
        if commit is None:
            return {}
        table = self._lake.read(commit, ["occurrence", "channel"])
        messages = (
            occurrence.removeprefix(INTAKE_OCCURRENCE) for occurrence in table["occurrence"].to_pylist()
        )
        return dict(zip(messages, table["channel"].to_pylist(), strict=True))

    def _decided(self, batch: IntakeBatch, standing: _Standing, rows: Sequence[Row], now: Micros) -> Verdicts:
        """Return the verdicts on a batch; room is reserved before caps are asked."""
        people = standing.people
        mine = find_people(self._lake, self._batches, batch, people, rows)
        persons = people.of([row["user_id"] for row in mine.rows])
        chances, addresses = people.choices.of(mine.rows, persons), people.addresses(persons)
        day = DeviceDay.of(people.catalog, persons, self._nightly, self._batches.sent_to, batch, now)
        verdicts = decide(people.contents, persons | mine.strangers, addresses, mine.rows, now, chances, day)
        limit_codes(self._codes, verdicts, now)
        self._batches.reserve(batch, [send_of(chosen, now) for chosen in verdicts.chosen])
        failpoint("batch.reserved")
        marketing = {
            chosen.row["user_id"]: persons[chosen.row["user_id"]]
            for chosen in verdicts.chosen
            if chosen.is_marketing
        }
        if marketing:
            since = now - days_counted(people.catalog) * DAY_US
            nightly = self._nightly.of(marketing, since, now)
            own = self._batches.sent_to(sorted(marketing), since)
            verdicts = cap(people.catalog, verdicts, nightly, own, now)
        return verdicts

    def _note(self, batch: IntakeBatch, commit: Commit) -> bool:
        clients = {message: client for client, message in batch.members}
        state = progress_of(self._lake, self._ledger, commit, clients, self._clock.now())
        self._batches.note(batch, state.steps, state.unsent, is_over=state.is_over)
        self.report.steps.update(counted(state.steps))
        return state.is_over

    # ---- beside the lanes

    async def _stand(self) -> _Standing:
        """Return what batches are made from; newer sources are looked for now and then."""
        async with self._changing:
            old = self._standing
            if old is not None and time.monotonic() - self._looked_at < SOURCES_S:
                return old
            sources = await asyncio.to_thread(BatchSources.newest, self._lake)
            self._looked_at = time.monotonic()
            # A halted channel is opened anew now and then: its credentials may be right by now.
            is_well = old is not None and (not old.shared.senders.halted() or old.is_young())
            if old is not None and sources == old.sources and is_well:
                return old
            people = await asyncio.to_thread(NightPeople, self._lake, sources)
            options = Options(
                sources.night,
                slots=self._terms.slots,
                endpoint_url=self._terms.endpoint_url,
                request_timeout_s=self._terms.request_timeout_s,
                metrics_folder=self._terms.metrics_folder,
                pace_folder=self._terms.pace_folder,
            )
            shared = Shared(
                Senders(self._lake, options, self._clock, open_provider, self._transport),
                Guards(self._lake, sources.night, lease_now),
                self.draining,
                self._codes.reveal,
            )
            self._standing = _Standing(sources, people, shared)
            if old is not None:
                # Batches under way still send through the old connections.
                self._beside.add(asyncio.create_task(_close_later(old.shared.senders)))
            return self._standing

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self._terms.lease_s / 3)
            with contextlib.suppress(AngeliaError):
                await asyncio.to_thread(self._batches.renew, list(self._held.values()), self._clock.now())

    async def _follow_receipts(self) -> None:
        while True:
            await asyncio.sleep(RECEIPTS_S)
            await self._note_receipts()

    async def _note_receipts(self) -> None:
        def note() -> None:
            noted = list(self._receipts.fresh(self._clock.now()))
            if noted:
                self._batches.note_receipts(noted)
                self.report.steps.update(step.step for step in noted)

        try:
            await asyncio.to_thread(note)
        except (AngeliaError, OSError) as error:
            self.report.trouble(error if isinstance(error, AngeliaError) else Corrupt(type(error).__name__))

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.draining.wait()


async def _close_later(senders: Senders, batch_deadline_s: float = 90.0) -> None:
    try:
        await asyncio.sleep(batch_deadline_s)
    finally:  # at once, if the dispatcher ends before
        await senders.close()


def _innermost(problems: BaseExceptionGroup[BaseException]) -> BaseException:
    inner: BaseException = problems
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    return inner
