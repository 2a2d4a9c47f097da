"""People's decisions on canaries: the log `canary_choices`, folded.

Grain: campaign x night. Reads the log; its writer is `angelia catalog canary`. Surprise: the log's order
decides, never `at_ts`: machines' clocks differ.
"""

from __future__ import annotations

from angelia.delivery.canary.verdict import CanaryChoice
from angelia.lake import Lake


def canary_choices(lake: Lake, ds: str) -> dict[str, CanaryChoice]:
    """Return the last word on each campaign's canary of a night.

    Raises:
        AngeliaError: the log cannot be read.
    """
    return {
        entry["campaign_id"]: CanaryChoice(entry["action"], entry["actor"], entry["reason"])
        for entry in lake.read_log("canary_choices").to_pylist()
        if entry["night"] == ds
    }
