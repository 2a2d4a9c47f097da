"""Deliver one part: fixed batches; intent, re-check, render, pace, send, outcomes.

Grain: one message. Reads a verified manifest file, the stop and suppression logs; writes the ledger. Memory: the open batches (4 x 2,000 rows) and
the part's Arrow table. Surprises: a worker that finds its part taken over stops at the next batch, and its true outcomes are appended as
late ones; after its batch's deadline it starts no request, and whatever is left is deferred.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

import pyarrow as pa

from angelia.delivery import outcomes as words
from angelia.delivery.channels import base
from angelia.delivery.clock import Clock, Micros
from angelia.delivery.failpoints import Failpoints
from angelia.delivery.guards import Guards
from angelia.delivery.ledger import Claim, Intent, Ledger
from angelia.delivery.outcomes import Outcomes
from angelia.delivery.pacing import backoff, retry_after
from angelia.delivery.parts import Part
from angelia.delivery.sender import Sender
from angelia.delivery.windows import quiet_now
from angelia.delivery.wire import NOT_SENT, Answer
from angelia.errors import AngeliaError

log = logging.getLogger(__name__)
HEARTBEAT_S = 15.0
# Waits for tokens last at least this long, so that requests leave together, not one a turn of the loop (measured: a third less CPU).
PACE_S = 0.005
COLUMNS = (
    "dispatch_id", "user_id", "campaign_id", "address", "template_id", "template_version", "fields", "locale", "priority", "guarantee",
    "not_before", "not_after", "timezone", "quiet_start", "quiet_end", "collapse_key", "ttl_s",
)  # fmt: skip


class Render(Protocol):
    """Renders a row's template. Raises: MessageRejected."""

    def __call__(self, template_id: str, version: int, fields: str, locale: str | None) -> tuple[str, str, str | None]:
        """Return title, body and link."""


@dataclass
class Work:
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
    failpoints: Failpoints = field(default_factory=Failpoints)
    draining: asyncio.Event = field(default_factory=asyncio.Event)  # set: start nothing more, wait for answers (at most request_timeout_s), leave


class Batch:
    """Rows of one intent on their way out. One task feeds requests; answers arrive as callbacks."""

    def __init__(self, work: Work, sender: Sender, table: pa.Table, rows: list[int], deadline: Micros) -> None:
        self.work, self.sender, self.deadline = work, sender, deadline
        self.column: dict[str, list[Any]] = {name: _plain(table[name]) for name in COLUMNS}
        self.out = Outcomes(rows)
        self.retries: list[tuple[Micros, int]] = []
        self.progress = asyncio.Event()
        self.in_flight = 0
        self.last: dict[int, tuple[str, str | None]] = {}  # row -> (deferred or ambiguous, reason) if nothing better comes
        self._auth_tries: dict[int, int] = {}
        self._guards_version = -1
        self._blocked: list[str | None] = []
        self._spans: list[tuple[Micros, Micros, str]] = []
        self._again: set[int] = set()  # rows whose first send may have arrived (after a takeover)

    def settle(self, i: int, outcome: str, reason: str | None, provider_id: str | None = None) -> None:
        """Give a row its outcome."""
        out = self.out
        out.outcome[i] = outcome
        out.reason[i] = reason
        out.provider_id[i] = provider_id
        out.at[i] = self.work.clock.now()
        self.sender.counts[outcome] += 1

    async def run(self) -> None:
        """Send the rows that have no outcome yet; afterwards every row has one."""
        self._look_at_clock(self.work.clock.now())
        opens = self.column["not_before"]
        todo = deque(sorted((i for i, outcome in enumerate(self.out.outcome) if outcome is None), key=lambda i: opens[i]))
        work, clock = self.work, self.work.clock
        while True:
            stop = self._must_stop()
            if stop:
                todo.extend(i for _, i in self.retries)
                self.retries.clear()
                for i in todo:
                    self._give_up(i, stop)
                todo.clear()
            now = clock.now()
            if self.retries and self.retries[0][0] <= now:
                row = heapq.heappop(self.retries)[1]
            elif todo:
                row = todo.popleft()
            elif self.in_flight or self.retries:
                wait = (self.retries[0][0] - now) / 1e6 if self.retries else 1.0
                self.progress.clear()
                await clock.wait(self.progress, min(max(wait, 0.001), 1.0), busy=lambda: self.in_flight > 0)
                continue
            else:
                return
            if not await self._admit(row):
                continue
            self._send(row)
            if work.failpoints.active:
                await asyncio.sleep(0)  # lets the queued bytes leave
                work.failpoints.hit("after_send")

    def _must_stop(self) -> str | None:
        if self.sender.halted is not None:
            return "channel_halted"
        if self.work.draining.is_set():
            return "drained"
        if self.work.lease_now() >= self.deadline:
            return "deadline" if self.work.guards.is_fresh() else "stop_list_unreadable"
        return None

    def _give_up(self, i: int, why: str) -> None:
        outcome, reason = self.last.get(i, (words.DEFERRED, why))
        self.settle(i, outcome, reason)

    async def _admit(self, i: int) -> bool:
        """Wait for room and pace, then re-check; True = send now. A row that is not sent has its outcome, or is queued again."""
        sender, work = self.sender, self.work
        clock, guards = work.clock, work.guards
        while True:
            if self._must_stop():
                heapq.heappush(self.retries, (0, i))
                return False
            if sender.in_flight >= sender.concurrency:
                await sender.room()
                continue
            if not guards.is_fresh() and not await guards.refresh():
                await asyncio.sleep(0.5)  # real time: the log is outside the plan
                continue
            if sender.authorization() is None:
                await sender.renew(None)
                continue
            now = clock.now()
            pause = sender.gate(now)
            if pause:
                await clock.sleep(min(max(pause, PACE_S), 1.0))
                continue
            # From here to the request there is no await: what is checked now holds when the bytes are handed over.
            if guards.version != self._guards_version:
                self._look_at_guards()
            reason = self._blocked[i]
            opens, closes, close_reason = self._spans[i]
            if reason is None and now >= closes:
                if close_reason == "quiet" and now < self.column["not_after"][i]:
                    self._look_at_clock(now)
                    opens, closes, close_reason = self._spans[i]
                if now >= closes:
                    reason = "expired" if now >= self.column["not_after"][i] else close_reason
            if reason is not None:
                sender.ungate()
                if i in self.last and self.last[i][0] == words.AMBIGUOUS:
                    self.settle(i, words.AMBIGUOUS, self.last[i][1])
                else:
                    self.settle(i, words.SKIPPED, reason)
                return False
            if now < opens:
                sender.ungate()
                if not clock.simulated and work.lease_now() + (opens - now) >= self.deadline:
                    self.settle(i, words.DEFERRED, "not_before")
                    return False
                await clock.sleep(min((opens - now) / 1e6, 1e9 if clock.simulated else 1.0))
                continue
            return True

    def _look_at_guards(self) -> None:
        self._guards_version = self.work.guards.version
        self._blocked = self.work.guards.blocked(self.column["campaign_id"], self.column["user_id"], self.sender.channel, self.column["address"])

    def _look_at_clock(self, now: Micros) -> None:
        """Give each row its span: its window, cut by quiet hours (of marketing; transactional messages are exempt)."""
        column = self.column
        names = ("not_before", "not_after", "timezone", "quiet_start", "quiet_end", "guarantee")
        rows = zip(*(column[name] for name in names), strict=True)
        spans = []
        for opens, closes, timezone, start, end, guarantee in rows:
            if start is None or guarantee == "at_least_once":
                spans.append((opens, closes, "expired"))
                continue
            is_quiet, until = quiet_now(timezone, start, end, max(now, opens))
            if not is_quiet:
                spans.append((opens, until, "quiet") if until < closes else (opens, closes, "expired"))
            elif until >= closes:
                spans.append((opens, opens, "quiet_hours"))
            else:
                spans.append((until, closes, "expired"))
        self._spans = spans

    def _send(self, i: int) -> None:
        column, out, sender = self.column, self.out, self.sender
        try:
            title, body, link = self.work.render(column["template_id"][i], column["template_version"][i], column["fields"][i], column["locale"][i])
            message = base.Message(
                column["address"][i], column["dispatch_id"][i], title, body, link, column["collapse_key"][i], column["ttl_s"][i],
                column["priority"][i] == "high",
            )  # fmt: skip
            request = sender.adapter.build_request(message)
        except base.MessageRejected as error:
            sender.ungate()
            self.settle(i, words.REJECTED, error.reason)
            return
        except Exception as error:  # noqa: BLE001 - a defect met by one row must not stop the others, nor be sent
            log.error("a row could not be built: %s", type(error).__name__)
            sender.ungate()
            self.settle(i, words.REJECTED, "build_error")
            return
        digest = sha256(request.body).digest()
        before = out.payload[i]
        if before is None:
            out.payload[i] = digest
        elif before != digest:
            sender.ungate()
            self.settle(i, words.REJECTED, "payload_changed")
            return
        if out.sent[i] is None:
            out.sent[i] = self.work.clock.now()
        out.attempts[i] += 1
        self.in_flight += 1
        sender.in_flight += 1
        sender.n_requests += 1
        authorization = sender.authorization() or b""
        sender.transport.submit(request, authorization, self._answered, (i, authorization))

    # ---- answers (called from the event loop, never awaited)

    def _answered(self, tag: tuple[int, bytes], answer: Answer) -> None:
        i, authorization = tag
        sender = self.sender
        self.in_flight -= 1
        sender.left()
        if self.work.failpoints.active:
            self.work.failpoints.hit("before_ack")
        if answer.status:
            try:
                verdict = sender.adapter.classify(answer)
            except Exception as error:  # noqa: BLE001 - the message is out: whatever the answer is, the row must be accounted for
                log.error("an answer could not be classified: %s", type(error).__name__)
                verdict = base.Verdict(base.AMBIGUOUS, "classify_error")
            kind = verdict.kind
            if kind == base.ACCEPTED:
                sender.answered()
                self.settle(i, words.ACCEPTED, None, verdict.provider_id)
            else:
                self._not_accepted(i, authorization, answer, verdict)
        elif answer.failure == NOT_SENT:
            sender.breaker.failed(self.work.clock.now())
            self._again_later(i, "not_sent", None)
        else:
            sender.breaker.failed(self.work.clock.now())
            self._ambiguous(i, "no_answer")
        if not self.in_flight or self.retries:
            self.progress.set()

    def _not_accepted(self, i: int, authorization: bytes, answer: Answer, verdict: base.Verdict) -> None:
        sender, kind, reason = self.sender, verdict.kind, verdict.reason
        now = self.work.clock.now()
        if kind in (base.GONE, base.REJECTED):
            sender.answered()
            if i in self.last and self.last[i][0] == words.AMBIGUOUS:
                self.settle(i, words.AMBIGUOUS, self.last[i][1])  # an earlier try may have arrived all the same
            else:
                self.settle(i, words.REJECTED, f"gone:{reason}" if kind == base.GONE else reason)
        elif kind == base.THROTTLED:
            wait = retry_after(answer.header(b"retry-after"), now)
            sender.bucket.throttled(now, wait)
            self._again_later(i, reason, wait)
        elif kind == base.RETRY:
            sender.breaker.failed(now)
            self._again_later(i, reason, retry_after(answer.header(b"retry-after"), now))
        elif kind == base.AUTH:
            if sender.authorization() == authorization:
                task = asyncio.get_running_loop().create_task(sender.renew(authorization))
                _keep(task)
            self._auth_tries[i] = self._auth_tries.get(i, 0) + 1
            if self._auth_tries[i] > 2:
                sender.configuration_answer(reason or "unauthenticated")
            self._again_later(i, reason, None)
        elif kind == base.HALT:
            sender.configuration_answer(reason or "configuration")
            self.last.setdefault(i, (words.DEFERRED, reason))
            self._give_up(i, reason or "configuration")
        else:
            self._ambiguous(i, reason)

    def _again_later(self, i: int, reason: str | None, wait_s: float | None) -> None:
        """Queue a row for another try, within its window, the batch's deadline and its number of tries."""
        if i not in self.last or self.last[i][0] != words.AMBIGUOUS:
            self.last[i] = (words.DEFERRED, reason)
        if self.out.attempts[i] >= self.work.max_attempts:
            self._give_up(i, "retries_exhausted")
            return
        pause = max(wait_s or 0.0, backoff(self.out.attempts[i], self.sender.random.random))
        heapq.heappush(self.retries, (self.work.clock.now() + int(pause * 1e6), i))

    def _ambiguous(self, i: int, reason: str | None) -> None:
        """At most once: the end. At least once: send again, and if that never gets an answer, ambiguous all the same."""
        self.last[i] = (words.AMBIGUOUS, reason)
        if self.column["guarantee"][i] == "at_least_once":
            self._again_later(i, reason, None)
        else:
            self._give_up(i, reason or "ambiguous")


_tasks: set[asyncio.Task[None]] = set()


def _keep(task: asyncio.Task[None]) -> None:
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


def _plain(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        return list(column.cast(pa.int64()).to_pylist())
    return list(column.to_pylist())


class PartRun:
    """One claimed part on its way to being done."""

    def __init__(self, work: Work, sender: Sender, part: Part, claim: Claim, table: pa.Table) -> None:
        self.work, self.sender, self.part, self.claim, self.table = work, sender, part, claim, table
        self.fenced = False
        self.problem: AngeliaError | None = None
        self.rows: list[int] = list(range(part.entry.rows)) if part.rows is None else list(part.rows)
        self._duplicates = _duplicates(table) if part.rows is None else set()

    async def run(self) -> bool:
        """Work through the batches; True = every batch has its outcomes."""
        work, ledger = self.work, self.work.ledger
        # A batch must be able to leave within half its deadline at the provider's pace.
        pace = int(self.sender.bucket.limit * work.batch_deadline_s / (2 * work.open_batches))
        size = max(1, min(work.batch_rows, pace))
        intents = await asyncio.to_thread(ledger.intents, self.part.id)
        for standing in intents.values():
            size = standing[0].size  # a part begun with another batch size keeps it: intents name fixed ranges
        n_batches = -(-len(self.rows) // size)
        concluded = await asyncio.to_thread(ledger.batches_with_outcomes, self.part.id)
        slots = asyncio.Semaphore(work.open_batches)
        try:
            async with asyncio.TaskGroup() as group:
                heart = group.create_task(self._beat())
                batches = []
                for k in range(n_batches):
                    if k in concluded:
                        continue
                    await slots.acquire()
                    if self._must_stop() or await asyncio.to_thread(ledger.is_fenced, self.claim):
                        self.fenced = self.fenced or not self._must_stop()
                        break
                    batches.append(group.create_task(self._batch(k, size, intents.get(k, []), slots)))
                await asyncio.gather(*batches)
                heart.cancel()
        except* AngeliaError as problems:
            self.problem = _first(problems)
        if self.problem is not None:
            raise self.problem
        concluded = await asyncio.to_thread(ledger.batches_with_outcomes, self.part.id)
        return len(concluded) == n_batches

    def _must_stop(self) -> bool:
        return self.work.draining.is_set() or self.sender.halted is not None or self.fenced

    async def _beat(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                await asyncio.sleep(HEARTBEAT_S)
                await asyncio.to_thread(self.work.ledger.heartbeat, self.claim)

    async def _batch(self, k: int, size: int, standing: list[Intent], slots: asyncio.Semaphore) -> None:
        try:
            await self._deliver(k, size, standing)
        finally:
            slots.release()

    async def _deliver(self, k: int, size: int, standing: list[Intent]) -> None:
        work, ledger = self.work, self.work.ledger
        rows = self.rows[k * size : (k + 1) * size]
        table = self.table.take(pa.array(rows)) if self.part.rows is not None else self.table.slice(k * size, len(rows))
        if standing:
            if not await self._wait_for_owner(standing):
                return
            if ledger.store.exists(f"outcomes/{self.part.id}/{k:06d}"):
                return  # the owner was alive and finished it
        deadline = work.lease_now() + int(work.batch_deadline_s * 1e6)
        batch = Batch(work, self.sender, table, rows, deadline)
        for i, row in enumerate(rows):
            if row in self._duplicates:
                batch.settle(i, words.SKIPPED, "duplicate_dispatch")
        if standing:
            self._resolve(batch)
        if None in batch.out.outcome:
            work.failpoints.hit("before_intent")
            if not await asyncio.to_thread(ledger.intend, self.claim, k, len(rows), size, deadline, again=bool(standing)):
                return  # another worker owns this batch
            work.failpoints.hit("after_intent")
            await batch.run()
        work.failpoints.hit("before_outcome")
        data = batch.out.to_bytes()
        if not await asyncio.to_thread(ledger.conclude, self.claim, k, data):
            log.warning("batch %d was resolved by another worker; its true outcomes are appended", k)
            self.fenced = True
        work.failpoints.hit("after_outcome")

    async def _wait_for_owner(self, standing: list[Intent]) -> bool:
        """Wait until no owner of this batch can have a request under way: provably dead, or deadline and request timeout have passed."""
        for intent in standing:
            until = intent.deadline + int(self.work.request_timeout_s * 1e6)
            while not intent.owner.is_dead() and self.work.lease_now() < until:
                if self.work.draining.is_set():
                    return False
                await asyncio.sleep(min(1.0, max(0.01, (until - self.work.lease_now()) / 1e6)))
        return True

    def _resolve(self, batch: Batch) -> None:
        """Somebody intended these rows and nobody knows: marketing is ambiguous and stays unsent, transactional goes out again."""
        for i, guarantee in enumerate(batch.column["guarantee"]):
            if batch.out.outcome[i] is not None:
                continue
            if guarantee == "at_least_once":
                batch.last[i] = (words.AMBIGUOUS, "owner_lost")
            else:
                batch.out.sent[i] = self.work.clock.now()  # unknown; caps count it from here on
                batch.settle(i, words.AMBIGUOUS, "owner_lost")


def _duplicates(table: pa.Table) -> set[int]:
    """Return the rows whose dispatch_id or (at most once) message to that address already stands earlier in the part."""
    ids = table["dispatch_id"].to_pylist()
    if len(set(ids)) == len(ids):
        return set()
    seen: set[str] = set()
    repeated = set()
    for row, dispatch in enumerate(ids):
        if dispatch in seen:
            repeated.add(row)
        seen.add(dispatch)
    return repeated


def _first(problems: BaseExceptionGroup[AngeliaError]) -> AngeliaError:
    inner: BaseException = problems
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    assert isinstance(inner, AngeliaError)
    return inner
