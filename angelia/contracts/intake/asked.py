"""Contracts of messages that were asked for by REST, and of ids in other systems."""

from __future__ import annotations

import pyarrow as pa

from angelia.contracts.core import TIMESTAMP, Column, Dataset
from angelia.contracts.outcomes import INTAKE
from angelia.contracts.sending import I32, number_of
from angelia.contracts.sources import CHANNEL, ID, NAME, S, campaign_id, hash_id, user_id


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
        Column("linked_ts", TIMESTAMP, "since when it is this person's; of two entries the later holds"),
    ),
    ("angelia import",),
    retention_days=30,
    notes="`angelia intake export` takes the newest snapshot into the intake's database.",
)

_USAGE = (
    _client(),
    campaign_id(),
    Column(
        "template_id",
        S,
        "template; null = not handed to the worker, nor named in place of a campaign",
        nullable=True,
        pattern=NAME,
    ),
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
        number_of("n_messages", "messages accepted in the plan's 24 hours"),
        number_of("n_variable_bytes", "size of their variables as JSON"),
        number_of("n_waiting", "messages whose end is not known yet"),
        number_of("n_sent", "messages that a provider took, or whose answer is unknown"),
        number_of("n_not_sent", "messages refused by the night's rules, or failed"),
        number_of("n_withdrawn", "messages cancelled by their client, or expired"),
        number_of("n_delivered", "messages with a delivery report"),
        number_of("n_opened", "messages that were opened"),
        number_of("n_queued", "messages handed to the worker"),
        number_of("queued_after_ms", "sum of their milliseconds from send_ts on until then"),
    ),
    ("angelia report",),
    notes="Every figure is a sum: leave dimensions out by adding up. The hours are those of the plan of ds.",
)

OF_INTAKE = (INTAKE_MESSAGES, INTAKE_STEPS, INTAKE_PENDING, EXTERNAL_IDS, INTAKE_USAGE)
