"""What a worker writes into the structured log about parts, batches and channels.

Events are parts begun and ended, batches concluded, takeovers, breakers, halts: one JSON line each
(`angelia.logs`), `deliver_…`. Nothing in them is personal: a receiver's host is an address and appears only
as a keyed hash. Surprise: a reason that does not look like a code (letters, no digits but a status) is
counted as `other`: its words come from a provider, who may have put anything into them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from angelia import logs
from angelia.delivery.ledger.ledger import Claim
from angelia.delivery.ledger.outcomes import GONE, OPTED_OUT, Outcomes
from angelia.delivery.manifest.parts import Part

_STATUS = r"\d\.\d{1,3}\.\d{1,3}"  # enhanced status code, RFC 3463
_CODE = re.compile(
    rf"({GONE}|{OPTED_OUT})?(HTTP_\d{{3}}|SMTP_\d{{3}}(_{_STATUS})?|{_STATUS}|[A-Z][A-Za-z_]{{2,40}}(\.[a-z]{{2,20}})?)|[a-z_]{{2,40}}(:[a-z][a-z_]{{0,40}})?"
)


def code(reason: str | None) -> str:
    """Return a reason if it is a code, else `other`."""
    return reason if reason is not None and _CODE.fullmatch(reason) else "other"


def by_reason(reasons: Iterable[str | None]) -> dict[str, int]:
    """Count reasons by code."""
    return dict(sorted(Counter(code(reason) for reason in reasons if reason is not None).items()))


def _of(part: Part) -> dict[str, object]:
    facts = {
        "ds": part.ds,
        "send_hour": part.send_hour,
        "channel": part.channel,
        "priority": part.priority,
        "part": part.number,
        "kind": part.kind,
    }
    return {**facts, "ledger": part.id[:12], **({"campaign": part.campaign} if part.campaign else {})}


def part_began(part: Part, claim: Claim) -> None:
    """Log that a part is claimed, and whether its last owner had not given it back."""
    if claim.is_takeover:
        logs.event("deliver_takeover", **_of(part), epoch=claim.epoch)
    logs.event("deliver_part_began", **_of(part), epoch=claim.epoch, rows=part.n_rows)


def part_ended(part: Part, claim: Claim, how: str, outcomes: Mapping[str, int], seconds: float) -> None:
    """Log that a part is done, or left.

    `how` is done, waiting, unfinished, taken_over or failed; `outcomes` are those of the file's rows so far.
    """
    logs.event(
        "deliver_part_ended",
        **_of(part),
        epoch=claim.epoch,
        result=how,
        outcomes=dict(sorted(outcomes.items())),
        seconds=round(seconds, 3),
    )


def batch_concluded(part: Part, k: int, out: Outcomes, *, is_late: bool) -> None:
    """Log a batch whose rows all have outcomes; late = another worker had already resolved it."""
    counts = Counter(str(outcome) for outcome in out.outcome)
    facts = {
        "batch": k,
        "rows": len(out.rows),
        "outcomes": dict(sorted(counts.items())),
        "reasons": by_reason(out.reason),
    }
    logs.event("deliver_batch_concluded", **_of(part), **facts, attempts=sum(out.attempts), late=is_late)


def fell_over(part: Part, rows: int) -> None:
    """Log how many rows of a part go to their campaign's next channel in the next cycle."""
    logs.event("deliver_fell_over", **_of(part), rows=rows)


def breaker_changed(channel: str, *, is_open: bool, receiver: str | None = None) -> None:
    """Log that a breaker opened or closed: the provider's, or one receiver's."""
    which = {"receiver": logs.hashed(receiver)} if receiver is not None else {}
    logs.event("deliver_breaker_opened" if is_open else "deliver_breaker_closed", channel=channel, **which)


def halted(channel: str, why: str) -> None:
    """Log that a channel sends nothing more in this process."""
    logs.event("deliver_halted", channel=channel, why=why)
