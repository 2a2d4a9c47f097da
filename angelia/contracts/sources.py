"""Contracts of what comes from the outside (or from `angelia world` and `angelia import`)."""

from __future__ import annotations

import pyarrow as pa

from angelia.contracts.core import TIMESTAMP, TIMEZONE_RULE, Column, Dataset, Severity
from angelia.contracts.outcomes import LEDGER

# What stands in ids of real systems: mail addresses, phone numbers, base64, auth0|x, {GUID}, a/b. Left out
# is what would need care in a table or a log: blanks, quotes, commas, backslashes, control characters.
ID = r"^[A-Za-z0-9_.:@+|/{}#=~-]{1,64}$"
# Of that form, and surely no person's: what programs write where there is none. Case counts: `none`, `NA` and
# `Nan` may be somebody's.
MISSING_IDS = ("null", "Null", "NULL", "None", "nan", "NaN", "undefined", "N/A", "n/a", "#N/A")
MISSING_ID = "a word for a missing value, such as null; write the person's id"
LOCALE = r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$"  # of BCP 47: language, script, region
# Of a choice: a topic, a channel, a language, or quiet hours such as 22-8.
CHOSEN = r"^([a-z][a-z0-9_]{0,63}|[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?|[0-9]{1,2}-[0-9]{1,2})$"
NAME = r"^[a-z][a-z0-9_]{0,63}$"
_ADDRESS_LETTER, ADDRESS_CHARS = r"[^\x00-\x1f\x7f]", 4_096
# Of any channel; transport.addresses knows their shapes.
ADDRESS = rf"^{_ADDRESS_LETTER}{{1,{ADDRESS_CHARS}}}$"
# The same with a letter that importing does not take for a blank; its length is bounded beside the pattern.
FILLED_ADDRESS = rf"^{_ADDRESS_LETTER}*[^\x00-\x20\x7f\xa0\ufeff]{_ADDRESS_LETTER}*$"
# The channels every installation knows: the hourly DAG has a pool for each, and an address of each has its
# own shape. A catalog may name any other; those share the pool `deliver_other`.
CHANNELS = ("fcm", "apns", "webpush", "sms", "email", "webhook")
CHANNEL = r"^[a-z][a-z0-9_]{0,31}$"
OTHER = "other"  # names the pool and the tasks of all other channels
S = pa.string()


def user_id(tolerated_pct: float = 0.0) -> Column:
    """Return the user id column, the same in every dataset."""
    return Column(
        "user_id",
        S,
        "stable id of a person in the source systems",
        pattern=ID,
        personal=True,
        tolerated_pct=tolerated_pct,
    )


def campaign_id() -> Column:
    """Return the campaign id column."""
    return Column("campaign_id", S, "campaign in the catalog", pattern=NAME)


def material_id(nullable: bool = False) -> Column:
    """Return the material id column."""
    return Column(
        "material_id", S, "material (content variant) in the catalog", pattern=NAME, nullable=nullable
    )


def channel() -> Column:
    """Return the channel column."""
    return Column("channel", S, "channel of the catalog that the message goes through", pattern=CHANNEL)


def hash_id(name: str, meaning: str, nullable: bool = False) -> Column:
    """Return a 32-hex-digit id column (message_id, dispatch_id)."""
    return Column(name, S, meaning, pattern=r"^[0-9a-f]{32}$", nullable=nullable)


USER_PROFILES = Dataset(
    "user_profiles",
    1,
    "user",
    ("user_id",),
    ("ds",),
    (
        user_id(tolerated_pct=1.0),
        Column(
            "gender", S, "self-declared gender", nullable=True, allowed=("f", "m", "x"), tolerated_pct=1.0
        ),
        # Warnings: a bad value here becomes null, so an audience loses the person; it never gains a wrong
        # one.
        Column(
            "birth_year",
            pa.int16(),
            "year of birth",
            unit="year",
            nullable=True,
            minimum=1900,
            maximum=2020,
            tolerated_pct=1.0,
            severity=Severity.WARNING,
        ),
        Column(
            "country",
            S,
            "ISO 3166-1 alpha-2 country",
            nullable=True,
            pattern=r"^[A-Z]{2}$",
            tolerated_pct=1.0,
        ),
        Column("province", S, "first-level region, lower case", nullable=True),
        Column(
            "locale",
            S,
            "BCP 47 language tag",
            nullable=True,
            pattern=LOCALE,
            tolerated_pct=1.0,
        ),
        Column(
            "timezone",
            S,
            "IANA timezone; null or unknown falls back to the default and is counted",
            nullable=True,
            rule=TIMEZONE_RULE,
            max_null_pct=10.0,
            tolerated_pct=5.0,
        ),
        Column("signup_ts", TIMESTAMP, "when the account was made", nullable=True),
        Column(
            "device_vendor",
            S,
            "phone maker, lower case; vendors limit marketing messages a day",
            nullable=True,
        ),
        Column(
            "membership_level",
            pa.int16(),
            "loyalty level, 0 = none",
            minimum=0,
            maximum=9,
            nullable=True,
            tolerated_pct=1.0,
            severity=Severity.WARNING,
        ),
        Column("tags", pa.list_(S), "interest and life-cycle tags, lower case", nullable=True),
    ),
    ("outside", "angelia world create", "angelia import"),
    key_tolerated_pct=1.0,
    day_column="signup_ts",
    day_tolerated_pct=1.0,
    min_rows=1,
)

USER_PREFERENCES = Dataset(
    "user_preferences",
    1,
    "user x topic or channel",
    ("user_id", "kind", "name"),
    ("ds",),
    (
        user_id(tolerated_pct=1.0),
        Column("kind", S, "what is allowed or refused", allowed=("topic", "channel")),
        Column("name", S, "topic or channel name", pattern=NAME),
        Column("is_opted_in", pa.bool_(), "false = must not be contacted about or through it"),
        Column("updated_ts", TIMESTAMP, "when the person last said so"),
    ),
    ("outside", "angelia world create", "angelia import"),
    key_tolerated_pct=1.0,
    day_column="updated_ts",
    day_tolerated_pct=1.0,
)

PREFERENCE_CHOICES = Dataset(
    "preference_choices",
    1,
    "one choice of a person: a topic, a channel, a language, or quiet hours",
    ("user_id", "kind", "name", "updated_ts"),
    ("log",),
    (
        user_id(),
        Column(
            "kind",
            S,
            "what is chosen",
            allowed=("topic", "channel", "language", "quiet_hours"),
        ),
        Column("name", S, "topic, channel, language tag, or local hours such as 22-8", pattern=CHOSEN),
        Column(
            "is_opted_in", pa.bool_(), "false = not wanted; of language and hours: the choice is taken back"
        ),
        Column("updated_ts", TIMESTAMP, "when the person last said so"),
    ),
    ("angelia receive", "angelia intake serve"),
    notes="Append-only: one leaf, log=0, one commit a visit; read all of them. The night reads them beside "
    "user_preferences, and the later word holds. A channel's refusal stands in suppressions, too, at once. "
    "Of languages and of hours a person has one, the newest. `lake expire` leaves out choices that were "
    "superseded 30 days ago.",
)

USER_EVENTS = Dataset(
    "user_events",
    1,
    "one app event",
    ("event_id",),
    ("ds",),
    (
        Column("event_id", S, "id given by the source", pattern=ID, tolerated_pct=1.0),
        user_id(tolerated_pct=1.0),
        Column(
            "event_type", S, "what happened: open, view, cart, purchase, ...", pattern=NAME, tolerated_pct=1.0
        ),
        Column("item", S, "item or category it happened to", nullable=True, pattern=NAME, tolerated_pct=1.0),
        Column(
            "value",
            pa.float64(),
            "amount of money, or another quantity",
            nullable=True,
            minimum=-1e9,
            maximum=1e9,
            tolerated_pct=1.0,
        ),
        Column("event_ts", TIMESTAMP, "when it happened"),
    ),
    ("outside", "angelia world create", "angelia import"),
    key_tolerated_pct=1.0,
    day_column="event_ts",
    late_days=3,
    day_tolerated_pct=1.0,
    notes="Partitioned by the day of arrival: an event may be up to three days late.",
)

PUSH_HISTORY = Dataset(
    "push_history",
    1,
    "one past push",
    ("message_id",),
    ("ds",),
    (
        hash_id("message_id", "once-only key of the message"),
        user_id(),
        campaign_id(),
        material_id(),
        channel(),
        Column("sent_ts", TIMESTAMP, "when it was sent"),
        Column(
            "slot_propensity",
            pa.float64(),
            "probability with which the logging policy drew this UTC hour; null = unknown",
            nullable=True,
            minimum=0.0,
            maximum=1.0,
        ),
        Column(
            "material_propensity",
            pa.float64(),
            "probability with which the logging policy drew this material; null = unknown",
            nullable=True,
            minimum=0.0,
            maximum=1.0,
        ),
        Column("opened_ts", TIMESTAMP, "when it was opened; null = not opened", nullable=True),
    ),
    ("angelia world create", "angelia import"),
    day_column="sent_ts",
    late_days=0,
    notes="ds is the UTC day it was sent. opened_ts may lie on the next day.",
)

RECEIPT_KINDS = (*LEDGER, "delivered", "displayed", "opened", "bounced", "unsubscribed")

PUSH_RECEIPTS = Dataset(
    "push_receipts",
    1,
    "one receipt of one dispatch",
    ("receipt_id",),
    ("ds", "source", "part"),
    (
        Column(
            "receipt_id",
            S,
            "provider's or sender's id of this receipt; the idempotency key",
            pattern=r"^[^\x00-\x1f\x7f]{1,256}$",
        ),
        hash_id("dispatch_id", "attempt it answers"),
        hash_id("message_id", "message it answers"),
        user_id(),
        campaign_id(),
        material_id(),
        channel(),
        Column("kind", S, "what the receipt says", allowed=RECEIPT_KINDS),
        Column("receipt_ts", TIMESTAMP, "when it happened at the provider or phone"),
        Column(
            "sent_ts", TIMESTAMP, "when the message it answers was sent; null = never sent", nullable=True
        ),
        Column("reason", S, "provider code or reason word", nullable=True),
    ),
    (
        "angelia deliver",
        "angelia intake dispatch",
        "angelia receive",
        "angelia world respond",
        "angelia import",
    ),
    notes="ds is the plan day D whose manifest the dispatch came from, so a night for D+1 reads ds <= D.",
)

SUPPRESSIONS = Dataset(
    "suppressions",
    1,
    "one entry: a person or address not to be contacted",
    ("entry_id",),
    ("log",),
    (
        Column("entry_id", S, "id of the entry", pattern=ID),
        user_id(),
        Column("channel", S, "channel it holds for; null = all", nullable=True, pattern=CHANNEL),
        Column("address_hash", S, "keyed hash of the address; null = every address", nullable=True),
        Column("since_ts", TIMESTAMP, "from when on"),
        Column("reason", S, "unsubscribed, complaint, gone, erased, operator; opted_in opens again"),
    ),
    (
        "angelia receive",
        "angelia deliver",
        "angelia intake dispatch",
        "angelia lake erase",
        "build_features",
        "the console",
    ),
    notes=(
        "Append-only: one leaf, log=0, one commit an entry; read all of them. Delivery re-reads it at "
        "most 10 s before a send."
    ),
)

EXPERIMENT_ASSIGNMENTS = Dataset(
    "experiment_assignments",
    1,
    "person of an experiment that was run elsewhere",
    ("experiment", "user_id"),
    ("ds", "source", "part"),
    (
        Column("experiment", S, "name of the experiment", pattern=NAME),
        user_id(),
        Column("arm", S, "arm the person was assigned to", pattern=NAME),
        Column("assigned_ts", TIMESTAMP, "when; what happened before is history"),
    ),
    ("angelia import",),
    day_column="assigned_ts",
    late_days=0,
    notes="What came of it are user_events. Read out by `angelia effects experiment`.",
)

STOPS = Dataset(
    "stops",
    2,
    "one entry: a campaign stopped or resumed, or paused on one channel",
    ("entry_id",),
    ("log",),
    (
        Column("entry_id", S, "id of the entry", pattern=ID),
        campaign_id(),
        Column("action", S, "what was asked", allowed=("stop", "resume")),
        Column("at_ts", TIMESTAMP, "when"),
        Column("actor", S, "who"),
        Column("reason", S, "why", nullable=True),
        Column("channel", S, "channel it holds for; null = all", nullable=True, pattern=CHANNEL),
    ),
    ("angelia catalog stop", "angelia catalog resume", "the console"),
    notes=(
        "Append-only; the newest entry of a campaign and channel holds. Entries of version 1 have no channel."
    ),
)

SOURCES = (
    USER_PROFILES,
    USER_PREFERENCES,
    PREFERENCE_CHOICES,
    USER_EVENTS,
    PUSH_HISTORY,
    PUSH_RECEIPTS,
    SUPPRESSIONS,
    EXPERIMENT_ASSIGNMENTS,
    STOPS,
)
__all__ = [
    "CHANNEL", "CHANNELS", "ID", "LOCALE", "NAME", "OTHER", "RECEIPT_KINDS", "SOURCES", "Severity",
    "campaign_id", "channel", "hash_id", "material_id", "user_id",
]  # fmt: skip
