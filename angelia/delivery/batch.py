"""The rows of one intent on their way out: re-check, render, pace, send; answers arrive as callbacks.

Grain: one message. One task feeds requests, and nothing is awaited between a row's last check and its request. Every row of the batch ends with an
outcome: a row that cannot be sent by the batch's deadline is deferred.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

import pyarrow as pa

from angelia.delivery import outcomes as words
from angelia.delivery.channels import base
from angelia.delivery.clock import Clock, Micros
from angelia.delivery.failpoints import Failpoints
from angelia.delivery.guards import Guards
from angelia.delivery.ledger import Ledger
from angelia.delivery.outcomes import Outcomes
from angelia.delivery.pacing import backoff, retry_after
from angelia.delivery.sender import Sender
from angelia.delivery.sights import payload_hash
from angelia.delivery.windows import quiet_now
from angelia.delivery.wire import NOT_SENT, Answer

log = logging.getLogger(__name__)
# Waits for tokens last at least this long, so that requests leave together, not one a turn of the loop (measured: a third less CPU).
PACE_S = 0.005
GUARD_PAUSE_S = 0.5
CLOCK_JUMPED = "clock_jumped"
PAYLOAD_CHANGED = "payload_changed"
COLUMNS = (
    "dispatch_id", "user_id", "campaign_id", "address", "template_id", "template_version", "fields", "locale", "priority", "guarantee",
    "not_before", "not_after", "timezone", "quiet_start", "quiet_end", "collapse_key", "ttl_s",
)  # fmt: skip


class Render(Protocol):
    """Renders a row's template. Raises: MessageRejected."""

    def __call__(self, template_id: str, version: int, fields: str, locale: str | None) -> tuple[str, str, str | None]:
        """Return title, body and link."""

    def digest(self, template_id: str, version: int) -> bytes:
        """Return a hash of the template's text."""


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

    def __init__(self, work: Work, sender: Sender, column: dict[str, list[Any]], rows: Sequence[int], deadline: Micros) -> None:
        self.work, self.sender, self.column, self.deadline = work, sender, column, deadline
        self.out = Outcomes(rows)
        self.retries: list[tuple[Micros, int]] = []
        self.progress = asyncio.Event()
        self.in_flight = 0
        self.last: dict[int, tuple[str, str | None]] = {}  # row -> (deferred or ambiguous, reason) if nothing better comes
        self.is_released = False  # every row was ambiguous before
        self._auth_tries: dict[int, int] = {}
        self._guards_version = -1
        self._blocked: list[str | None] = []
        self._spans: list[tuple[Micros, Micros, str]] = []
        self._n_jumps = -1
        self._again: set[int] = set()  # rows whose first send may have arrived (after a takeover)

    def settle(self, i: int, outcome: str, reason: str | None, provider_id: str | None = None) -> None:
        """Give a row its outcome."""
        out = self.out
        out.outcome[i] = outcome
        out.reason[i] = reason
        out.provider_id[i] = provider_id
        out.at[i] = self.work.clock.now()
        self.sender.counts[outcome] += 1

    def refuse(self, i: int) -> None:
        """Settle a row whose payload is not the one its dispatch id was first seen with; what may have arrived before stays ambiguous."""
        was_ambiguous = self.is_released or self.last.get(i, ("",))[0] == words.AMBIGUOUS
        self.settle(i, words.AMBIGUOUS if was_ambiguous else words.REJECTED, PAYLOAD_CHANGED)
        self.sender.n_refused += 1

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
            now = clock.steady()
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
                await asyncio.sleep(GUARD_PAUSE_S)  # real time: the log is outside the plan
                continue
            if sender.authorization() is None:
                await sender.renew(None)
                continue
            pause = sender.gate(clock.steady())
            if pause:
                await clock.sleep(min(max(pause, PACE_S), 1.0))
                continue
            # From here to the request there is no await: what is checked now holds when the bytes are handed over.
            if guards.version != self._guards_version:
                self._look_at_guards()
            reason = self._blocked[i]
            now, early = clock.now(), clock.earliest()
            if clock.n_jumps != self._n_jumps:
                self._look_at_clock(now)
            opens, closes, close_reason = self._spans[i]
            if reason is None and early < closes <= now and early < now:
                sender.ungate()
                self._give_up(i, CLOCK_JUMPED)  # over by one clock and not by the other: to be judged when there is one time again
                return False
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
            if early < opens:
                sender.ungate()
                if not clock.simulated and work.lease_now() + (opens - early) >= self.deadline:
                    self._give_up(i, "not_before")
                    return False
                await clock.sleep(min((opens - early) / 1e6, 1e9 if clock.simulated else 1.0))
                continue
            return True

    def _look_at_guards(self) -> None:
        self._guards_version = self.work.guards.version
        self._blocked = self.work.guards.blocked(self.column["campaign_id"], self.column["user_id"], self.sender.channel, self.column["address"])

    def _look_at_clock(self, now: Micros) -> None:
        """Give each row its span: its window, cut by quiet hours (of marketing; transactional messages are exempt)."""
        column, self._n_jumps, early = self.column, self.work.clock.n_jumps, self.work.clock.earliest()
        names = ("not_before", "not_after", "timezone", "quiet_start", "quiet_end", "guarantee")
        rows = zip(*(column[name] for name in names), strict=True)
        spans = []
        for opens, closes, timezone, start, end, guarantee in rows:
            if start is None or guarantee == "at_least_once":
                spans.append((opens, closes, "expired"))
                continue
            if early < now:  # two times may be: quiet by either is quiet
                was_quiet, ended = quiet_now(timezone, start, end, max(early, opens))
                opens = ended if was_quiet else opens
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
            self.refuse(i)
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
            sender.breaker.failed(self.work.clock.steady())
            self._again_later(i, "not_sent", None)
        else:
            sender.breaker.failed(self.work.clock.steady())
            self._ambiguous(i, "no_answer")
        if not self.in_flight or self.retries:
            self.progress.set()

    def _not_accepted(self, i: int, authorization: bytes, answer: Answer, verdict: base.Verdict) -> None:
        sender, kind, reason = self.sender, verdict.kind, verdict.reason
        now = self.work.clock.steady()
        if kind in (base.GONE, base.REJECTED):
            sender.answered()
            if i in self.last and self.last[i][0] == words.AMBIGUOUS:
                self.settle(i, words.AMBIGUOUS, self.last[i][1])  # an earlier try may have arrived all the same
            else:
                self.out.gone[i] = verdict.gone_us
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
        heapq.heappush(self.retries, (self.work.clock.steady() + int(pause * 1e6), i))

    def _ambiguous(self, i: int, reason: str | None) -> None:
        """At most once: the end. At least once: send again, and if that never gets an answer, ambiguous all the same."""
        self.last[i] = (words.AMBIGUOUS, reason)
        if self.column["guarantee"][i] == "at_least_once":
            self._again_later(i, reason, None)
        else:
            self._give_up(i, reason or "ambiguous")


async def payload_hashes(column: dict[str, list[Any]], channel: str, digest: Callable[[str, int], bytes]) -> bytes:
    """Return the payload hash of each row, one after the other, letting the event loop turn in between."""
    found = []
    for i, (template, version) in enumerate(zip(column["template_id"], column["template_version"], strict=True)):
        if i % 256 == 0:
            await asyncio.sleep(0)
        found.append(payload_hash(channel, digest(template, version), column, i))
    return b"".join(found)


async def plain_columns(table: pa.Table) -> dict[str, list[Any]]:
    """Return the columns as lists, letting the event loop turn between them: all at once would hold up what other batches have to send."""
    column = {}
    for name in COLUMNS:
        column[name] = _plain(table[name])
        await asyncio.sleep(0)
    return column


_tasks: set[asyncio.Task[None]] = set()


def _keep(task: asyncio.Task[None]) -> None:
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


def _plain(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        return list(column.cast(pa.int64()).to_pylist())
    return list(column.to_pylist())
