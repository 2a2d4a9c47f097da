"""What came of a night: tables in SQL over the lake, effects per campaign, the HTML report.

Public face: `summary(lake, ds)`, the night in numbers. Reads the plan that was sent and what came of it;
    writes `campaign_effects` and reports.
"""

from angelia.effects.summary import manifest_sha256, summary

__all__ = ["manifest_sha256", "summary"]
