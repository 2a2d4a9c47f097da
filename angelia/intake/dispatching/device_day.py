"""What providers let a device have in 24 hours, counted over nights and intake.

Grain: person x channel x class of messages. Reads what `caps` reads; writes nothing. Surprise: people are
counted, so that no device has more than its channel allows; a message of the intake whose channel is not
known counts on each. Of two dispatchers that decide at once, each may send one more than there is room for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from angelia.catalog.snapshot import Catalog
from angelia.contracts.outcomes import MARKETING
from angelia.contracts.sending import Micros
from angelia.intake.dispatching.batches import IntakeBatch, IntakeSend
from angelia.intake.dispatching.caps import DAY_US, CountedMessage, NightlySends
from angelia.intake.dispatching.people import Person

SentTo = Callable[[Sequence[str], int], list[tuple[IntakeSend, bool]]]


class DeviceDay:
    """How many messages of a class people had by a channel, and who has room for another."""

    def __init__(self, catalog: Catalog, messages: Sequence[CountedMessage] = ()) -> None:
        self._limits: dict[tuple[str, str], int] = {
            (name, str(kind)): most
            for name, channel in catalog.channels.items()
            for kind, most in (channel.max_per_device_day or {}).items()
        }
        self._had: Counter[tuple[str, str, str]] = Counter()
        for each in messages:
            campaign = catalog.campaigns.get(each.campaign_id)
            kind = MARKETING if campaign is None else campaign.wire_class
            for channel in catalog.channels if each.channel is None else (each.channel,):
                self.take(each.user_id, channel, kind)

    @classmethod
    def of(
        cls,
        catalog: Catalog,
        persons: Mapping[str, Person],
        nightly: NightlySends,
        sent_to: SentTo,
        batch: IntakeBatch,
        now: Micros,
    ) -> DeviceDay:
        """Return the room of a batch's people; nothing is read where no channel has a limit."""
        if not persons or not any(channel.max_per_device_day for channel in catalog.channels.values()):
            return cls(catalog)
        since, mine = now - DAY_US, {message for _, message in batch.members}
        here = [
            CountedMessage(send.user_id, send.campaign_id, send.message_id, send.at_us)
            for send, _ in sent_to(sorted(persons), since)
            # A batch that is taken up again finds its own sends.
            if send.id not in mine and send.at_us > since
        ]
        # What stands in both is one message, and the night's word names its channel.
        every = {each.message_id: each for each in (*here, *nightly.of(persons, since, now))}
        return cls(catalog, list(every.values()))

    def has_room(self, user: str, channel: str, kind: str) -> bool:
        """Say whether the channel takes another message of the class for this person today."""
        most = self._limits.get((channel, kind))
        return most is None or self._had[user, channel, kind] < most

    def take(self, user: str, channel: str, kind: str) -> None:
        """Count a message."""
        if (channel, kind) in self._limits:
            self._had[user, channel, kind] += 1
