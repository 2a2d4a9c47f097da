"""What was sent before, or is pending, and what it leaves room for tonight.

Public face: `Past` (the messages), `room_for` (what caps leave), `too_near` (slots within the gap),
    `lower_for_vendors` (phone makers' limits), `DeviceRoom` (limits a device and class), `already_sent`
    (once-only keys), `add_pending` (what the intake is to send). Pure functions on arrays.
"""

from angelia.planning.before.devices import DeviceRoom
from angelia.planning.before.pending import add_pending
from angelia.planning.before.room import Past, Room, already_sent, lower_for_vendors, room_for, too_near

__all__ = [
    "DeviceRoom",
    "Past",
    "Room",
    "add_pending",
    "already_sent",
    "lower_for_vendors",
    "room_for",
    "too_near",
]
