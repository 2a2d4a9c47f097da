"""The verdict on a canary, by its rule, its messages' outcomes, and a person's decision.

Grain: campaign x night. Pure. Surprise: rejections and opt-outs fail a canary as soon as there is enough
evidence, opens only once the wait is over, since they come late.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

from angelia.contracts.sending import Micros

PASSED, WAITS, FAILED, UNDECIDED = "passed", "waits", "failed", "undecided"
_HOUR: Micros = 3_600_000_000


@dataclass(frozen=True)
class CanaryRule:
    """What the campaign's document says of its canary."""

    share_pct: float
    hours: int
    messages: int
    max_rejected_pct: float
    max_refused_pct: float
    min_opened_pct: float
    then: str

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the rule of a stored document's `canary`, in which defaults are written out."""
        return cls(**{name: body[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class CanaryFacts:
    """What became of a canary's messages.

    `settled`: messages that will not be sent any more. `answered`: accepted or rejected by the provider.
    Addresses that are gone are left out, since no message is to blame for them.
    """

    planned: int = 0
    settled: int = 0
    answered: int = 0
    rejected: int = 0
    refused: int = 0
    opened: int = 0
    first_sent: Micros | None = None


class CanaryChoice(NamedTuple):
    """A person's word: `pass` or `fail`, who, and why."""

    action: str
    actor: str
    reason: str


class CanaryVerdict(NamedTuple):
    """One of passed, waits, failed, undecided; and why, in words."""

    state: str
    says: str


def judge(rule: CanaryRule, facts: CanaryFacts, choice: CanaryChoice | None, now: Micros) -> CanaryVerdict:
    """Return the verdict at an instant."""
    if choice is not None:
        state = PASSED if choice.action == "pass" else FAILED
        return CanaryVerdict(state, f"{state} by {choice.actor}: {choice.reason}")
    accepted = facts.answered - facts.rejected
    is_enough = facts.answered >= rule.messages
    breach = _above(facts.rejected, facts.answered, rule.max_rejected_pct, "were rejected") or _above(
        facts.refused, accepted, rule.max_refused_pct, "unsubscribed or complained"
    )
    # Rejections and opt-outs fail at once: waiting would only send more of it.
    if is_enough and breach:
        return CanaryVerdict(FAILED, breach)
    pending = facts.planned - facts.settled
    if facts.first_sent is None and pending > 0:
        return CanaryVerdict(WAITS, f"none of its {facts.planned:,} messages has left yet")
    if facts.first_sent is not None and now < facts.first_sent + rule.hours * _HOUR:
        until = datetime.fromtimestamp((facts.first_sent + rule.hours * _HOUR) / 1e6, UTC)
        return CanaryVerdict(
            WAITS, f"until {until:%Y-%m-%d %H:%M} UTC, {rule.hours} h after its first message"
        )
    known = f"{facts.answered:,} of the {rule.messages:,} answers that a verdict takes are known"
    if not is_enough and facts.answered + pending >= rule.messages:
        return CanaryVerdict(WAITS, f"{known}, and {pending:,} of its messages are still to leave")
    # Even what is still to leave could not bring the missing answers, so the document decides.
    if not is_enough:
        return {
            "send": CanaryVerdict(PASSED, f"{known}; its document says then: send"),
            "ask": CanaryVerdict(WAITS, f"{known}; a person passes or fails it"),
        }.get(rule.then, CanaryVerdict(UNDECIDED, f"{known}; its document says then: expire"))
    # Opens come late; they are judged here alone, once the wait above is over.
    if 100.0 * facts.opened < rule.min_opened_pct * accepted:
        few = f"{facts.opened:,} of {accepted:,} were opened, less than {rule.min_opened_pct:g} %"
        return CanaryVerdict(FAILED, few)
    return CanaryVerdict(
        PASSED,
        f"of {facts.answered:,} answers {facts.rejected:,} were rejections; {facts.refused:,} people "
        f"unsubscribed or complained, {facts.opened:,} opened",
    )


def _above(number: int, of: int, most_pct: float, what: str) -> str | None:
    """Return the breach in words, None if there is none; 0 of 0 is none."""
    if 100.0 * number <= most_pct * of:
        return None
    return f"{number:,} of {of:,} {what}, more than {most_pct:g} %"
