"""The rows of one intent on their way out: re-check, render, pace, send, take the answers.

Grain: one message. One task feeds requests, answers arrive as callbacks, and nothing is awaited between a
row's last check and its request. Every row of the batch ends with an outcome: a row that cannot be sent by
the batch's deadline is deferred.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from angelia.contracts import outcomes as words
from angelia.contracts.sending import Micros
from angelia.delivery.channels import base
from angelia.delivery.clock import steady_ns
from angelia.delivery.ledger.outcomes import (
    DEVICE_DAY,
    MOVES_ON,
    PAYLOAD_CHANGED,
    QUOTA,
    Outcomes,
    gone_reason,
    opted_out_reason,
    quota_reason,
)
from angelia.delivery.sending.building import Builder
from angelia.delivery.sending.clearance import Clearance, Send, Settle, Wait
from angelia.delivery.sending.context import DeliveryContext
from angelia.delivery.sending.holds import ParkedRows
from angelia.delivery.sending.pacing import retry_after
from angelia.delivery.sending.sender import Sender
from angelia.lake.failpoint import failpoint
from angelia.transport.wire import NOT_SENT, UNKNOWN, Answer

log = logging.getLogger(__name__)
# Answers later than so many request timeouts after the last request do not come: SMTP waits for each of its
# replies that long.
_OVERDUE = 6


class Batch:
    """Rows of one intent. One task feeds requests; answers arrive as callbacks."""

    def __init__(
        self,
        work: DeliveryContext,
        sender: Sender,
        column: dict[str, list[Any]],
        rows: Sequence[int],
        deadline: Micros,
        *,
        is_released: bool = False,
        is_paced: bool = False,
    ) -> None:
        """Take the rows of a part.

        Args:
            column: their manifest columns, a list each.
            rows: their positions in the manifest file.
            deadline: begin no request after this instant of lease time.
            is_released: every row was ambiguous before, and a person released it.
            is_paced: the part is there to wait for its campaign's speed limit.
        """
        self.work, self.sender, self.column = work, sender, column
        self.out = Outcomes(rows)
        self._under_way: set[int] = set()
        self._builder = Builder(work, sender, column)
        self._stopped_ns: int | None = None  # when the batch began no more requests
        self._clearance = Clearance(work, sender, column, deadline)
        self._is_released, self._is_paced = is_released, is_paced
        self._todo: deque[int] = deque()
        self._retries: list[tuple[Micros, int]] = []
        self._parked = ParkedRows()
        self._progress = asyncio.Event()
        # A row's outcome (deferred or ambiguous) and reason if nothing better comes.
        self._last: dict[int, tuple[str, str | None]] = {}
        self._auth_tries: dict[int, int] = {}

    # ---- what is known before anything is sent

    def skip(self, i: int, reason: str) -> None:
        """Settle a row that must not be sent at all."""
        self._settle(i, words.SKIPPED, reason)

    def set_aside(self, reason: str) -> None:
        """Defer every row that has no outcome: its channel sends nothing more."""
        self._give_up([(i, reason) for i, outcome in enumerate(self.out.outcome) if outcome is None])

    def refuse(self, i: int) -> None:
        """Settle a row whose payload is not the one its dispatch id was first seen with."""
        self._conclude(i, self._refusal(i))

    def refuse_for_quota(self, i: int) -> None:
        """Settle a row whose device has had its messages of the day; its next channel may take it."""
        self._conclude(i, Settle(words.REJECTED, quota_reason(DEVICE_DAY)))

    def recall(self, payloads: Mapping[int, bytes]) -> None:
        """Take over the sha256 of what was sent of these rows in an earlier round."""
        for i, digest in payloads.items():
            self.out.payload[i] = digest

    def recover(self) -> None:
        """Judge the rows that a lost worker intended: nobody knows whether they were sent.

        Marketing is ambiguous and stays unsent, transactional goes out again.
        """
        for i, guarantee in enumerate(self.column["guarantee"]):
            if self.out.outcome[i] is not None:
                continue
            if guarantee == words.AT_LEAST_ONCE:
                self._last[i] = (words.AMBIGUOUS, "owner_lost")
            else:
                # Nobody knows when it was sent, if it was: caps count it from this instant on.
                self.out.sent[i] = self.work.clock.now()
                self._settle(i, words.AMBIGUOUS, "owner_lost")

    # ---- rows on their way out

    async def run(self) -> None:
        """Send the rows that have no outcome yet; afterwards every row has one."""
        opens = self.column["not_before"]
        unsettled = (i for i, outcome in enumerate(self.out.outcome) if outcome is None)
        self._todo.extend(sorted(unsettled, key=lambda i: opens[i]))
        while True:
            stop = self._clearance.must_stop()
            if stop:
                self._give_up_all(stop)
                self._stop_waiting()
            else:
                self._stopped_ns = None
            now = self.work.clock.steady()
            row = self._next(now)
            if row is not None:
                await self._try(row)
            elif self._is_over(now):
                return
            else:
                await self._rest(now)

    def _give_up_all(self, why: str) -> None:
        """Settle every row that is not under way."""
        waiting = [*self._todo, *(i for _, i in self._retries)]
        self._todo.clear()
        self._retries.clear()
        self._give_up((i, why) for i in waiting)
        self._give_up(self._parked.everything())

    def _stop_waiting(self) -> None:
        """Take answers that are long overdue as lost: a transport may never give them.

        Counted on a clock that nobody sets: a jump past the deadline makes no answer late.
        """
        now = steady_ns()
        self._stopped_ns = now if self._stopped_ns is None else self._stopped_ns
        overdue = int(_OVERDUE * self.work.request_timeout_s * 1e9)
        if self._under_way and now >= self._stopped_ns + overdue:
            log.error("%d requests were never answered by their transport", len(self._under_way))
            lost = Answer(0, failure=UNKNOWN)
            for i in list(self._under_way):
                self._answered((i, b"", self.sender.adapter), lost)

    def _next(self, now: Micros) -> int | None:
        """Return the row to try now, putting those aside whose gate is closed."""
        while True:
            if self._retries and self._retries[0][0] <= now:
                row = heapq.heappop(self._retries)[1]
            else:
                ready = self._parked.ready(now)
                if ready is None and not self._todo:
                    return None
                row = self._todo.popleft() if ready is None else ready
            gate = self._clearance.closed_gate(row, now)
            if gate is None:
                return row
            self._parked.put(row, gate, now)

    def _is_over(self, now: Micros) -> bool:
        """Say whether every row has its outcome, giving up those that would wait too long."""
        if self._under_way or self._retries:
            return False
        self._give_up(self._parked.hopeless(now, is_paced=self._is_paced))
        return not self._parked

    async def _rest(self, now: Micros) -> None:
        """Wait for an answer, the next retry or a gate, for a second at most."""
        wait = (self._retries[0][0] - now) / 1e6 if self._retries else 1.0
        if self._parked:
            wait = min(wait, self._parked.wait(now))
        self._progress.clear()
        await self.work.clock.wait(
            self._progress, min(max(wait, 0.001), 1.0), busy=lambda: bool(self._under_way)
        )

    async def _try(self, i: int) -> None:
        """Send a row as soon as it may leave, or find out that it may not."""
        while isinstance(verdict := self._clearance.of(i, self._build), Wait):
            await verdict.until()
            # What was awaited may have taken any time; `run` settles the row if the batch is over.
            if self._clearance.must_stop():
                heapq.heappush(self._retries, (0, i))
                return
        if isinstance(verdict, Settle):
            self._conclude(i, verdict)
        elif isinstance(verdict, Send):
            self._send(i, verdict)
            if self.work.is_armed:
                await asyncio.sleep(0)  # lets the queued bytes leave
                failpoint("after_send")
        else:
            self._parked.put(i, verdict.gate, self.work.clock.steady())

    def _build(self, i: int) -> Send | Settle:
        """Return a row's request, or the outcome of a row that has none."""
        built = self._builder.build(i)
        if isinstance(built, Settle):
            return built
        request, digest = built
        before = self.out.payload[i]
        # Another provider wants other bytes; what may have arrived by the first is not tried by a second.
        is_free = self.sender.is_other and not (self._is_released or self._may_have_arrived(i))
        is_same = before in (None, digest) or is_free
        if not is_same and before is not None and not self._builder.is_other_form(i, before):
            return self._refusal(i)
        self.out.payload[i] = digest
        return Send(request)

    def _send(self, i: int, verdict: Send) -> None:
        sender, out = self.sender, self.out
        if out.sent[i] is None:
            out.sent[i] = self.work.clock.now()
        out.attempts[i] += 1
        self._under_way.add(i)
        authorization = sender.authorization() or b""
        # The adapter travels along: the channel may be switched to another provider before the answer.
        sender.submit(verdict.request, authorization, self._answered, (i, authorization, sender.adapter))

    # ---- answers (called from the event loop, never awaited)

    def _answered(self, tag: tuple[int, bytes, base.Adapter], answer: Answer) -> None:
        i, authorization, adapter = tag
        if i not in self._under_way:
            return  # a second answer, or one that came after it was taken as lost
        self._under_way.remove(i)
        self.sender.left(self.column["address"][i])
        if self.work.is_armed:
            failpoint("before_ack")
        try:
            self._take_answer(i, authorization, adapter, answer)
        except Exception as error:  # noqa: BLE001 - the message is out: whatever the answer is, only its own row may suffer
            log.error("an answer could not be handled: %s", type(error).__name__)
            queued = any(row == i for _, row in self._retries)
            if self.out.outcome[i] is None and not queued:
                self._ambiguous(i, "answer_error")
        if not self._under_way or self._retries or self._parked:
            self._progress.set()

    def _take_answer(self, i: int, authorization: bytes, adapter: base.Adapter, answer: Answer) -> None:
        sender, address = self.sender, self.column["address"][i]
        if answer.status:
            try:
                verdict = adapter.classify(answer)
            except Exception as error:  # noqa: BLE001 - an adapter may be from outside, and the message is out
                log.error("an answer could not be classified: %s", type(error).__name__)
                verdict = base.Verdict(base.AMBIGUOUS, "classify_error")
            if verdict.kind == base.ACCEPTED:
                sender.answered(address)
                self._settle(i, words.ACCEPTED, None, verdict.provider_id)
            else:
                self._not_accepted(i, authorization, answer, verdict)
        elif answer.failure == NOT_SENT:
            sender.failed(address, self.work.clock.steady(), answer.shared)
            self._again_later(i, "not_sent", None)
        else:
            sender.failed(address, self.work.clock.steady(), answer.shared)
            self._ambiguous(i, "no_answer")

    def _not_accepted(self, i: int, authorization: bytes, answer: Answer, verdict: base.Verdict) -> None:
        sender, kind, reason = self.sender, verdict.kind, verdict.reason
        now, address = self.work.clock.steady(), self.column["address"][i]
        if kind == base.FULL:
            sender.answered(address)
        elif kind not in (base.GONE, base.OPTED_OUT, base.REJECTED, base.RETRY):
            sender.undecided(address)
        if kind == base.OPTED_OUT:
            sender.answered(address)
            self._conclude(i, Settle(words.REJECTED, opted_out_reason(reason)))
        elif kind in (base.GONE, base.REJECTED):
            sender.answered(address)
            if kind == base.GONE:
                # A row that stays ambiguous has no reason that says it, so it bears the answer's instant.
                unsaid = self.work.clock.now() if self._may_have_arrived(i) else None
                self.out.gone[i] = verdict.gone_us if verdict.gone_us is not None else unsaid
            self._conclude(i, Settle(words.REJECTED, gone_reason(reason) if kind == base.GONE else reason))
        elif kind == base.THROTTLED:
            wait = retry_after(answer.header(b"retry-after"), now)
            sender.throttled(now, wait)
            self._again_later(i, reason, wait)
        elif kind == base.RETRY:
            sender.failed(address, now, answer.shared)
            self._again_later(i, reason, retry_after(answer.header(b"retry-after"), now))
        elif kind == base.AUTH:
            sender.token_refused(authorization)
            self._auth_tries[i] = self._auth_tries.get(i, 0) + 1
            # Two tokens may have gone stale in a row; a third refusal is not about age.
            if self._auth_tries[i] > 2:
                sender.configuration_answer(reason or "unauthenticated", answer.shared)
            self._again_later(i, reason, None)
        elif kind in (base.SPENT, base.FULL):
            # What one receiver may get today says nothing of the next; a count of all ends the channel.
            if kind == base.SPENT:
                sender.spent(reason)
            outcome = words.DEFERRED if kind == base.SPENT else words.REJECTED
            self._conclude(i, Settle(outcome, quota_reason(reason)))
        elif kind == base.HALT:
            sender.configuration_answer(reason or "configuration", answer.shared)
            self._last.setdefault(i, (words.DEFERRED, reason))
            self._conclude(i, Settle(words.DEFERRED, reason or "configuration"))
        else:
            self._ambiguous(i, reason)

    # ---- outcomes

    def _again_later(self, i: int, reason: str | None, wait_s: float | None) -> None:
        """Queue a row for another try, unless it has had all its tries.

        Its window and the batch's deadline hold for every try.
        """
        if not self._may_have_arrived(i):
            self._last[i] = (words.DEFERRED, reason)
        if self.out.attempts[i] >= self.work.max_attempts:
            self._conclude(i, Settle(words.DEFERRED, "retries_exhausted"))
            return
        pause = max(wait_s or 0.0, self.sender.backoff(self.out.attempts[i]))
        heapq.heappush(self._retries, (self.work.clock.steady() + int(pause * 1e6), i))

    def _ambiguous(self, i: int, reason: str | None) -> None:
        """Settle a row of which nobody knows whether it arrived.

        At least once means another try first; if that never gets an answer, the row is ambiguous after all.
        """
        self._last[i] = (words.AMBIGUOUS, reason)
        if self.column["guarantee"][i] == words.AT_LEAST_ONCE:
            self._again_later(i, reason, None)
        else:
            self._settle(i, words.AMBIGUOUS, reason)

    def _may_have_arrived(self, i: int) -> bool:
        """Say whether an earlier try of this row, here or by a lost worker, had no answer."""
        return self._last.get(i, ("",))[0] == words.AMBIGUOUS

    def _refusal(self, i: int) -> Settle:
        self.sender.refused()
        is_ambiguous = self._is_released or self._may_have_arrived(i)
        return Settle(words.AMBIGUOUS if is_ambiguous else words.REJECTED, PAYLOAD_CHANGED)

    def _give_up(self, rows: Iterable[tuple[int, str]]) -> None:
        """Defer rows (row, reason), or leave them what is known of them already."""
        for i, why in rows:
            self._conclude(i, Settle(words.DEFERRED, why))

    def _conclude(self, i: int, verdict: Settle) -> None:
        """Settle a row that is not sent any more.

        What may have arrived stays ambiguous, and a deferred row keeps what its last try was answered.
        """
        outcome, reason = verdict
        known = self._last.get(i)
        # An ambiguous verdict is about a changed payload: its reason keeps the row out of follow-up parts.
        # So does a reason that sends it to another channel: what the last try was answered would hide it.
        moves = reason is not None and (reason in MOVES_ON or reason.startswith(QUOTA))
        is_deferred = outcome == words.DEFERRED and not moves
        is_better = known is not None and (known[0] == words.AMBIGUOUS or is_deferred)
        if known is not None and is_better and outcome != words.AMBIGUOUS:
            outcome, reason = known
        self._settle(i, outcome, reason)

    def _settle(self, i: int, outcome: str, reason: str | None, provider_id: str | None = None) -> None:
        out = self.out
        out.outcome[i] = outcome
        out.reason[i] = reason
        out.provider_id[i] = provider_id
        out.at[i] = self.work.clock.now()
        self.sender.settled(outcome)
