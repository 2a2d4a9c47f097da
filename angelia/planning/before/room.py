"""What earlier messages leave room for: caps, gaps, phone makers, once-only keys.

Grain: user x slot. Reads nothing, writes nothing. Hours are relative to the plan's start, so those of earlier
messages lie below 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from angelia.planning.problem import I64, Bools
from angelia.planning.terms import CapTerms, ChannelTerms

F64 = npt.NDArray[np.float64]
Room = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Past:
    """Messages already sent or pending, by user row.

    `hours` are relative to the plan's start, `message_id` is the once-only key. `channel` is None where it is
    not known yet; empty: of none.
    """

    user: I64
    campaign: list[str]
    hours: F64
    message_id: list[str]
    channel: list[str | None] = field(default_factory=list)


def room_for(
    caps: Sequence[CapTerms], past: Past, n_users: int, n_slots: int, keep: Bools | None = None
) -> Room:
    """Return how many messages the caps leave each user at each slot, (n, h).

    Windows slide and are read at the slot's first instant.
    """
    bounds = np.iinfo(np.int16)
    room = np.full((n_users, n_slots), min([bounds.max, *(cap.messages for cap in caps)]), np.int16)
    user, hours = (past.user, past.hours) if keep is None else (past.user[keep], past.hours[keep])
    who, row = np.unique(user, return_inverse=True)  # the others' room is what the caps say
    for cap in caps:
        # A message counts in the slots that begin less than the window after it: the first so many.
        n_counted = np.clip(np.ceil(hours + 24 * cap.days), 0, n_slots).astype(np.int64)
        ends = np.bincount(row * (n_slots + 1) + n_counted, minlength=len(who) * (n_slots + 1))
        later = np.cumsum(ends.reshape(len(who), n_slots + 1)[:, :0:-1], axis=1)[:, ::-1]
        left = np.clip(cap.messages - later, bounds.min, bounds.max).astype(np.int16)
        room[who] = np.minimum(room[who], left)
    return room


def too_near(past: Past, keep: Bools, n: int, h: int, gap: int) -> Bools:
    """Return which slots lie less than the gap from a message already sent or pending, (n, h)."""
    near = np.zeros((n, h), bool)
    recent = np.flatnonzero(keep & (past.hours > -gap))
    # A slot's hour is [t, t + 1): the whole of it must lie `gap` away.
    close = (np.arange(h)[None, :] - past.hours[recent][:, None] < gap) & (
        past.hours[recent][:, None] - np.arange(h)[None, :] < gap + 1
    )
    np.logical_or.at(near, past.user[recent], close)
    return near


def lower_for_vendors(
    channels: Sequence[ChannelTerms], vendors: Sequence[str | None], past: Past, keep: Bools, room: Room
) -> None:
    """Lower the room, (n, h), of users whose phone maker limits marketing messages a day.

    The lowest limit over the night's channels counts. `vendors` is each user's phone maker, (n,).
    """
    limits: dict[str, int] = {}
    for channel in channels:
        for vendor, most in channel.max_per_vendor_day:
            limits[vendor] = min(most, limits.get(vendor, most))
    n, h = room.shape
    for vendor, most in limits.items():
        rows = np.array([name == vendor for name in vendors], bool)
        if rows.any():
            room[rows] = np.minimum(room[rows], room_for((CapTerms(most, 1),), past, n, h, keep)[rows])


def already_sent(ids: Sequence[str], users: I64, past_user: I64, past_ids: npt.NDArray[np.object_]) -> Bools:
    """Return which users already got, or are about to get, this occurrence, by its key.

    `past_user` and `past_ids` are the campaign's own past messages.
    """
    sent, keys = np.zeros(len(users), bool), set(past_ids.tolist())
    # Only those who ever got one of its messages can have got this one.
    for row in np.flatnonzero(np.isin(users, past_user)).tolist():
        sent[row] = ids[row] in keys
    return sent
