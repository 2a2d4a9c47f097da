"""People's addresses and what is known of the device behind each.

Surprise: `app_version` and `permission` are optional. A source without them, or a file of version 1, reads as
if every one of them were null, which means unknown and counts as allowed.
"""

from __future__ import annotations

import pyarrow as pa

from angelia.contracts.core import TIMESTAMP, Column, Dataset, Severity
from angelia.contracts.sending import device_vendor, number_of
from angelia.contracts.sources import ADDRESS, channel, user_id

S = pa.string()
APP_VERSION = r"^[0-9A-Za-z][0-9A-Za-z._+-]{0,31}$"
ALLOWED, DENIED = "allowed", "denied"
PERMISSIONS = (ALLOWED, DENIED, "unknown")
# Of a person's devices on a channel the newest has the largest of these. The address decides between two of
# one instant, so that the night, fall-over and the intake choose the same.
NEWEST_BY = ("registered_ts", "address")

USER_ENDPOINTS = Dataset(
    "user_endpoints",
    2,
    "user x channel address",
    ("user_id", "channel", "address"),
    ("ds",),
    (
        user_id(tolerated_pct=1.0),
        channel(),
        Column(
            "address",
            S,
            "device token, phone number or mail address",
            personal=True,
            pattern=ADDRESS,
            tolerated_pct=1.0,
        ),
        Column("registered_ts", TIMESTAMP, "when this address was registered or last confirmed"),
        Column("is_active", pa.bool_(), "false once the provider said the address is gone"),
        Column(
            "app_version",
            S,
            "version of the app on the device; null = unknown, or no app",
            nullable=True,
            optional=True,
            pattern=APP_VERSION,
            tolerated_pct=1.0,
            severity=Severity.WARNING,
        ),
        Column(
            "permission",
            S,
            "whether the device shows the app's notifications; null = unknown",
            nullable=True,
            optional=True,
            allowed=PERMISSIONS,
            tolerated_pct=1.0,
        ),
    ),
    ("outside", "angelia world create", "angelia import"),
    key_tolerated_pct=1.0,
    day_column="registered_ts",
    day_tolerated_pct=1.0,
    min_rows=1,
    retention_days=30,
    notes="Files of version 1 have no app_version and no permission; a source need not have them.",
)

REGISTERED_ADDRESSES = Dataset(
    "registered_addresses",
    2,
    "what a client said once of an address of a person",
    ("user_id", "channel", "address", "registered_ts"),
    ("log",),
    tuple(user_id() if column.name == "user_id" else column for column in USER_ENDPOINTS.columns),
    ("angelia intake export", "angelia receive"),
    notes="Append-only: one leaf, log=0; read all of them. They count beside user_endpoints, and of "
    "two entries on an address the later holds; is_active=false: the person has it no more. `lake expire` "
    "leaves out entries that were superseded 30 days ago.",
)

_GROUP = (
    channel(),
    device_vendor(),
    Column("app_version", S, "version of the app; null = unknown", nullable=True),
    Column("permission", S, "as the devices say", allowed=PERMISSIONS),
)

REACH = Dataset(
    "reach",
    1,
    "channel x vendor x app version x permission",
    tuple(column.name for column in _GROUP),
    ("ds",),
    (
        *_GROUP,
        number_of("n_people", "people with such a device"),
        number_of("n_devices", "addresses that are active, as sources and clients name them"),
        number_of("n_accepted", "the night's messages that a provider took"),
        number_of("n_delivered", "of these, messages with a delivery report"),
        number_of("n_displayed", "of these, messages that a phone says it showed"),
        number_of("n_opened", "of these, messages opened within 24 h"),
    ),
    ("angelia report",),
    notes="Figures of messages and devices add up; people may stand in several rows, once in each.",
)

OF_DEVICES = (USER_ENDPOINTS, REGISTERED_ADDRESSES, REACH)
