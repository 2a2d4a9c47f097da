"""The report's section on what each campaign is credited with, and how complete that is."""

from __future__ import annotations

from angelia.drawing.page import details, empty, section, table
from angelia.effects.attribution.words import completeness_line
from angelia.effects.findings import Findings

_COLUMNS = [
    ("campaign_id", "campaign"),
    ("n_sent", "sent"),
    ("n_opened", "tapped"),
    ("n_influenced", "app opened"),
    ("n_conversions", "conversions"),
    ("conversion_value", "their value"),
    ("n_unsubscribed", "unsubscribed"),
    ("n_complained", "complained"),
]


def credited(findings: Findings) -> str:
    """Return the section; without a mart it says how to make it."""
    lead = (
        "Each opening of the app and each conversion goes to the message that touched the person last, if "
        "its window was open, and is counted once over all campaigns and channels. Credit is no cause: what "
        "messages caused stands under lift."
    )
    mart, ds = findings.sources.only("effects_mart"), findings.sources.night.ds
    if mart is None:
        says = f"Not made yet: angelia effects mart --from {ds} --to {ds}"
        return section("credit", "What messages are credited with", lead, empty(says))
    complete = mart.meta["complete"]
    left = [
        f"{n:,} {reason}"
        for n, reason in (
            (complete["n_too_late"], "reached the phone too late for credit"),
            (complete["n_not_displayed"], "were not reported as shown, which their campaign asks for"),
            (complete["n_sent"] - complete["n_sent_planned"], "were sent without a decision of this night"),
        )
        if n
    ]
    return section(
        "credit",
        "What messages are credited with",
        lead,
        empty(f"How complete: {completeness_line(complete)}."),
        table(_COLUMNS, findings.tables["credited"].rows, "Credit by campaign"),
        *([details("Messages that take no credit", empty("; ".join(left) + "."))] if left else []),
    )
