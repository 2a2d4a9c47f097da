"""Deliver one part in fixed batches: an intent before each, its outcomes after.

What a lost worker left open is taken over. Grain: batch of a part. Reads a verified manifest file, writes the
ledger. Memory: the open batches (4 x 2,000 rows) and one range of the file. Surprise: a worker that finds its
part taken over stops at the next batch, and its true outcomes are appended as late ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Mapping, Sequence

import pyarrow as pa

from angelia.contracts.sending import Micros
from angelia.delivery.canary.gate import EVIDENCE_AGE_US
from angelia.delivery.ledger.first_sight import Earlier, FirstSeen, SentBefore
from angelia.delivery.ledger.ledger import PAYLOAD_BYTES, Claim, Intent
from angelia.delivery.manifest.objects import damaged
from angelia.delivery.manifest.parts import CANARY, PACED, Part
from angelia.delivery.manifest.rows import PartRows, repeated_dispatches
from angelia.delivery.sending import events
from angelia.delivery.sending.batch import Batch
from angelia.delivery.sending.columns import COLUMNS, payload_hashes, plain_columns
from angelia.delivery.sending.context import DeliveryContext
from angelia.delivery.sending.sender import Sender
from angelia.errors import AngeliaError
from angelia.lake import Lake
from angelia.lake.failpoint import failpoint

log = logging.getLogger(__name__)
HEARTBEAT_S = 15.0
CANARY_LOOK_S = 10.0  # a person's word is seen after so long
DUPLICATE = "duplicate_dispatch"


class PartRun:
    """One claimed part on its way to being done."""

    def __init__(
        self,
        work: DeliveryContext,
        sender: Sender,
        part: Part,
        claim: Claim,
        lake: Lake,
        sights: FirstSeen,
        family: Sequence[Part],
        stop_at: Micros | None = None,
    ) -> None:
        """Take a claimed part; `stop_at`: begin no batch after this instant of lease time."""
        self.work, self.sender, self.part, self.claim, self.lake = work, sender, part, claim, lake
        self.sights, self.family, self._stop_at = sights, family, stop_at
        self.fenced = False
        self.is_waiting = False  # for its campaign's canary: the next run goes on with it
        self.problem: AngeliaError | None = None
        self.rows: Sequence[int] = range(part.entry.rows) if part.rows is None else part.rows
        self._duplicates: set[int] = set()
        self._full: Collection[int] = ()  # rows whose device takes no more today
        self._earlier: dict[int, Earlier] = {}  # rows that another manifest had first
        self._before: SentBefore | None = None

    async def run(self) -> bool:
        """Work through the batches; True = every batch has its outcomes.

        Raises:
            Corrupt: an object of the ledger or the manifest file is damaged.
        """
        ledger = self.work.ledger
        intents = await asyncio.to_thread(ledger.intents, self.part.id)
        size = self._batch_size(intents)
        n_batches = -(-len(self.rows) // size)
        if self.part.rows is None:
            self._duplicates = await asyncio.to_thread(repeated_dispatches, self.lake, self.part.entry)
            self._earlier = await asyncio.to_thread(self.sights.first, self.part)
        else:
            # A follow-up's rows are some of its file's: what they were sent with is known from there.
            self._before = await asyncio.to_thread(SentBefore, ledger, self.family)
        self._full = await asyncio.to_thread(self.work.over_quota, self.part)
        concluded = await asyncio.to_thread(ledger.batches_with_outcomes, self.part.id)
        try:
            await self._feed([k for k in range(n_batches) if k not in concluded], size, intents)
        except* AngeliaError as problems:
            self.problem = _first(problems)
        if self.problem is not None:
            raise self.problem
        # Asked again: another worker may have concluded some.
        concluded = await asyncio.to_thread(ledger.batches_with_outcomes, self.part.id)
        return len(concluded) == n_batches

    def _batch_size(self, intents: Mapping[int, Sequence[Intent]]) -> int:
        """Return the rows of a full batch.

        Raises:
            Corrupt: an intent names other rows than its batch has.
        """
        work = self.work
        # A batch must be able to leave within half its deadline at the provider's pace.
        pace = work.paces.get(self.part.campaign or "")
        limits = [self.sender.bucket.limit, *([pace.bucket.limit] if pace else [])]
        fits = int(min(limits) * work.batch_deadline_s / (2 * work.open_batches))
        size = max(1, min(work.batch_rows, fits))
        for k, standing in intents.items():
            # A part begun with another batch size keeps it: intents name fixed ranges, and this one must
            # cover what its batch has.
            size = standing[0].size
            if any(intent.rows != len(self.rows[k * size : (k + 1) * size]) for intent in standing):
                raise damaged(standing[0].key)
        return size

    async def _feed(self, todo: Sequence[int], size: int, intents: Mapping[int, list[Intent]]) -> None:
        """Deliver batches, a few at a time, until there are no more or this worker must stop."""
        slots = asyncio.Semaphore(self.work.open_batches)
        with PartRows(self.lake, self.part.entry, COLUMNS) as source:
            async with asyncio.TaskGroup() as group:
                heart = group.create_task(self._beat())
                batches = []
                for k in todo:
                    if not await self._await_canary():
                        break
                    # The slot comes first: what is asked below may have changed while it was waited for.
                    await slots.acquire()
                    if self.work.before_batch is not None:
                        await self.work.before_batch()
                    if self._must_stop() or await asyncio.to_thread(self.work.ledger.is_fenced, self.claim):
                        self.fenced = self.fenced or not self._must_stop()
                        break
                    rows = self.rows[k * size : (k + 1) * size]
                    table = await asyncio.to_thread(source.read, rows)
                    batch = self._batch(k, size, rows, table, intents.get(k, []), slots)
                    batches.append(group.create_task(batch))
                await asyncio.gather(*batches)
                # The group would wait for the heart for ever.
                heart.cancel()

    @property
    def is_out_of_time(self) -> bool:
        """Whether the instant has come after which no batch begins."""
        return self._stop_at is not None and self.work.lease_now() >= self._stop_at

    async def _await_canary(self) -> bool:
        """Wait until what the part waits for is decided; False: leave the part to the next run.

        No intent stands meanwhile, so waiting costs no object of the ledger.
        """
        gate, clock, campaign = self.work.canaries, self.work.clock, self.part.campaign
        if self.part.kind != CANARY or gate is None:
            return True
        patience = clock.steady() + EVIDENCE_AGE_US
        while not self._must_stop():
            if not self.work.guards.is_fresh():
                await self.work.guards.refresh()
            if not gate.is_fresh():
                await gate.refresh()
            # Rows of a stopped campaign wait for nothing: they are settled as stopped.
            if campaign in self.work.guards.stopped or not gate.waits(campaign):
                return True
            if clock.simulated and clock.steady() >= patience:
                break  # nobody opens anything while simulated time passes
            await clock.sleep(CANARY_LOOK_S)
        self.is_waiting = True
        return False

    def _must_stop(self) -> bool:
        return (
            self.is_out_of_time
            or self.work.draining.is_set()
            or self.sender.halted is not None
            or (self.sender.closed is not None and not self.work.moves_on())
            or self.fenced
        )

    async def _beat(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                await asyncio.sleep(HEARTBEAT_S)
                await asyncio.to_thread(self.work.ledger.heartbeat, self.claim)

    async def _batch(
        self,
        k: int,
        size: int,
        rows: Sequence[int],
        table: pa.Table,
        standing: list[Intent],
        slots: asyncio.Semaphore,
    ) -> None:
        try:
            await self._deliver(k, size, rows, table, standing)
        finally:
            slots.release()

    async def _deliver(
        self, k: int, size: int, rows: Sequence[int], table: pa.Table, standing: list[Intent]
    ) -> None:
        """Deliver one batch: compare, intend, send, conclude."""
        work, ledger = self.work, self.work.ledger
        if standing:
            if not await self._wait_for_owner(standing):
                return
            if ledger.has_outcomes(self.part.id, k):
                return  # the owner was alive and finished it
        column = await plain_columns(table)
        deadline = work.lease_now() + int(work.batch_deadline_s * 1e6)
        batch = Batch(
            work,
            self.sender,
            column,
            rows,
            deadline,
            is_released=self.part.kind == "released",
            is_paced=self.part.kind == PACED,
        )
        for i, row in enumerate(rows):
            if row in self._duplicates:
                batch.skip(i, DUPLICATE)
        if standing:
            batch.recover()
        payloads = await payload_hashes(column, self.part.channel, work.render.digest)
        self._compare(batch, payloads, standing)
        # After what a lost owner may have sent is ambiguous: that is no longer to be refused.
        for i, row in enumerate(rows):
            if row in self._full and batch.out.outcome[i] is None:
                batch.refuse_for_quota(i)
        if self.sender.closed is not None:
            batch.set_aside(self.sender.closed)
        # Rows may be settled by now, all of them even: then nothing is sent, and nothing has to be intended.
        if None in batch.out.outcome:
            failpoint("before_intent")
            if not await asyncio.to_thread(
                ledger.intend,
                self.claim,
                k,
                len(rows),
                size,
                deadline,
                payloads=payloads,
                again=bool(standing),
            ):
                return  # another worker owns this batch
            failpoint("after_intent")
            await batch.run()
        failpoint("before_outcome")
        data = await asyncio.to_thread(batch.out.to_bytes)
        stands = await asyncio.to_thread(ledger.conclude, self.claim, k, data)
        await asyncio.to_thread(events.batch_concluded, self.part, k, batch.out, is_late=not stands)
        if not stands:
            log.warning("batch %d was resolved by another worker; its true outcomes are appended", k)
            self.fenced = True
        failpoint("after_outcome")

    async def _wait_for_owner(self, standing: list[Intent]) -> bool:
        """Wait until no owner of this batch can have a request under way.

        That is when the owner is provably dead, or its deadline and the request timeout have passed. False:
        this worker was asked to drain meanwhile.
        """
        for intent in standing:
            until = intent.deadline + int(self.work.request_timeout_s * 1e6)
            while not intent.owner.is_dead() and self.work.lease_now() < until:
                if self.work.draining.is_set():
                    return False
                await asyncio.sleep(min(1.0, max(0.01, (until - self.work.lease_now()) / 1e6)))
        return True

    def _compare(self, batch: Batch, payloads: bytes, standing: list[Intent]) -> None:
        """Refuse rows whose dispatch id was seen with another payload.

        A lost owner, an earlier round or another manifest may have seen it.
        """
        before = self._before
        if before is not None:
            batch.recall(before.digests(batch.out.rows))
        elif not standing and not self._earlier:
            return
        for i, row in enumerate(batch.out.rows):
            if batch.out.outcome[i] is not None:
                continue
            earlier = self._earlier.get(row)
            seen = {intent.payload(i) for intent in standing}
            seen |= {earlier.payload if earlier else None, before.payload(row) if before else None}
            if seen - {payloads[i * PAYLOAD_BYTES : (i + 1) * PAYLOAD_BYTES], None}:
                batch.refuse(i)
            elif earlier and earlier.forbids(batch.column["guarantee"][i]):
                batch.skip(i, DUPLICATE)


def _first(problems: BaseExceptionGroup[AngeliaError]) -> AngeliaError:
    inner: BaseException = problems
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    assert isinstance(inner, AngeliaError)
    return inner
