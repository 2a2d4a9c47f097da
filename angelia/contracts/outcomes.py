"""The words of outcomes and guarantees, each once with its meaning.

Four vocabularies: what the plan decides for a pair of person and campaign (`DECIDED`), what became of a
dispatch (`LEDGER`), what a campaign promises (`GUARANTEES`), and how a message of the intake stands
(`INTAKE`). Contracts take their allowed sets from here,
pages and the command line their explanations. SQL files spell the words out, and a test compares them.
"""

from __future__ import annotations

SENT = "sent"
HOLDOUT_GLOBAL = "holdout_global"
HOLDOUT_CAMPAIGN = "holdout_campaign"
OPTED_OUT = "opted_out"
UNREACHABLE = "unreachable"
SUPPRESSED = "suppressed"
NO_MATERIAL = "no_material"
NO_SLOT = "no_slot"
CAPPED = "capped"
ALREADY_INTENDED = "already_intended"
NOT_CHOSEN = "not_chosen"
NO_VALUE = "no_value"
NO_CAPACITY = "no_capacity"
NO_BUDGET = "no_budget"
AFTER_CANARY = "after_canary"
DEVICE_QUOTA = "device_quota"
BETTER_NIGHT = "better_night"

DECIDED = {
    SENT: "chosen: it is sent",
    HOLDOUT_GLOBAL: "in the global holdout: gets no marketing at all",
    HOLDOUT_CAMPAIGN: "in this campaign's holdout",
    OPTED_OUT: "refused the campaign's topic",
    UNREACHABLE: "no active address on a channel the campaign may use, or its phone denies notifications",
    SUPPRESSED: "suppressed: must not be contacted",
    NO_MATERIAL: "no material is valid for this person",
    NO_SLOT: "no hour is open: send window, quiet hours, minimum gap, or the hours have passed",
    CAPPED: "the frequency caps leave no room in any hour",
    ALREADY_INTENDED: "this occurrence was already sent or is pending",
    NOT_CHOSEN: "other messages, or none, were worth more to this person",
    NO_VALUE: "not worth its cost in any hour",
    NO_CAPACITY: "others were worth more in the hours it wanted, three times; other hours may have had room",
    NO_BUDGET: "the campaign's budget was used up by better ones",
    AFTER_CANARY: "the campaign's canary goes first, and no hour is left after it",
    DEVICE_QUOTA: "the device has had all messages of this class that a day allows, on every channel",
    BETTER_NIGHT: "its campaign may wait, and a later night is worth more to this person",
}

ACCEPTED, REJECTED, SKIPPED, DEFERRED, AMBIGUOUS = "accepted", "rejected", "skipped", "deferred", "ambiguous"

LEDGER = {
    ACCEPTED: "the provider took the message",
    REJECTED: "the provider, or our own check of the message, refused it for good",
    SKIPPED: "not sent on purpose: stopped, suppressed, moot, a duplicate, or outside its window",
    DEFERRED: "not sent yet; a later run may still send it",
    AMBIGUOUS: "a request began and no answer is known; counts as sent",
}

# Classes of messages that providers count by device. Consent and caps go by the guarantee alone.
MARKETING, SERVICE, TRANSACTIONAL = "marketing", "service", "transactional"

# A reason of receipts: a program opened or clicked, no person; reports and models leave it out.
MACHINE = "machine"

# A reason of `skipped`: the campaign says `cancel_on`, and the person did it after the plan was made.
CANCELLED_BY_EVENT = "cancelled_by_event"
# A reason of `deferred`, for such campaigns only: what people did cannot be read.
EVENTS_UNREADABLE = "events_unreadable"
# A reason of `deferred`: the campaign's canary went first, and what came of it is not known yet.
CANARY_WAITS = "canary_waits"
# Reasons of `skipped`: what came of the canary was bad, or too little to tell when the wait was over.
CANARY_FAILED, CANARY_UNDECIDED = "canary_failed", "canary_undecided"

# Reasons of `deferred`, or of `skipped` once the row went to its next channel: the provider's count of the
# day is used up, or the channel was switched off after the plan was made.
QUOTA_SPENT, CHANNEL_OFF = "quota_spent", "channel_off"

# What the words of a canary mean to a person.
CANARY = {
    CANARY_WAITS: "the campaign's canary went first, and what came of it is not known yet",
    CANARY_FAILED: "the campaign's canary failed, or a person failed it",
    CANARY_UNDECIDED: "too little was known of the campaign's canary when the wait was over",
}

AT_MOST_ONCE, AT_LEAST_ONCE = "at_most_once", "at_least_once"

GUARANTEES = {
    AT_MOST_ONCE: "marketing: never sent again once a request may have begun",
    AT_LEAST_ONCE: "transactional: sent until an answer is known; exempt from caps, holdouts, quiet hours",
}

INTAKE = {
    "accepted": "durable, and waiting for its time or for a dispatcher",
    "claimed": "in a dispatcher's batch, which is being decided",
    "queued": "sealed: the worker has it",
    "sent": "the provider took it",
    "delivered": "a delivery report came back",
    "opened": "it was opened",
    "failed": "not sent: the worker or the provider says why",
    "ambiguous": "a request began and no answer is known",
    "refused": "never sent: the night's rules say why",
    "cancelled": "withdrawn before it left",
    "expired": "its last instant passed before it left",
}
