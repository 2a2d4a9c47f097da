"""The worker's guard over canaries: who goes first, and whether the others may follow.

Grain: a run of the worker. Reads what `evidence.py` and `choices.py` read, in a thread, one reader at a time.
Surprise: what became of the canary is at most ten minutes old on the clock of the plan, a person's word ten
seconds; if either cannot be read, the rest waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from angelia.contracts.ids import user_keys
from angelia.contracts.outcomes import CANARY_FAILED, CANARY_UNDECIDED, CANARY_WAITS, DEFERRED, SKIPPED
from angelia.contracts.sending import Micros
from angelia.delivery.canary.choices import canary_choices
from angelia.delivery.canary.evidence import CanaryEvidence
from angelia.delivery.canary.verdict import (
    FAILED,
    UNDECIDED,
    WAITS,
    CanaryChoice,
    CanaryFacts,
    CanaryRule,
    CanaryVerdict,
    judge,
)
from angelia.errors import AngeliaError
from angelia.lake import Lake
from angelia.matching import in_canary

EVIDENCE_AGE_US = 600 * 1_000_000
CHOICES_AGE_US = 10 * 1_000_000


class Withheld(NamedTuple):
    """A row's outcome and reason, for its canary's sake."""

    outcome: str
    reason: str


_WITHHELD = {
    WAITS: Withheld(DEFERRED, CANARY_WAITS),
    FAILED: Withheld(SKIPPED, CANARY_FAILED),
    UNDECIDED: Withheld(SKIPPED, CANARY_UNDECIDED),
}


class CanaryGate:
    """The canaries of one night, as a run of the worker asks them.

    Args:
        now: an instant of the plan's clock. lease_now: an instant of the real one.
    """

    def __init__(
        self, lake: Lake, ds: str, now: Callable[[], Micros], lease_now: Callable[[], Micros]
    ) -> None:
        self._lake, self._ds, self._now, self._lease_now = lake, ds, now, lease_now
        self._evidence = CanaryEvidence(lake, ds)
        self._rules: dict[str, CanaryRule] = {}
        self._facts: dict[str, CanaryFacts] | None = None  # None: not known
        self._choices: dict[str, CanaryChoice] = {}
        self._verdicts: dict[str, tuple[int, CanaryVerdict]] = {}
        self._facts_at: Micros | None = None
        self._choices_at: Micros | None = None
        self._reading: asyncio.Task[None] | None = None

    def watch(self, rules: Mapping[str, CanaryRule]) -> None:
        """Look at these campaigns, too, before anything more of them is sent."""
        if not rules.items() <= self._rules.items():
            self._rules |= rules
            self._facts_at = None

    def members(self, campaigns: Sequence[str], users: Sequence[str]) -> list[bool | None] | None:
        """Return of each row whether its person goes first; None where the campaign has no canary.

        None instead of a list if none of the campaigns has one.
        """
        ruled = set(campaigns) & set(self._rules)
        if not ruled:
            return None
        first: list[bool | None] = [None] * len(users)
        for name in ruled:
            rows = [i for i, campaign in enumerate(campaigns) if campaign == name]
            keys = user_keys(users[i] for i in rows)
            share = self._rules[name].share_pct
            for i, goes_first in zip(rows, in_canary(keys, name, self._ds, share).tolist(), strict=True):
                first[i] = goes_first
        return first

    def is_fresh(self) -> bool:
        """Say whether what is known is young enough."""
        return (
            self._facts_at is not None
            and self._choices_at is not None
            and self._now() - self._facts_at <= EVIDENCE_AGE_US
            and self._lease_now() - self._choices_at <= CHOICES_AGE_US
        )

    async def refresh(self) -> None:
        """Read what is too old; what cannot be read is unknown until the next look."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._refresh())
        await asyncio.shield(self._reading)

    async def _refresh(self) -> None:
        now, lease, rules = self._now(), self._lease_now(), dict(self._rules)
        is_old = self._facts_at is None or now - self._facts_at > EVIDENCE_AGE_US
        try:
            self._choices = await asyncio.to_thread(canary_choices, self._lake, self._ds)
            if is_old or self._facts is None:
                self._facts = await asyncio.to_thread(self._evidence.facts, rules)
        except (AngeliaError, OSError, ValueError):
            self._facts = None
        self._verdicts.clear()
        self._choices_at = lease
        if rules == self._rules:  # else somebody watches more by now, which is to be read first
            self._facts_at = now if is_old else self._facts_at

    def verdict(self, campaign: str) -> CanaryVerdict:
        """Return the verdict on a campaign's canary at this instant, as far as it is known."""
        choice, now = self._choices.get(campaign), self._now()
        if self._facts is None and choice is None:
            return CanaryVerdict(WAITS, "what became of it cannot be read")
        second, known = self._verdicts.get(campaign, (-1, CanaryVerdict("", "")))
        if second != now // 1_000_000:  # each row asks, and many leave in a second
            facts = (self._facts or {}).get(campaign, CanaryFacts())
            known = judge(self._rules[campaign], facts, choice, now)
            self._verdicts[campaign] = (now // 1_000_000, known)
        return known

    def waits(self, campaign: str | None) -> bool:
        """Say whether the rest of a campaign's people may not be sent to yet."""
        return campaign in self._rules and self.verdict(campaign).state == WAITS

    def withheld(self, campaign: str, *, goes_first: bool) -> Withheld | None:
        """Return what becomes of a row that may not leave, None if it may.

        Who goes first waits for nobody, and is withheld once the canary has failed.
        """
        state = self.verdict(campaign).state
        return None if goes_first and state != FAILED else _WITHHELD.get(state)
