"""Contracts of what the night itself writes.

`selecting` and `sending` hold the datasets of those two steps.
"""

from __future__ import annotations

import pyarrow as pa

from angelia.contracts.core import CHAIN, TIMESTAMP, Column, Dataset
from angelia.contracts.intake.asked import OF_INTAKE
from angelia.contracts.outcomes import DECIDED
from angelia.contracts.selecting import (
    AUDIENCE_MEMBERS,
    BITMAP_DAYS,
    BITMAP_INDEX,
    HOLDOUT_MEMBERS,
    USER_LISTS,
)
from angelia.contracts.sending import (
    CATALOG_LOGS,
    DELIVERY_LEDGER,
    DISPATCH_FALLOVER,
    DISPATCH_INTAKE,
    DISPATCH_MANIFEST,
    EFFECTS_MART,
    INBOX_MESSAGES,
    ordinal,
    own_hours,
)
from angelia.contracts.sources import NAME, S, campaign_id, channel, hash_id, material_id, user_id

F32, F64, I16, I32, I64, U32 = pa.float32(), pa.float64(), pa.int16(), pa.int32(), pa.int64(), pa.uint32()


def p(name: str, meaning: str, nullable: bool = False) -> Column:
    """Return a probability column."""
    return Column(name, F64, meaning, minimum=0.0, maximum=1.0, nullable=nullable)


USER_INDEX = Dataset(
    "user_index",
    1,
    "user",
    ("user_id",),
    ("chain",),
    (user_id(), ordinal()),
    ("index_users",),
    notes=(
        f"One append-only chain (chain={CHAIN}): every commit adds users and lists all earlier files. Meta: "
        "shard_bits, n_users."
    ),
)

USER_DAYS = Dataset(
    "user_days",
    1,
    "user x day x event type x item",
    ("ordinal", "event_type", "item"),
    ("ds",),
    (
        ordinal(),
        Column("event_type", S, "event type", pattern=NAME),
        Column("item", S, "item or category; null = none given", nullable=True),
        Column("n_events", I32, "number of events", minimum=1),
        Column("value_sum", F64, "sum of the events' values (null values count 0)"),
        Column(
            "hours",
            I32,
            "bit h set = at least one event in UTC hour h of the day",
            minimum=0,
            maximum=2**24 - 1,
        ),
    ),
    ("aggregate_days",),
    layout=("shards",),
    notes="ds is the UTC day the events happened (not of arrival).",
)

USER_PUSHES = Dataset(
    "user_pushes",
    1,
    "push x (sent or opened)",
    ("message_id", "kind"),
    ("ds",),
    (
        ordinal(),
        hash_id("message_id", "once-only key of the message"),
        campaign_id(),
        material_id(),
        channel(),
        Column(
            "kind",
            S,
            "sent (accepted, or ambiguous, which counts as sent) or opened",
            allowed=("sent", "opened"),
        ),
        Column("at_ts", TIMESTAMP, "when it was sent, or opened"),
        Column("sent_ts", TIMESTAMP, "when it was sent"),
        Column(
            "slot_propensity",
            F64,
            "probability of the slot under the logging policy; null = unknown",
            nullable=True,
            minimum=0,
            maximum=1,
        ),
        Column(
            "material_propensity",
            F64,
            "probability of the material under the logging policy; null = unknown",
            nullable=True,
            minimum=0,
            maximum=1,
        ),
    ),
    ("aggregate_days",),
    layout=("shards",),
    notes="ds is the UTC day of at_ts; from push_history and push_receipts. See ADR 0003.",
)

USER_FEATURES = Dataset(
    "user_features",
    1,
    "user",
    ("ordinal",),
    ("ds",),
    (
        ordinal(),
        user_id(),
        Column("gender", S, "gender", nullable=True),
        Column("age_years", I16, "age", unit="year", nullable=True, minimum=0, maximum=130),
        Column("country", S, "country", nullable=True),
        Column("province", S, "region", nullable=True),
        Column("locale", S, "language tag: the chosen one, else the profile's", nullable=True),
        Column("timezone", S, "IANA timezone after the fall-back to the default"),
        Column("is_timezone_unknown", pa.bool_(), "the source's timezone was null or no IANA name"),
        Column("device_vendor", S, "phone maker", nullable=True),
        Column("membership_level", I16, "loyalty level", nullable=True),
        Column("tags", pa.list_(S), "tags", nullable=True),
        Column("days_since_signup", I32, "days from signup to ds", unit="day", nullable=True),
        Column("n_events_1d", I32, "events on ds", minimum=0),
        Column("n_events_7d", I32, "events in 7 days", minimum=0),
        Column("n_events_28d", I32, "events in 28 days", minimum=0),
        Column("n_active_days_28d", I32, "days with an event in 28 days", minimum=0, maximum=28),
        Column("n_purchases_28d", I32, "purchases in 28 days", minimum=0),
        Column("value_28d", F64, "sum of purchase values in 28 days"),
        Column(
            "days_since_event",
            I32,
            "days since the last event; null = none in the window",
            unit="day",
            nullable=True,
            minimum=0,
        ),
        Column(
            "days_since_purchase",
            I32,
            "days since the last purchase; null = none",
            unit="day",
            nullable=True,
            minimum=0,
        ),
        Column("n_pushes_7d", I32, "pushes in 7 days", minimum=0),
        Column("n_pushes_28d", I32, "pushes in 28 days", minimum=0),
        Column("n_opens_28d", I32, "opened pushes in 28 days", minimum=0),
        p("open_rate_28d", "opens per push, shrunk to the population's mean"),
        Column(
            "days_since_push",
            I32,
            "days since the last push; null = none",
            unit="day",
            nullable=True,
            minimum=0,
        ),
        Column(
            "uplift_score",
            F64,
            "what a message is predicted to change, by the lift model kept as `uplift_score`; null = none is",
            nullable=True,
            optional=True,
        ),
        Column("channels", pa.list_(S), "channels with an active address and no opt-out"),
        Column("opted_out_topics", pa.list_(S), "topics refused"),
        Column("is_suppressed", pa.bool_(), "suppressed for all channels"),
        *own_hours(),
    ),
    ("build_features",),
    layout=("shards",),
    min_rows=1,
)


CURVE = pa.list_(F32)
USER_HOURS = Dataset(
    "user_hours",
    1,
    "user",
    ("ordinal",),
    ("ds",),
    (
        ordinal(),
        *(
            Column(
                f"hours_{days}d",
                CURVE,
                f"active hours up to ds, halved every {days} days: 24 of workdays, then 24 of days off",
                length=48,
            )
            for days in (14, 56, 365)
        ),
    ),
    ("build_send_times",),
    layout=("shards",),
    notes="One commit a week: what left the window of history_days, at most a year of it at the first.",
)

USER_LOOKS = Dataset(
    "user_looks",
    1,
    "user x category",
    ("ordinal", "item"),
    ("ds",),
    (
        ordinal(),
        Column("item", S, "category of a material", pattern=NAME),
        Column("looks", F32, "hours with a look at it up to ds, halved every 180 days", minimum=0),
        Column("sent", F32, "pushes about it up to ds, halved likewise", nullable=True, optional=True),
        Column("opened", F32, "those that were opened", nullable=True, optional=True),
    ),
    ("score_materials",),
    layout=("shards",),
    notes="One commit a week: what left the window of 28 days, at most a year of it at the first.",
)

SEND_TIMES = Dataset(
    "send_times",
    2,
    "user",
    ("ordinal",),
    ("ds",),
    (
        ordinal(),
        Column("timezone", S, "IANA timezone the curves' hours are in"),
        Column(
            "workday",
            CURVE,
            "24 values: response at a local hour of a workday relative to the user's mean (1 = mean)",
            length=24,
        ),
        Column("day_off", CURVE, "24 values: the same for weekends and holidays", length=24),
        Column("cluster", I16, "row of meta `clusters`; null = too few hours", nullable=True, minimum=0),
        Column("evidence", F32, "effective number of observations behind the user's own curve", minimum=0),
    ),
    ("build_send_times",),
    layout=("shards",),
)

MATERIAL_SCORES = Dataset(
    "material_scores",
    2,
    "user x campaign x material",
    ("ordinal", "campaign_id", "material_id"),
    ("ds",),
    (
        ordinal(),
        campaign_id(),
        material_id(),
        p("p_open", "calibrated probability of an open within 24 h of a push at a mean hour"),
        Column(
            "lift",
            F64,
            "what a message adds to the metric of the campaign's lift model; null = the campaign has none",
            nullable=True,
        ),
    ),
    ("score_materials",),
    layout=("shards",),
    notes="Meta: model version, what its nights tell (`lately`, `shift`), and each campaign's lift model.",
)

DECISION_FIELDS = (
    campaign_id(),
    hash_id("message_id", "once-only key of the message, sent or not"),
    Column("occurrence", S, "occurrence of the campaign that was considered"),
    Column("material_id", S, "material drawn; null = none is valid", nullable=True),
    Column("material_propensity", F64, "probability of the drawn material; null = none drawn", nullable=True),
    Column(
        "eligible",
        pa.binary(),
        "materials the draw chose from, as bits: the first bit of the first byte is the first of the "
        "campaign's `materials` in the commit's meta; null = none, or a plan of before this was kept",
        nullable=True,
    ),
    Column("slot", TIMESTAMP, "first instant of the hour it is sent in; null = not sent", nullable=True),
    Column("slot_propensity", F64, "probability of the drawn slot; null = chosen, not drawn", nullable=True),
    Column("channel", S, "channel it is sent by; null = not sent", nullable=True),
    Column("outcome", S, "`sent`, or the reason why not", words=DECIDED),
    Column("p_open", F64, "probability of an open at a mean hour"),
    Column(
        "value_micros",
        I64,
        "worth of what is sent less its cost, now and later, else the best hour's worth",
        unit="micros",
    ),
    Column(
        "price_micros", I64, "prices of the hour and the budget it uses; 0 = free or drawn", unit="micros"
    ),
    Column("arm", S, "arm of the campaign's experiment; null = no experiment", nullable=True),
    Column("is_explore", pa.bool_(), "the person is in tonight's exploration stratum"),
)
DECISION = pa.struct([(field.name, field.type) for field in DECISION_FIELDS])
DECISIONS = Dataset(
    "decisions",
    2,
    "user: list of considered campaigns",
    ("ordinal",),
    ("ds",),
    (
        ordinal(),
        user_id(),
        Column(
            "choices",
            pa.list_(DECISION),
            "one entry per considered campaign: outcome `sent`, or the reason why not",
            fields=DECISION_FIELDS,
        ),
    ),
    ("plan_dispatch",),
    layout=("shards",),
    notes="Meta: primal, dual bound, gap, prices, and each campaign's materials in the order of `eligible`.",
)

CATALOG_SNAPSHOT = Dataset(
    "catalog_snapshot",
    1,
    "one catalog document",
    ("kind", "id"),
    ("ds",),
    (
        Column(
            "kind",
            S,
            "document kind",
            allowed=("campaign", "audience", "material", "template", "channel", "experiment", "policy"),
        ),
        Column("id", S, "document id", pattern=NAME),
        Column("version", I32, "version, from 1", minimum=1),
        Column("body", S, "the document as canonical JSON"),
    ),
    ("angelia catalog snapshot",),
)

CAMPAIGN_EFFECTS = Dataset(
    "campaign_effects",
    1,
    "campaign x arm x material x channel x day",
    ("campaign_id", "arm", "material_id", "channel"),
    ("ds",),
    (
        campaign_id(),
        Column("arm", S, "experiment arm, treated or holdout"),
        material_id(nullable=True),
        Column("channel", S, "channel; null for holdouts", nullable=True),
        Column("n_users", I64, "users", minimum=0),
        Column("n_sent", I64, "messages accepted", minimum=0),
        Column("n_opened", I64, "opened within 24 h", minimum=0),
        Column("n_converted", I64, "users who converted within the campaign's window", minimum=0),
        Column("n_active_days", I64, "active user days within the window", minimum=0),
        Column("n_unsubscribed", I64, "unsubscribed", minimum=0),
    ),
    ("angelia report",),
)

DERIVED = (
    CATALOG_SNAPSHOT,
    USER_INDEX,
    USER_DAYS,
    USER_PUSHES,
    USER_FEATURES,
    BITMAP_INDEX,
    BITMAP_DAYS,
    AUDIENCE_MEMBERS,
    HOLDOUT_MEMBERS,
    USER_LISTS,
    USER_HOURS,
    USER_LOOKS,
    SEND_TIMES,
    MATERIAL_SCORES,
    DECISIONS,
    DISPATCH_MANIFEST,
    DISPATCH_FALLOVER,
    DISPATCH_INTAKE,
    *OF_INTAKE,
    DELIVERY_LEDGER,
    *CATALOG_LOGS,
    INBOX_MESSAGES,
    CAMPAIGN_EFFECTS,
    EFFECTS_MART,
)
