"""What a part leaves behind: follow-up parts, ledger, receipts, rows for another channel.

Reads the outcomes of a part and its family; writes `done/{part}`, and what `followups`, `compaction` and
`fallover` write. Grain: part. Surprise: parts of one file may be under way side by side, so they are settled
one after the other.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from functools import partial

from angelia.delivery.clock import Clock
from angelia.delivery.ledger import compaction
from angelia.delivery.ledger.followups import follow_up
from angelia.delivery.ledger.ledger import Ledger
from angelia.delivery.manifest.parts import Part
from angelia.delivery.sending import events
from angelia.delivery.worker import fallover
from angelia.delivery.worker.choosing import PartChoice
from angelia.delivery.worker.options import RunResult
from angelia.delivery.worker.part import PartRun
from angelia.delivery.worker.senders import Senders
from angelia.lake import Commit, Lake
from angelia.lake.failpoint import failpoint


class Settling:
    """The end of each part of one run."""

    def __init__(
        self,
        lake: Lake,
        clock: Clock,
        ledger: Ledger,
        choice: PartChoice,
        senders: Senders,
        result: RunResult,
    ) -> None:
        self._lake, self._clock, self._ledger = lake, clock, ledger
        self._choice, self._senders, self._result = choice, senders, result
        self._counted: dict[str, Counter[str]] = {}  # rows of a file by outcome, as far as they are counted
        self._turns: dict[str, asyncio.Lock] = {}

    async def begin(self, part: Part) -> None:
        """Count what was known of a file's rows before this run sent any."""
        root = part.entry.identity
        if root not in self._counted:
            family = self._choice.families.of(part)
            counts = await asyncio.to_thread(compaction.counts, self._ledger, family)
            if root not in self._counted:
                self._counted[root] = counts
                self._result.begin(counts)

    def counts(self, part: Part) -> Counter[str]:
        """Return the rows of a part's file by outcome, as far as they are counted."""
        return self._counted[part.entry.identity]

    async def end(self, part: Part, commit: Commit, run: PartRun, *, is_done: bool) -> str:
        """Commit what a part leaves behind, and count it; return how it ended."""
        root, ledger = part.entry.identity, self._ledger
        how = "done" if is_done else "taken_over" if run.fenced else "unfinished"
        async with self._turns.setdefault(root, asyncio.Lock()):
            if is_done:
                await asyncio.to_thread(self._conclude, part, commit)
                failpoint("before_done")
            counts = await asyncio.to_thread(compaction.counts, ledger, self._choice.families.of(part))
            if is_done:
                summary = {"ds": part.ds, "send_hour": part.send_hour, "leaf": part.leaf, "rows": part.n_rows}
                await asyncio.to_thread(ledger.finish, part.id, summary)
            elif run.is_out_of_time or run.is_waiting:
                how = "waiting"
            self._result.end(how)
            self._result.count(self._counted[root], counts)
            self._counted[root] = counts
            if run.fenced and ledger.is_done(part.id):
                # Our late truth joins what the other worker committed.
                await asyncio.to_thread(self._compact, part, commit)
        return how

    def _conclude(self, part: Part, commit: Commit) -> None:
        """Write follow-up parts, ledger, receipts, and the rows that fall over to another channel."""
        snapshot = self._senders.snapshot(commit)
        family, now = self._choice.families.of(part), self._clock.earliest()
        # First: what another channel takes is followed up by no part of this one.
        rows = fallover.fall_over(
            self._lake, self._ledger, part, family, snapshot, commit, now,
            partial(self._senders.is_open, commit=commit),
        )  # fmt: skip
        follow_up(self._lake, self._ledger, part, self._clock.earliest(), snapshot.paces)
        self._compact(part, commit)
        if rows:
            events.fell_over(part, rows)

    def _compact(self, part: Part, commit: Commit) -> None:
        def family() -> Sequence[Part]:
            self._choice.of(commit, part.send_hour)
            members = self._choice.families.of(part)
            # A follow-up may have been damaged since this run began.
            if problem := next((member.damaged for member in members if member.damaged), None):
                raise problem
            return members

        compaction.compact(self._lake, self._ledger, family, commit)
