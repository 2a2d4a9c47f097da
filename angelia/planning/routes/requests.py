"""How many requests a planned message takes: several, where a campaign goes to all devices.

Pure. Grain: channel, and campaign. What the newest manifest had is what tonight is planned with, so that an
hour gets no more messages than leave in it. Surprise: capacities and budgets that an operator wrote count
messages, and stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from angelia.planning.terms import Terms

META = "requests_a_message"  # in the meta of manifests and of send times


def with_requests(terms: Terms, meta: Mapping[str, Any]) -> Terms:
    """Return terms whose hours hold what leaves in them, by how many devices messages had."""
    known = meta.get(META) or {}
    if not known:
        return terms
    by_channel, by_campaign = known["channels"], known["campaigns"]
    channels = tuple(
        replace(
            channel,
            capacity_per_hour=min(
                channel.capacity_per_hour, int(channel.takes_per_hour / by_channel.get(channel.id, 1.0))
            ),
        )
        for channel in terms.channels
    )
    # A campaign's speed limit holds for each of its requests, too.
    campaigns = tuple(
        replace(campaign, max_per_hour=int(campaign.max_per_hour / by_campaign.get(campaign.id, 1.0)))
        if campaign.max_per_hour is not None
        else campaign
        for campaign in terms.campaigns
    )
    return replace(terms, channels=channels, campaigns=campaigns)


@dataclass
class ManifestCounts:
    """Rows and messages of a manifest by channel and by campaign."""

    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    messages: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, channel: str, counts: Iterable[tuple[str, int, int]]) -> None:
        """Add a part's: campaign, rows, messages."""
        for campaign, n_rows, n_messages in counts:
            self.rows[channel, campaign] += n_rows
            self.messages[channel, campaign] += n_messages

    def meta(self) -> dict[str, Any]:
        """Return a manifest's messages, and requests a message where they are more than one."""
        return {
            "n_messages": self.messages.total(),
            META: {"channels": self._ratios(0), "campaigns": self._ratios(1)},
        }

    def _ratios(self, place: int) -> dict[str, float]:
        rows, messages = Counter[str](), Counter[str]()
        for key, n in self.rows.items():
            rows[key[place]] += n
            messages[key[place]] += self.messages[key]
        ratios = {name: round(rows[name] / messages[name], 4) for name in sorted(rows) if messages[name]}
        return {name: ratio for name, ratio in ratios.items() if ratio > 1}
