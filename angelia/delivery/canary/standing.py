"""How a campaign's canary stands, for people: on pages, on the command line.

Grain: campaign x night. Reads what the worker's guard reads, and the night's catalog snapshot for the rule.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from angelia.delivery.canary.choices import canary_choices
from angelia.delivery.canary.evidence import CanaryEvidence
from angelia.delivery.canary.verdict import CanaryFacts, CanaryRule, CanaryVerdict, judge
from angelia.lake import Lake


@dataclass(frozen=True)
class CanaryStanding:
    """A canary of one night: what became of its messages, and the verdict."""

    ds: str
    facts: CanaryFacts
    verdict: CanaryVerdict

    @property
    def line(self) -> str:
        """The standing in a line."""
        return f"canary of {self.ds} {self.verdict.state}: {self.verdict.says}"


def newest_manifest(lake: Lake) -> str | None:
    """Return the newest night that has manifests."""
    return max((leaf["ds"] for leaf in lake.partitions("dispatch_manifest")), default=None)


def canary_standing(lake: Lake, campaign: str, ds: str | None, now: datetime) -> CanaryStanding | None:
    """Return how a campaign's canary of a night stands (None = the newest that has manifests).

    None if there is no such night, or the campaign had no canary in it.
    """
    night = ds or newest_manifest(lake)
    snapshot = lake.head("catalog_snapshot", ds=night) if night else None
    if night is None or snapshot is None:
        return None
    bodies = [
        json.loads(row["body"])
        for row in lake.read(snapshot).to_pylist()
        if (row["kind"], row["id"]) == ("campaign", campaign)
    ]
    rule = next((CanaryRule.of(body["canary"]) for body in bodies if body.get("canary")), None)
    if rule is None:
        return None
    facts = CanaryEvidence(lake, night).facts({campaign: rule})[campaign]
    choice = canary_choices(lake, night).get(campaign)
    return CanaryStanding(night, facts, judge(rule, facts, choice, round(now.timestamp() * 1e6)))
