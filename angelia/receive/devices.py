"""What phones say of themselves, as words on the addresses that their messages went to.

Grain: person x channel x address. Reads manifests by the index of dispatches; appends to the log
`registered_addresses`. Surprise: such a word dates from the message's sending, when the address was surely
this person's, and not from the phone's answer: somebody else may have registered the phone meanwhile, and
keeps it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from angelia.lake import Lake
from angelia.receive.finding.dispatches import Dispatches
from angelia.receive.journal import OF_DEVICE, Event
from angelia.users.registered import register

_HELD = 1 << 18  # devices whose last word is remembered: some 50 MiB


class DeviceWords:
    """Brings the lake what devices said and had not said before; it remembers them, so keep it."""

    def __init__(self, lake: Lake, dispatches: Dispatches) -> None:
        self._lake, self._dispatches = lake, dispatches
        self._last: OrderedDict[int, int] = OrderedDict()

    def note(self, events: Iterable[Event], facts: Mapping[str, Mapping[str, Any]]) -> int:
        """Append a word for each device that said something new; return how many.

        Args:
            events: of dispatches that were sent.
            facts: of these dispatches, by id, with the time they were sent.
        """
        last = {event.dispatch_id: event for event in sorted(events, key=lambda event: event.at_us)}
        stated = {
            name: {word: getattr(event, word) for word in OF_DEVICE}
            for name, event in last.items()
            if (event.app_version or event.permission) and facts[name]["sent_ts"] is not None
        }
        # Most events say nothing of a device, and no manifest is opened for them.
        if not stated:
            return 0
        addresses = self._dispatches.addresses(facts[name] for name in stated)
        words = [
            {
                "user_id": facts[name]["user_id"],
                "channel": facts[name]["channel"],
                "address": address,
                "registered_ts": facts[name]["sent_ts"],
                "is_active": True,
                **stated[name],
            }
            for name, address in addresses.items()
            if address
        ]
        fresh = [word for word in words if self._is_new(word)]
        if fresh:
            register(self._lake, fresh)
        return len(fresh)

    def _is_new(self, word: Mapping[str, Any]) -> bool:
        of = hash((word["user_id"], word["channel"], word["address"]))
        what = hash(tuple(word[name] for name in OF_DEVICE))
        if self._last.get(of) == what:
            self._last.move_to_end(of)
            return False
        self._last[of] = what
        if len(self._last) > _HELD:
            self._last.popitem(last=False)
        return True
