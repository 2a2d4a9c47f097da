"""How often messages by a channel are opened, a mean one's = 1: standardised, shrunk.

Pure. Grain: channel. A channel is compared with others within campaigns that used several, since campaigns
that went by one channel alone say nothing of it: its opens are set against those its messages would have had
at each campaign's own rate (indirect standardisation, as of a mortality ratio), both with a prior of
`PRIOR_SENT` messages at the mean rate. Surprise: a channel that never shared a campaign with another has 1,
whatever its opens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from angelia.contracts.ids import U64, uniform
from angelia.planning.problem import I64, ONE, Bools, Problem, boosted
from angelia.planning.routes.requests import with_requests
from angelia.planning.terms import CampaignTerms, Terms

F64 = npt.NDArray[np.float64]
PRIOR_SENT = 500.0
LEAST, MOST = 0.125, 8.0
# Campaign -> channel -> (sent, opened).
Counts = Mapping[str, Mapping[str, tuple[int, int]]]


def add_counts(parts: Iterable[Counts]) -> dict[str, dict[str, tuple[int, int]]]:
    """Return the sum of shards' counts."""
    total: dict[str, dict[str, tuple[int, int]]] = {}
    for part in parts:
        for campaign, by_channel in part.items():
            into = total.setdefault(campaign, {})
            for channel, (sent, opened) in by_channel.items():
                before = into.get(channel, (0, 0))
                into[channel] = before[0] + sent, before[1] + opened
    return total


def responses(counts: Counts) -> dict[str, float]:
    """Return each channel's response, a mean channel's = 1."""
    shared = {
        campaign: {channel: (sent, opened) for channel, (sent, opened) in by_channel.items() if sent}
        for campaign, by_channel in sorted(counts.items())
    }
    shared = {campaign: by_channel for campaign, by_channel in shared.items() if len(by_channel) > 1}
    n_sent = sum(sent for by_channel in shared.values() for sent, _ in by_channel.values())
    n_opened = sum(opened for by_channel in shared.values() for _, opened in by_channel.values())
    if not n_opened:
        return {}
    prior = PRIOR_SENT * n_opened / n_sent
    opened_by: dict[str, float] = {}
    expected: dict[str, float] = {}
    for by_channel in shared.values():
        rate = sum(opened for _, opened in by_channel.values()) / sum(sent for sent, _ in by_channel.values())
        for channel, (sent, opened) in sorted(by_channel.items()):
            opened_by[channel] = opened_by.get(channel, 0.0) + opened
            expected[channel] = expected.get(channel, 0.0) + sent * rate
    ratio = {name: (opened_by[name] + prior) / (expected[name] + prior) for name in sorted(expected)}
    return {name: round(min(max(value, LEAST), MOST), 4) for name, value in ratio.items()}


def with_responses(terms: Terms, meta: Mapping[str, Any]) -> Terms:
    """Return terms with the responses and requests of a commit's meta, if it has any."""
    terms = with_requests(terms, meta)
    known = meta.get("channel_responses") or {}
    if not known or not any(campaign.by_value for campaign in terms.campaigns):
        return terms
    factors = [round(ONE * float(known.get(channel.id, 1.0))) for channel in terms.channels]
    channels = zip(terms.channels, factors, strict=True)
    return replace(terms, channels=tuple(replace(channel, response=factor) for channel, factor in channels))


def says_of(terms: Terms, campaign: CampaignTerms, may: Bools) -> str | None:
    """Return in words how a campaign's channel was chosen; None where not by value.

    `may`: which channels could carry it, (c,).
    """
    if not campaign.by_value:
        return None
    known = [channel for channel, is_living in zip(terms.channels, may, strict=True) if is_living]
    each = [
        f"{channel.id} opens {channel.response / ONE:.2f} times a mean channel's, costs "
        f"{channel.cost_micros / 1e6:.4f}"
        for channel in sorted(known, key=lambda channel: (-channel.response, channel.id))
    ]
    return f"by value less cost and price: {'; '.join(each)}" if each else None


def affordable(terms: Terms, problem: Problem, rows: I64, worth: F64) -> Bools:
    """Return the channels whose cost a drawn message covers at a mean hour, (r, c).

    `worth` is before priorities, (r,). No hour enters, so who is drawn says nothing of the hour.
    """
    weights, campaign = dict(terms.priority_weight), problem.pair_campaign[rows]
    weight = np.array([weights[c.priority] for c in terms.campaigns], np.float64)[campaign]
    made, boost = np.rint(worth * weight).astype(np.int64)[:, None], terms.boost()
    if boost.size:
        made = boosted(made, boost[campaign])
    cost = np.array([channel.cost_micros for channel in terms.channels], np.int64)
    return np.asarray(problem.channels[rows] & ((cost == 0) | (made >= cost)))


def draw_channels(terms: Terms, problem: Problem, rows: I64, living: Bools, keys: U64, channel: I64) -> I64:
    """Return the exploration stratum's channels, (r,), drawn where they go by value.

    What is learned of channels then does not lean on what they were chosen for. `living` says which could
    carry each, (r, c); `keys` are the people's.
    """
    by_value = np.array([c.by_value for c in terms.campaigns], bool)
    lot = uniform(keys, terms.salt, "channel draw", terms.ds)
    wanted = np.floor(lot * living.sum(axis=1)).astype(np.int64)
    at_random = (np.cumsum(living, axis=1) <= wanted[:, None]).sum(axis=1)
    return np.where(by_value[problem.pair_campaign[rows]], at_random, channel)
