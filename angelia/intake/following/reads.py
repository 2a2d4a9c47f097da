"""Messages as clients read them: from a follower where there is one.

Grain: message. Reads the intake's databases; writes nothing. Surprise: a follower is behind. A message that
it lacks is looked up at the leader, and one that this process has just cancelled, too, so that a client
reads what it wrote; a list may lack the last moments.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from angelia.contracts.ids import direct_campaign, direct_template
from angelia.intake.database import Unavailable
from angelia.intake.store import IntakeStore, Row

_DOWN_S = 5.0  # so long nobody waits again for a follower that did not answer
_BEHIND_S = 60.0  # a follower that is further behind than this shows a cancelled message as it was
_KEPT = 10_000
Steps = Mapping[str, Sequence[Row]]


class FollowedReads:
    """The messages of all clients, read from two databases; safe to use from several threads."""

    def __init__(
        self,
        leader: IntakeStore,
        follower: IntakeStore | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leader, self._follower, self._clock = leader, follower, clock
        self._down_until = 0.0
        self._changed: OrderedDict[tuple[str, str], float] = OrderedDict()

    def message(self, client: str, message_id: str) -> tuple[Row, Steps] | None:
        """Return a client's message and its steps, None if it has no such message."""

        def read(store: IntakeStore) -> tuple[Row, Steps] | None:
            row = store.get(client, message_id)
            return None if row is None else (row, store.steps(client, [message_id]))

        is_changed = self._clock() - self._changed.get((client, message_id), -_BEHIND_S) < _BEHIND_S
        theirs = None if is_changed else self._at_follower(read)
        return read(self._leader) if theirs is None else theirs

    def page(self, client: str, now_us: int, **asked: Any) -> tuple[list[Row], Steps]:
        """Return what `IntakeStore.newest` does, with the messages' steps."""

        def read(store: IntakeStore) -> tuple[list[Row], Steps]:
            rows = store.newest(client, now_us, **asked)
            return rows, store.steps(client, [row["id"] for row in rows])

        return self._at_follower(read) or read(self._leader)

    def note_change(self, client: str, message_id: str) -> None:
        """Read a message from the leader for a while: the follower still has it as it was."""
        self._changed[client, message_id] = self._clock()
        if len(self._changed) > _KEPT:
            self._changed.popitem(last=False)

    def _at_follower(self, read: Callable[[IntakeStore], Any]) -> Any:
        if self._follower is None or self._clock() < self._down_until:
            return None
        try:
            return read(self._follower)
        except Unavailable:
            self._down_until = self._clock() + _DOWN_S
            return None


def campaigns_of(campaign: str | None, template: str | None) -> list[str] | None:
    """Return the campaigns whose messages are asked for, None for all."""
    by_template = (
        {direct_campaign(template, each) for each in ("transactional", "marketing")} if template else None
    )
    if campaign is None:
        return None if by_template is None else sorted(by_template)
    # Of a message that names a template the campaign is null, so both together are nobody's.
    return [] if by_template is not None or direct_template(campaign) is not None else [campaign]
