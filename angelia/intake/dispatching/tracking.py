"""What became of a batch's messages, from the ledger and from receipts, as steps.

Grain: dispatch. Reads outcomes of the ledger and `push_receipts` (source `receive`); writes nothing itself.
Surprise: a message that failed on one channel may be sent by the next one later; the later step then says
what its status is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from angelia.contracts.ids import INTAKE_OCCURRENCE
from angelia.contracts.outcomes import ACCEPTED, AMBIGUOUS, DEFERRED
from angelia.contracts.sending import ANSWERED_DAYS, Micros
from angelia.delivery.ledger import compaction
from angelia.delivery.ledger.ledger import Ledger
from angelia.delivery.manifest import parts
from angelia.delivery.manifest.families import families_of
from angelia.delivery.manifest.rows import columns_of
from angelia.intake.dispatching.batches import IntakeSend
from angelia.intake.dispatching.steps import OutcomeStep
from angelia.lake import Commit, Lake

CHANNEL_SHUT = "channel_shut"
_GRACE_US = 120_000_000  # after the last window closed, the last requests have their answers
_WORDS = {ACCEPTED: "sent", AMBIGUOUS: "ambiguous"}
# Kinds of receipts and the status each makes; the others are steps only.
RECEIPTS = {
    **{"delivered": "delivered", "opened": "opened"},
    **{"displayed": None, "bounced": None, "unsubscribed": None},
}
_READ = ("row", "outcome", "reason", "at_us", "n_attempts")


@dataclass(frozen=True)
class Progress:
    """How far a batch is: its steps, what was not sent after all, whether more may follow."""

    steps: list[OutcomeStep]
    unsent: list[str]
    is_over: bool


def progress_of(
    lake: Lake, ledger: Ledger, commit: Commit, clients: Mapping[str, str], now: Micros
) -> Progress:
    """Return what the ledger knows of a batch.

    Args:
        clients: message id -> whose it is.

    Raises:
        Corrupt: the ledger or a file is damaged.
    """
    every = parts.parts_of(lake, commit, commit.partition["send_hour"])
    steps: list[OutcomeStep] = []
    unsent: set[str] = set()
    sent: set[str] = set()
    is_over = all(ledger.is_done(part.id) for part in every)
    last = 0
    for family in families_of(every).values():
        root = family[0]
        facts = columns_of(lake, root.entry, ("message_id", "occurrence", "not_after"))
        # As numbers: a moment with a time zone takes Python 5 µs to make.
        ends = facts["not_after"].cast(pa.int64()).to_pylist()
        last = max([last, *ends])
        best = {row["row"]: row for row in compaction.merged(ledger, family, _READ).to_pylist()}
        names = zip(facts["message_id"].to_pylist(), facts["occurrence"].to_pylist(), ends, strict=True)
        for number, (message_id, occurrence, not_after) in enumerate(names):
            message = occurrence.removeprefix(INTAKE_OCCURRENCE)
            outcome = best.get(number)
            if outcome is None or outcome["outcome"] == DEFERRED:
                closed = now > not_after + _GRACE_US
                # An open part may still send it; two minutes after its window no worker has a request of it.
                if not (is_over or closed):
                    continue
                # A window that ends without a word was missed while the channel was shut or paused.
                why = outcome["reason"] if outcome else CHANNEL_SHUT
                at = outcome["at_us"] if outcome else now
                word = "failed"
            else:
                word, why = _WORDS.get(outcome["outcome"], "failed"), outcome["reason"]
                at = outcome["at_us"]
            (unsent if word == "failed" else sent).add(message_id)
            steps.append(OutcomeStep(clients[message], message, word, at, word, why or "", root.channel))
    is_over = is_over or now > last + _GRACE_US
    # Of several devices on one channel those that refused say nothing of the message that others have.
    has_it = {(step.id, step.channel) for step in steps if step.step != "failed"}
    each = {(step.id, step.channel, step.step): step for step in reversed(steps)}
    steps = [
        step
        for step in reversed(each.values())
        if step.step != "failed" or (step.id, step.channel) not in has_it
    ]
    # A message that fell over has a row in several parts: one that was sent settles it.
    return Progress(steps, sorted(unsent - sent) if is_over else [], is_over)


class Receipts:
    """What came back since it was last asked, by the message in the intake."""

    def __init__(self, lake: Lake, find: Callable[[list[str]], dict[str, IntakeSend]]) -> None:
        self._lake, self._find = lake, find
        self._seen: dict[str, int] = {}

    def fresh(self, now: Micros) -> Iterable[OutcomeStep]:
        """Yield the steps of receipts that were committed since the last call."""
        today = datetime.fromtimestamp(now / 1e6, UTC).date()
        for back in range(ANSWERED_DAYS + 1):
            ds = (today - timedelta(days=back)).isoformat()
            for leaf in self._lake.partitions("push_receipts", ds=ds, source="receive"):
                commit = self._lake.require("push_receipts", **leaf)
                name = commit.ref.rpartition("@")[0]
                if self._seen.get(name) == commit.number:
                    continue
                rows = self._lake.read(commit, ["message_id", "channel", "kind", "receipt_ts", "reason"])
                known = self._find(sorted(set(rows["message_id"].to_pylist())))
                for row in rows.to_pylist():
                    send = known.get(row["message_id"])
                    if send is not None and row["kind"] in RECEIPTS:
                        at, kind = _micros(row["receipt_ts"]), row["kind"]
                        yield OutcomeStep(
                            send.client,
                            send.id,
                            kind,
                            at,
                            RECEIPTS[kind],
                            row["reason"] or "",
                            row["channel"],
                        )
                self._seen[name] = commit.number


def _micros(value: datetime) -> Micros:
    return round((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1_000_000)
