"""What providers' limits a day leave a device, by class of message and channel.

Pure. Grain: user x channel x slot. What the person had on the channel is counted, so that no device has more.
Surprise: a pair's hours do not depend on its channel, so a channel that is used up in some hours is left out
where another has room all night, and bounds the hours where it is the only one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts.outcomes import MARKETING
from angelia.planning.before.room import Past, Room, room_for
from angelia.planning.problem import I64, Bools
from angelia.planning.terms import CampaignTerms, CapTerms, Terms

_NO_LIMIT = np.iinfo(np.int16).max


@dataclass(frozen=True)
class DeviceRoom:
    """Messages that a day leaves each user, by class and number of a limited channel, (n, h)."""

    left: Mapping[str, Mapping[int, Room]]
    first_slot: int

    @classmethod
    def of(cls, terms: Terms, past: Past, n: int) -> DeviceRoom:
        """Return the room that past messages leave; one of an unknown channel counts on each."""
        if not any(channel.max_per_device_day for channel in terms.channels):
            return cls({}, terms.first_slot)
        # A campaign that is over is counted as marketing, which most are.
        classes = np.array([*(campaign.wire_class for campaign in terms.campaigns), MARKETING], object)
        of_past = classes[past.numbers([campaign.id for campaign in terms.campaigns])]
        nowhere = pa.nulls(len(past.user), pa.string())
        ways = nowhere if past.channel is None else past.channel
        left: dict[str, dict[int, Room]] = {}
        for c, channel in enumerate(terms.channels):
            for kind, most in channel.max_per_device_day:
                there = pc.fill_null(pc.equal(ways, channel.id), True).to_numpy(zero_copy_only=False)
                keep = np.asarray((of_past == kind) & there, np.bool_)
                room = room_for((CapTerms(most, 1),), past, n, terms.n_slots, keep)
                left.setdefault(kind, {})[c] = room
        return cls(left, terms.first_slot)

    def within(self, wire_class: str, users: I64, channels: Bools) -> tuple[Bools, Bools | np.bool_]:
        """Return the channels with room for a message of the class, (r, c), and hours, (r, h).

        `channels` says which could carry it, (r, c).
        """
        limited = self.left.get(wire_class)
        if not limited or not len(users):
            return channels, np.bool_(True)
        h = next(iter(limited.values())).shape[1]
        free = np.ones((*channels.shape, h), bool)
        for c, room in limited.items():
            free[:, c] = room[users] >= 1
        n_free = free[:, :, self.first_slot :].sum(axis=2)
        always = channels & (n_free == h - self.first_slot)
        best = np.argmax(np.where(channels, n_free, -1), axis=1)
        is_best = np.arange(channels.shape[1])[None, :] == best[:, None]
        by_hours = channels & is_best & (n_free > 0)
        has_always = always.any(axis=1)
        hours = np.where(has_always[:, None], True, free[np.arange(len(users)), best])
        return np.where(has_always[:, None], always, by_hours), hours

    def bound(self, room: Room, campaigns: Sequence[CampaignTerms], reach: Bools) -> Room:
        """Return the room of a night, (n, h), so that two of its messages fit a device.

        Of the limited channels that reach a user, (n, c), the one that leaves least, if it leaves any.
        """
        for kind in {campaign.wire_class for campaign in campaigns if not campaign.is_exempt}:
            for c, left in self.left.get(kind, {}).items():
                mine = np.where(reach[:, c, None] & (left >= 1), left, _NO_LIMIT)
                room = np.minimum(room, mine).astype(np.int16)
        return room
