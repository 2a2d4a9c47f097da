"""The rows of one intent on their way out: re-check, render, pace, send; answers arrive as callbacks.

Grain: one message. One task feeds requests, and nothing is awaited between a row's last check and its
    request. Every row of the batch ends with an outcome: a row that cannot be sent by the batch's deadline is
    deferred.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from angelia.contracts import outcomes as words
from angelia.contracts.sending import Micros
from angelia.delivery.channels import base
from angelia.delivery.ledger.outcomes import Outcomes, gone_reason
from angelia.delivery.worker.context import DeliveryContext
from angelia.delivery.worker.holds import Hold, ParkedRows
from angelia.delivery.worker.pacing import backoff, retry_after
from angelia.delivery.worker.sender import Sender
from angelia.delivery.worker.windows import quiet_now
from angelia.lake.failpoint import failpoint
from angelia.transport.wire import NOT_SENT, Answer

log = logging.getLogger(__name__)
# Waits for tokens last at least this long, so that requests leave together, not one a turn of the loop
# (measured: a third less CPU).
PACE_S = 0.005
GUARD_PAUSE_S = 0.5
CLOCK_JUMPED = "clock_jumped"
PAYLOAD_CHANGED = "payload_changed"


class Batch:
    """Rows of one intent on their way out. One task feeds requests; answers arrive as callbacks."""

    def __init__(
        self,
        work: DeliveryContext,
        sender: Sender,
        column: dict[str, list[Any]],
        rows: Sequence[int],
        deadline: Micros,
    ) -> None:
        self.work, self.sender, self.column, self.deadline = work, sender, column, deadline
        self.out = Outcomes(rows)
        self.retries: list[tuple[Micros, int]] = []
        self.progress = asyncio.Event()
        self.in_flight = 0
        self.last: dict[
            int, tuple[str, str | None]
        ] = {}  # row -> (deferred or ambiguous, reason) if nothing better comes
        self.is_released = False  # every row was ambiguous before
        self.is_paced = False  # of a part that is there to wait for its campaign's speed limit
        self._aside = ParkedRows()
        self._auth_tries: dict[int, int] = {}
        self._guards_version = -1
        self._blocked: list[str | None] = []
        self._spans: list[tuple[Micros, Micros, str]] = []
        self._n_jumps = -1
        self._has_gates = bool(work.paces) or sender.receivers is not None

    def settle(self, i: int, outcome: str, reason: str | None, provider_id: str | None = None) -> None:
        """Give a row its outcome."""
        out = self.out
        out.outcome[i] = outcome
        out.reason[i] = reason
        out.provider_id[i] = provider_id
        out.at[i] = self.work.clock.now()
        self.sender.counts[outcome] += 1

    def refuse(self, i: int) -> None:
        """Settle a row whose payload is not the one its dispatch id was first seen with; what may have
        arrived before stays ambiguous.
        """
        was_ambiguous = self.is_released or self.last.get(i, ("",))[0] == words.AMBIGUOUS
        self.settle(i, words.AMBIGUOUS if was_ambiguous else words.REJECTED, PAYLOAD_CHANGED)
        self.sender.n_refused += 1

    async def run(self) -> None:
        """Send the rows that have no outcome yet; afterwards every row has one."""
        self._look_at_clock(self.work.clock.now())
        opens = self.column["not_before"]
        todo = deque(
            sorted(
                (i for i, outcome in enumerate(self.out.outcome) if outcome is None), key=lambda i: opens[i]
            )
        )
        clock = self.work.clock
        while True:
            stop = self._must_stop()
            if stop:
                todo.extend(i for _, i in self.retries)
                self.retries.clear()
                for i in todo:
                    self._give_up(i, stop)
                todo.clear()
                for i, why in self._aside.everything():
                    self._give_up(i, why)
            now = clock.steady()
            row = self._next(todo, now)
            if row is None:
                if not self.in_flight and not self.retries:
                    for i, why in self._aside.hopeless(now, is_paced=self.is_paced):
                        self._give_up(i, why)
                    if not self._aside:
                        return
                wait = (self.retries[0][0] - now) / 1e6 if self.retries else 1.0
                if self._aside:
                    wait = min(wait, self._aside.wait(now))
                self.progress.clear()
                await clock.wait(self.progress, min(max(wait, 0.001), 1.0), busy=lambda: self.in_flight > 0)
                continue
            if not await self._admit(row):
                continue
            self._send(row)
            if self.work.is_armed:
                await asyncio.sleep(0)  # lets the queued bytes leave
                failpoint("after_send")

    def _next(self, todo: deque[int], now: Micros) -> int | None:
        """Return the row to try now, putting those aside whose gate is closed."""
        while True:
            if self.retries and self.retries[0][0] <= now:
                row = heapq.heappop(self.retries)[1]
            else:
                ready = self._aside.ready(now)
                if ready is None and not todo:
                    return None
                row = todo.popleft() if ready is None else ready
            gate = self._closed_gate(row, now) if self._has_gates else None
            if gate is None:
                return row
            self._aside.put(row, gate, now)

    def _gates(self, i: int) -> list[Hold]:
        """Return what may hold this row up and not the others: its campaign's speed limit, and its
        receiver."""
        gates: list[Hold] = []
        pace = self.work.paces.get(self.column["campaign_id"][i])
        if pace is not None:
            gates.append(pace)
        if self.sender.receivers is not None:
            gates.append(self.sender.receivers.of(self.column["address"][i]))
        return gates

    def _closed_gate(self, i: int, now: Micros) -> Hold | None:
        pace = self.work.paces.get(self.column["campaign_id"][i])
        if pace is not None and pace.wait(now):
            return pace
        receiver = (
            self.sender.receivers.find(self.column["address"][i])
            if self.sender.receivers is not None
            else None
        )
        return receiver if receiver is not None and receiver.wait(now) else None

    def _ungate(self, i: int) -> None:
        """Give back what `_admit` took for a row: it is not sent after all."""
        self.sender.ungate()
        if self._has_gates:
            for gate in self._gates(i):
                gate.back()

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
        """Wait for room and pace, then re-check; True = send now. A row that is not sent has its outcome, or
        is queued again.
        """
        sender, work = self.sender, self.work
        clock, guards = work.clock, work.guards
        has_waited = False  # `run` has just looked, and nothing was awaited since
        while True:
            if has_waited and self._must_stop():
                heapq.heappush(self.retries, (0, i))
                return False
            has_waited = True
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
            # From here to the request there is no await: what is checked now holds when the bytes are handed
            # over.
            if guards.version != self._guards_version:
                self._look_at_guards()
            reason = self._blocked[i]
            now, early = clock.now(), clock.earliest()
            if clock.n_jumps != self._n_jumps:
                self._look_at_clock(now)
            opens, closes, close_reason = self._spans[i]
            if reason is None and early < closes <= now and early < now:
                sender.ungate()
                self._give_up(
                    i, CLOCK_JUMPED
                )  # over by one clock and not by the other: to be judged when there is one time again
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
            if self._has_gates:
                closed = self._closed_gate(i, clock.steady())
                if closed is not None:
                    sender.ungate()
                    self._aside.put(i, closed, clock.steady())
                    return False
                for gate in self._gates(i):
                    gate.enter(clock.steady())
            return True

    def _look_at_guards(self) -> None:
        self._guards_version = self.work.guards.version
        self._blocked = self.work.guards.blocked(
            self.column["campaign_id"], self.column["user_id"], self.sender.channel, self.column["address"]
        )

    def _look_at_clock(self, now: Micros) -> None:
        """Give each row its span: its window, cut by quiet hours (of marketing; transactional messages are
        exempt).
        """
        column, self._n_jumps, early = self.column, self.work.clock.n_jumps, self.work.clock.earliest()
        names = ("not_before", "not_after", "timezone", "quiet_start", "quiet_end", "guarantee")
        rows = zip(*(column[name] for name in names), strict=True)
        spans = []
        for opens, closes, timezone, start, end, guarantee in rows:
            if start is None or guarantee == words.AT_LEAST_ONCE:
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
            title, body, link = self.work.render(
                column["template_id"][i],
                column["template_version"][i],
                column["fields"][i],
                column["locale"][i],
            )
            message = base.Message(
                column["address"][i], column["dispatch_id"][i], title, body, link, column["collapse_key"][i],
                column["ttl_s"][i],
                column["priority"][i] == "high",
            )  # fmt: skip
            request = sender.adapter.build_request(message)
        except base.MessageRejected as error:
            self._ungate(i)
            self.settle(i, words.REJECTED, error.reason)
            return
        except Exception as error:  # noqa: BLE001 - a defect met by one row must not stop the others, nor be sent
            log.error("a row could not be built: %s", type(error).__name__)
            self._ungate(i)
            self.settle(i, words.REJECTED, "build_error")
            return
        digest = sha256(request.body).digest()
        before = out.payload[i]
        if before is None:
            out.payload[i] = digest
        elif before != digest:
            self._ungate(i)
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
        address = self.column["address"][i]
        sender.left(address)
        if self.work.is_armed:
            failpoint("before_ack")
        try:
            self._take_answer(i, authorization, answer)
        except Exception as error:  # noqa: BLE001 - the message is out: whatever the answer is, this row alone must bear it
            log.error("an answer could not be handled: %s", type(error).__name__)
            queued = any(row == i for _, row in self.retries)
            if self.out.outcome[i] is None and not queued:
                self._ambiguous(i, "answer_error")
        if not self.in_flight or self.retries or self._aside:
            self.progress.set()

    def _take_answer(self, i: int, authorization: bytes, answer: Answer) -> None:
        sender, address = self.sender, self.column["address"][i]
        if answer.status:
            try:
                verdict = sender.adapter.classify(answer)
            except Exception as error:  # noqa: BLE001 - adapters may be anybody's, and the message is out
                log.error("an answer could not be classified: %s", type(error).__name__)
                verdict = base.Verdict(base.AMBIGUOUS, "classify_error")
            if verdict.kind == base.ACCEPTED:
                sender.answered(address)
                self.settle(i, words.ACCEPTED, None, verdict.provider_id)
            else:
                self._not_accepted(i, authorization, answer, verdict)
        elif answer.failure == NOT_SENT:
            sender.failed(address, self.work.clock.steady())
            self._again_later(i, "not_sent", None)
        else:
            sender.failed(address, self.work.clock.steady())
            self._ambiguous(i, "no_answer")

    def _not_accepted(self, i: int, authorization: bytes, answer: Answer, verdict: base.Verdict) -> None:
        sender, kind, reason = self.sender, verdict.kind, verdict.reason
        now, address = self.work.clock.steady(), self.column["address"][i]
        if kind not in (base.GONE, base.REJECTED, base.RETRY):
            sender.said_nothing(address)
        if kind in (base.GONE, base.REJECTED):
            sender.answered(address)
            if i in self.last and self.last[i][0] == words.AMBIGUOUS:
                # An earlier try may have arrived all the same; the address is gone whatever came of it.
                self.out.gone[i] = verdict.gone_us or self.work.clock.now() if kind == base.GONE else None
                self.settle(i, words.AMBIGUOUS, self.last[i][1])
            else:
                self.out.gone[i] = verdict.gone_us
                self.settle(i, words.REJECTED, gone_reason(reason) if kind == base.GONE else reason)
        elif kind == base.THROTTLED:
            wait = retry_after(answer.header(b"retry-after"), now)
            sender.bucket.throttled(now, wait)
            self._again_later(i, reason, wait)
        elif kind == base.RETRY:
            sender.failed(address, now)
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
        """At most once: the end. At least once: send again, and if that never gets an answer, ambiguous all
        the same.
        """
        self.last[i] = (words.AMBIGUOUS, reason)
        if self.column["guarantee"][i] == words.AT_LEAST_ONCE:
            self._again_later(i, reason, None)
        else:
            self._give_up(i, reason or "ambiguous")


_tasks: set[asyncio.Task[None]] = set()


def _keep(task: asyncio.Task[None]) -> None:
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
