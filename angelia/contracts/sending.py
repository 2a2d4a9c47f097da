"""Contracts of what is sent and what became of it."""

from __future__ import annotations

import pyarrow as pa

from angelia.config import MAX_LEAD_HOURS
from angelia.contracts.core import TIMESTAMP, Column, Dataset
from angelia.contracts.outcomes import GUARANTEES, INTAKE, LEDGER
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
FOLD_DAYS = 14  # for so many nights back, late receipts and events are folded into the figures

F64, I16, I32, I64, U32 = pa.float64(), pa.int16(), pa.int32(), pa.int64(), pa.uint32()


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
        Column(name, I16, meaning, nullable=True, minimum=0, maximum=23)
        for name, meaning in zip(OWN_HOURS, meanings, strict=True)
    )


DISPATCH_MANIFEST = Dataset(
    "dispatch_manifest",
    1,
    "one message to send",
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


def _client() -> Column:
    meaning = "whose API key it came by; angelia.triggers = an event set it off"
    return Column("client", S, meaning, pattern=r"^[A-Za-z0-9_.:-]{1,64}$")


def _intake_id() -> Column:
    return hash_id("intake_id", "the id that the client was given; it begins with its millisecond")


INTAKE_MESSAGES = Dataset(
    "intake_messages",
    1,
    "one message of the intake, as it stands",
    ("intake_id",),
    ("ds", "accept_hour"),
    (
        _intake_id(),
        hash_id("message_id", "once-only key, as in dispatch_intake, ledger and receipts"),
        _client(),
        user_id(),
        campaign_id(),
        Column("class", S, "what the client called it", allowed=("transactional", "marketing")),
        Column("priority", S, "order among what is due", allowed=("high", "medium", "low")),
        Column("channels", pa.list_(S), "the client's order; empty = the campaign's"),
        Column("n_variable_bytes", I32, "size of its variables as JSON", unit="byte", minimum=0),
        Column("accepted_ts", TIMESTAMP, "when it was durable"),
        Column("send_ts", TIMESTAMP, "when it was asked to be sent"),
        Column("expires_ts", TIMESTAMP, "after it it is not sent; null = the campaign's ttl", nullable=True),
        Column("status", S, "how it stood when it was exported", allowed=tuple(INTAKE), words=INTAKE),
        Column("status_ts", TIMESTAMP, "since when"),
    ),
    ("angelia intake export",),
    retention_days=400,
    notes="ds and accept_hour are those of its acceptance; an hour is exported again whenever one of its "
    "messages changed. Neither variables nor keys nor codes are in it. What the database has expired stays "
    "as it was last seen.",
)

INTAKE_STEPS = Dataset(
    "intake_steps",
    1,
    "one step of a message of the intake, once a channel",
    ("intake_id", "step", "channel"),
    ("ds", "accept_hour"),
    (
        _intake_id(),
        Column("step", S, "what became of it: docs/INTAKE.md lists the steps", pattern=NAME),
        Column("channel", S, "channel; null = the step is no channel's", nullable=True, pattern=CHANNEL),
        Column("at_ts", TIMESTAMP, "when"),
        Column("reason", S, "provider code or reason word", nullable=True),
    ),
    ("angelia intake export",),
    retention_days=400,
    notes="Partitioned as intake_messages: the steps of a message stand in the hour it was accepted in.",
)

INTAKE_PENDING = Dataset(
    "intake_pending",
    1,
    "one marketing message of the intake that uses room in the next plan",
    ("message_id",),
    ("ds",),
    (
        hash_id("message_id", "once-only key"),
        user_id(),
        campaign_id(),
        Column("is_sent", pa.bool_(), "it was handed to the worker since ds closed; else it waits"),
        Column("at_ts", TIMESTAMP, "when it was handed over, or is due"),
    ),
    ("angelia intake export",),
    retention_days=30,
    notes="ds is the day that had closed when it was written: the plan of that night counts these against "
    "caps and gaps. What was sent by the end of ds stands in user_pushes.",
)

EXTERNAL_IDS = Dataset(
    "external_ids",
    1,
    "a person's id in another system, for messages that name that one",
    ("namespace", "external_id"),
    ("ds",),
    (
        Column("namespace", S, "the other system", pattern=NAME),
        Column("external_id", S, "the person's id there", pattern=ID, personal=True),
        user_id(),
        Column("linked_ts", TIMESTAMP, "since when it is this person's; of two words the later holds"),
    ),
    ("angelia import",),
    retention_days=30,
    notes="`angelia intake export` takes the newest snapshot into the intake's database.",
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
    ("angelia deliver",),
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
    ("angelia catalog canary",),
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


def _number_of(name: str, meaning: str) -> Column:
    return Column(name, I64, meaning, minimum=0)


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
    Column("device_vendor", S, "phone maker; null = unknown", nullable=True),
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
        _number_of("n_pairs", "people who could be told, once per campaign"),
        _number_of("n_planned", "messages planned"),
        _number_of("n_sent", "messages accepted, or ambiguous, which counts as sent"),
        _number_of("n_delivered", "messages with a delivery report"),
        _number_of("n_displayed", "messages with a report that they were shown"),
        _number_of("n_bounced", "messages that bounced"),
        _number_of("n_opened", "direct opens: tapped by a person within 24 h of the send"),
        _number_of("n_influenced", "not tapped, and credited with an opening of the app"),
        _number_of("n_conversions", "conversion events credited to these messages by last touch"),
        Column("conversion_value", F64, "sum of those events' values"),
        _number_of("n_unsubscribed", "messages answered by an opt-out, complaints included"),
        _number_of("n_complained", "messages answered by a complaint"),
        _number_of(
            "n_pairs_converted", "pairs whose person converted in the night's window, credited or not"
        ),
        Column("pair_value", F64, "sum of those persons' conversion values"),
    ),
    ("angelia effects mart",),
    notes=(
        "Every figure is a sum: leave dimensions out by adding up. Credited conversions are counted once "
        "over all campaigns; pairs of one person stand in several campaigns. Meta: how complete the night is."
    ),
)

_USAGE = (
    _client(),
    campaign_id(),
    Column("template_id", S, "template; null = not handed to the worker", nullable=True, pattern=NAME),
    Column("channel", S, "its last channel; null = none", nullable=True, pattern=CHANNEL),
    Column("class", S, "what the client called it", allowed=("transactional", "marketing")),
    Column("priority", S, "order among what is due", allowed=("high", "medium", "low")),
)

INTAKE_USAGE = Dataset(
    "intake_usage",
    1,
    "plan day x client x campaign x template x channel x class x priority",
    tuple(column.name for column in _USAGE),
    ("ds",),
    (
        *_USAGE,
        _number_of("n_messages", "messages accepted in the plan's 24 hours"),
        _number_of("n_variable_bytes", "size of their variables as JSON"),
        _number_of("n_waiting", "messages whose end is not known yet"),
        _number_of("n_sent", "messages that a provider took, or whose answer is unknown"),
        _number_of("n_not_sent", "messages refused by the night's rules, or failed"),
        _number_of("n_withdrawn", "messages cancelled by their client, or expired"),
        _number_of("n_delivered", "messages with a delivery report"),
        _number_of("n_opened", "messages that were opened"),
        _number_of("n_queued", "messages handed to the worker"),
        _number_of("queued_after_ms", "sum of their milliseconds from send_ts on until then"),
    ),
    ("angelia report",),
    notes="Every figure is a sum: leave dimensions out by adding up. The hours are those of the plan of ds.",
)

OF_INTAKE = (DISPATCH_INTAKE, INTAKE_MESSAGES, INTAKE_STEPS, INTAKE_PENDING, EXTERNAL_IDS, INTAKE_USAGE)
