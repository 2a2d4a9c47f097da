"""Contracts of what is sent and what became of it."""

from __future__ import annotations

import pyarrow as pa

from angelia.config import MAX_LEAD_HOURS
from angelia.contracts.core import TIMESTAMP, Column, Dataset
from angelia.contracts.outcomes import GUARANTEES, LEDGER
from angelia.contracts.sources import (
    ADDRESS,
    CHANNEL,
    ID,
    NAME,
    S,
    campaign_id,
    channel,
    hash_id,
    material_id,
    user_id,
)

Micros = int  # microseconds since 1970 UTC

PLAN_HOURS = 24  # a plan is for so many hours
MAX_TTL_HOURS = (
    72  # for so long after its slot a transactional message is tried; marketing's windows are shorter
)
# So many days, its own the first, a plan of day D may have something to send: delivery looks back over them,
# and `lake expire` keeps what they need.
PLAN_LIFE_DAYS = -(-(MAX_LEAD_HOURS + PLAN_HOURS + MAX_TTL_HOURS) // 24)
# Callbacks tell of the last days only. So many days, its own the first, a message of plan D may be answered:
# folding looks its manifests through, and `lake expire` keeps them.
ANSWER_DAYS = 8
ANSWERED_DAYS = ANSWER_DAYS + PLAN_LIFE_DAYS - 1
# Which of a person's devices on the channel a campaign's message goes to; at most so many for `all`.
NEWEST, BEST, ALL = "newest", "best", "all"
MOST_DEVICES = 10
FOLD_DAYS = 14  # for so many nights back, late receipts and events are folded into the figures

F64, I16, I32, I64, U32 = pa.float64(), pa.int16(), pa.int32(), pa.int64(), pa.uint32()


def burst_of(per_minute: float) -> float:
    """Return how many messages may leave at once, so that no sliding minute exceeds its limit."""
    return max(1.0, per_minute / 600)


def steady_per_minute(per_minute: float, workers: int = 1) -> float:
    """Return what a limit a minute lets pass minute after minute.

    A sliding minute can hold a full burst and a minute of refill; together they are the limit. Workers share
    it evenly, and each has a burst of its own, of one message at the least.
    """
    own = per_minute / workers
    return workers * max(own - burst_of(own), own / 2)


def ordinal() -> Column:
    """Return the dense user number column."""
    return Column("ordinal", U32, "stable dense number of the user; shard = ordinal >> shard_bits")


OWN_HOURS = ("quiet_start", "quiet_end")


def own_hours() -> tuple[Column, ...]:
    """Return the columns of a person's own quiet hours."""
    meanings = (
        "first quiet local hour of their own; null = none",
        "first local hour after their own quiet ones",
    )
    return tuple(
        Column(name, I16, meaning, nullable=True, optional=True, minimum=0, maximum=23)
        for name, meaning in zip(OWN_HOURS, meanings, strict=True)
    )


DISPATCH_MANIFEST = Dataset(
    "dispatch_manifest",
    1,
    "one message to send to one address",
    ("dispatch_id",),
    ("ds",),
    (
        hash_id("dispatch_id", "one attempt at one address"),
        hash_id("message_id", "once-only key"),
        user_id(),
        ordinal(),
        campaign_id(),
        Column("occurrence", S, "occurrence of the campaign", pattern=r"^[A-Za-z0-9_.:-]{1,64}$"),
        material_id(),
        Column("topic", S, "topic the person may refuse", pattern=NAME),
        channel(),
        Column(
            "address",
            S,
            "device token, phone number or mail address",
            personal=True,
            pattern=ADDRESS,
        ),
        Column("template_id", S, "template in the catalog", pattern=NAME),
        Column("template_version", I32, "its version", minimum=1),
        Column("fields", S, "template variables, a JSON object of strings and numbers", personal=True),
        Column("locale", S, "language tag for the variant", nullable=True),
        Column("priority", S, "order within a channel", allowed=("high", "medium", "low")),
        Column(
            "guarantee",
            S,
            "marketing: at most once; transactional: at least once",
            allowed=tuple(GUARANTEES),
            words=GUARANTEES,
        ),
        Column("send_ts", TIMESTAMP, "planned instant"),
        Column("not_before", TIMESTAMP, "window opens"),
        Column("not_after", TIMESTAMP, "window closes (exclusive)"),
        Column("timezone", S, "IANA timezone for quiet hours"),
        Column(
            "quiet_start", I16, "first quiet local hour; null = none", nullable=True, minimum=0, maximum=23
        ),
        Column("quiet_end", I16, "first local hour after quiet", nullable=True, minimum=0, maximum=23),
        Column(
            "collapse_key", S, "messages with the same key replace each other on the phone", nullable=True
        ),
        Column("ttl_s", I32, "time to live at the provider", unit="s", minimum=0, maximum=2419200),
        Column(
            "material_propensity",
            F64,
            "probability of the drawn material",
            minimum=0,
            maximum=1,
            nullable=True,
        ),
        Column(
            "slot_propensity",
            F64,
            "probability of the drawn slot; null = chosen, not drawn",
            minimum=0,
            maximum=1,
            nullable=True,
        ),
    ),
    ("emit_manifests",),
    layout=("send_hour", "channel", "priority", "part"),
    retention_days=30,
    notes=(
        "One commit per ds; file paths carry "
        "send_hour=2026-11-15T04/channel=fcm/priority=high/part-0000.parquet, rows sorted by dispatch_id."
    ),
)

INBOX_DAYS = 30  # so long a message may stand in an inbox

INBOX_MESSAGES = Dataset(
    "inbox_messages",
    1,
    "one message in a person's inbox",
    ("dispatch_id",),
    ("ds", "part"),
    (
        hash_id("dispatch_id", "one attempt at one address; shown once however often it came"),
        user_id(),
        channel(),
        Column("title", S, "what is shown first", personal=True),
        Column("body", S, "text", personal=True),
        Column("link", S, "where it leads", nullable=True, personal=True),
        Column("collapse_key", S, "of several with one key the newest is shown", nullable=True),
        Column("stored_ts", TIMESTAMP, "when it was kept"),
        Column("expires_ts", TIMESTAMP, "from when on it is not shown"),
    ),
    ("angelia receive",),
    retention_days=INBOX_DAYS,
    notes="ds is the UTC day it was kept; a part is the messages that came at once. Whether a person saw or "
    "opened one stands in push_receipts.",
)

DISPATCH_FALLOVER = Dataset(
    "dispatch_fallover",
    1,
    "one message to send through another channel",
    ("dispatch_id",),
    ("ds", "send_hour", "part"),
    DISPATCH_MANIFEST.columns,
    ("angelia deliver",),
    layout=DISPATCH_MANIFEST.layout,
    retention_days=30,
    notes="Rows of dispatch_manifest whose address was no use, readdressed to their campaign's next "
    "channel; part = where they were. message_id "
    "stays, dispatch_id is new. Sent by the next `angelia deliver`, in the window they had.",
)

DISPATCH_INTAKE = Dataset(
    "dispatch_intake",
    1,
    "one message of the intake to send",
    ("dispatch_id",),
    ("ds", "send_hour", "part"),
    DISPATCH_MANIFEST.columns,
    ("angelia intake dispatch",),
    layout=DISPATCH_MANIFEST.layout,
    retention_days=30,
    notes="Rows as dispatch_manifest has them, of messages that came by REST; part = the dispatcher's batch, "
    "which is sealed to one commit before it is sent. ds is the plan day whose 24 hours the batch falls in; "
    "occurrence = `intake-` and the message's id there.",
)


DELIVERY_LEDGER = Dataset(
    "delivery_ledger",
    1,
    "one dispatch and its outcome",
    ("dispatch_id",),
    ("ds", "send_hour", "part"),
    (
        hash_id("dispatch_id", "one attempt at one address"),
        hash_id("message_id", "once-only key"),
        user_id(),
        campaign_id(),
        material_id(),
        channel(),
        Column("outcome", S, "what happened", allowed=tuple(LEDGER), words=LEDGER),
        Column("reason", S, "provider code or reason word", nullable=True),
        Column("provider_id", S, "id the provider gave", nullable=True),
        Column("sent_ts", TIMESTAMP, "when the request began; null = none", nullable=True),
        Column("n_attempts", I16, "requests made", minimum=0),
        Column("payload_sha256", S, "hash of the rendered payload; null = not rendered", nullable=True),
    ),
    ("angelia deliver", "angelia intake dispatch"),
    retention_days=400,  # no address is in it, and people unsubscribe from mails of last year
)


CANARY_CHOICES = Dataset(
    "canary_choices",
    1,
    "one entry: a person passed or failed a campaign's canary of one night",
    ("entry_id",),
    ("log",),
    (
        Column("entry_id", S, "id of the entry", pattern=ID),
        campaign_id(),
        Column("night", S, "plan day D"),
        Column("action", S, "what was decided", allowed=("pass", "fail")),
        Column("at_ts", TIMESTAMP, "when"),
        Column("actor", S, "who"),
        Column("reason", S, "why"),
    ),
    ("angelia catalog canary", "the console"),
    notes="Append-only; the newest entry of a campaign and night holds, over what the canary's messages say.",
)


CHANNEL_CHANGES = Dataset(
    "channel_changes",
    1,
    "one entry: a channel's document as an apply left it",
    ("entry_id",),
    ("log",),
    (
        Column("entry_id", S, "id of the entry", pattern=ID),
        channel(),
        Column("version", I32, "version in the catalog", minimum=1),
        Column("body", S, "the document as JSON; null = removed", nullable=True),
        Column("at_ts", TIMESTAMP, "when"),
    ),
    ("angelia catalog apply",),
    notes="Append-only; running workers obey a version above that of their plan's snapshot.",
)

CATALOG_LOGS = (CANARY_CHOICES, CHANNEL_CHANGES)


def number_of(name: str, meaning: str) -> Column:
    """Return the column of a figure that may be added up."""
    return Column(name, I64, meaning, minimum=0)


def device_vendor() -> Column:
    """Return the column of phone makers by which figures are told apart."""
    return Column("device_vendor", S, "phone maker; null = unknown", nullable=True)


_CELL = (
    Column("night", S, "plan day D (ds), so that many nights may be read together"),
    campaign_id(),
    Column("audience", S, "the campaign's audience", nullable=True),
    Column(
        "side",
        S,
        "what a hash decided before planning",
        allowed=("treated", "holdout_global", "holdout_campaign"),
    ),
    Column("arm", S, "arm of the campaign's experiment; null = no experiment", nullable=True),
    material_id(nullable=True),
    Column("channel", S, "channel it went through; null = not planned", nullable=True, pattern=CHANNEL),
    device_vendor(),
    Column("country", S, "ISO 3166-1 alpha-2 country; null = unknown", nullable=True),
    Column("tenure", S, "new: signed up within 28 days", allowed=("new", "known", "unknown")),
    Column("send_hour", TIMESTAMP, "UTC hour it was sent, or planned; null = not planned", nullable=True),
)

EFFECTS_MART = Dataset(
    "effects_mart",
    1,
    "night x campaign x side x arm x material x channel x vendor x country x tenure x hour",
    tuple(column.name for column in _CELL),
    ("ds",),
    (
        *_CELL,
        number_of("n_pairs", "people who could be told, once per campaign"),
        number_of("n_planned", "messages planned"),
        number_of("n_sent", "messages accepted, or ambiguous, which counts as sent"),
        number_of("n_delivered", "messages with a delivery report"),
        number_of("n_displayed", "messages with a report that they were shown"),
        number_of("n_bounced", "messages that bounced"),
        number_of("n_opened", "direct opens: tapped by a person within 24 h of the send"),
        number_of("n_influenced", "not tapped, and credited with an opening of the app"),
        number_of("n_conversions", "conversion events credited to these messages by last touch"),
        Column("conversion_value", F64, "sum of those events' values"),
        number_of("n_unsubscribed", "messages answered by an opt-out, complaints included"),
        number_of("n_complained", "messages answered by a complaint"),
        number_of("n_pairs_converted", "pairs whose person converted in the night's window, credited or not"),
        Column("pair_value", F64, "sum of those persons' conversion values"),
    ),
    ("angelia effects mart",),
    notes=(
        "Every figure is a sum: leave dimensions out by adding up. Credited conversions are counted once "
        "over all campaigns; pairs of one person stand in several campaigns. Meta: how complete the night is."
    ),
)
