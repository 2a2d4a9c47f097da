"""What earlier messages leave room for: caps, gaps, phone makers, once-only keys.

Grain: user x slot. Reads nothing, writes nothing. Hours are relative to the plan's start, so those of earlier
messages lie below 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from angelia.planning.problem import I64, Bools
from angelia.planning.terms import CapTerms, ChannelTerms

F64 = npt.NDArray[np.float64]
Room = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Past:
    """Messages already sent or pending, by user row.

    `hours` are relative to the plan's start, `message_id` is the once-only key. `channel` is null where it is
    not known yet; None: of none. Millions of texts stay Arrow's.
    """

    user: I64
    campaign: pa.StringArray
    hours: F64
    message_id: pa.StringArray
    channel: pa.StringArray | None = None

    def numbers(self, names: Sequence[str]) -> I64:
        """Return each message's campaign among some names, -1 = another, (m,)."""
        number = pc.index_in(self.campaign, value_set=pa.array(names, pa.string()))
        return np.asarray(pc.fill_null(number, -1).to_numpy(), np.int64)


def room_for(
    caps: Sequence[CapTerms], past: Past, n_users: int, n_slots: int, keep: Bools | None = None
) -> Room:
    """Return how many messages the caps leave each user at each slot, (n, h).

    Windows slide and are read at the slot's first instant.
    """
    bounds = np.iinfo(np.int16)
    room = np.full((n_users, n_slots), min([bounds.max, *(cap.messages for cap in caps)]), np.int16)
    user, hours = (past.user, past.hours) if keep is None else (past.user[keep], past.hours[keep])
    has_past = np.zeros(n_users, bool)  # the others' room is what the caps say
    has_past[user] = True
    who, row = np.flatnonzero(has_past), (np.cumsum(has_past) - 1)[user]
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
    h = room.shape[1]
    for vendor, most in limits.items():
        rows = np.array([name == vendor for name in vendors], bool)
        if rows.any():
            own, place = keep & rows[past.user], np.cumsum(rows) - 1
            theirs = replace(past, user=place[past.user])
            room[rows] = np.minimum(
                room[rows], room_for((CapTerms(most, 1),), theirs, int(rows.sum()), h, own)
            )


def already_sent(ids: Sequence[str], users: I64, past_user: I64, past_ids: pa.StringArray) -> Bools:
    """Return which users already got, or are about to get, this occurrence, by its key.

    `past_user` and `past_ids` are the campaign's own past messages.
    """
    sent = np.zeros(len(users), bool)
    # Only those who ever got one of its messages can have got this one.
    had = np.zeros(max(users.max(initial=-1), past_user.max(initial=-1)) + 1, bool)
    had[past_user] = True
    rows = np.flatnonzero(had[users])
    asked = pa.array([ids[row] for row in rows.tolist()], pa.string())
    sent[rows] = pc.is_in(asked, value_set=past_ids).to_numpy(zero_copy_only=False)
    return sent
