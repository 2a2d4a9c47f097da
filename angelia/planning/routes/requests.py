"""How many requests a planned message takes: several, where campaigns go to all devices of a person.

Pure. Grain: channel. What the newest manifests had is what tonight is planned with, so that an hour gets no
more messages than its provider's minutes take. Surprise: capacities and budgets that an operator wrote count
messages, and stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from angelia.planning.terms import Terms

META = "channel_requests"  # in the meta of manifests and of send times


def with_requests(terms: Terms, meta: Mapping[str, Any]) -> Terms:
    """Return terms whose hours hold what the provider's minutes take; the same where each has one device."""
    known = meta.get(META) or {}
    if not known:
        return terms
    channels = tuple(
        replace(
            channel,
            capacity_per_hour=min(
                channel.capacity_per_hour,
                int(channel.takes_per_hour / max(1.0, float(known.get(channel.id, 1.0)))),
            ),
        )
        for channel in terms.channels
    )
    return replace(terms, channels=channels)


def requests_a_message(rows: Mapping[str, int], messages: Mapping[str, int]) -> dict[str, float]:
    """Return a manifest's requests a message by channel, where they are more than one."""
    each = {name: round(rows[name] / messages[name], 4) for name in sorted(rows) if messages[name]}
    return {name: ratio for name, ratio in each.items() if ratio > 1}
