"""The certificate of a plan: value, proven bound, gap, and the use and price of each limit.

Grain: night. Reads and writes nothing: counts of shards in, meta of the decisions commit out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from angelia.contracts import outcomes
from angelia.contracts.certificate import Limit, Messages, limits_of, messages_meta
from angelia.contracts.derived import DECISION
from angelia.planning.later import Fatigue
from angelia.planning.postponing import NIGHTS_AHEAD
from angelia.planning.problem import I64
from angelia.planning.terms import Terms

_DRAW = ("material_propensity", "eligible")


def summarise(table: pa.Table) -> dict[str, Any]:
    """Return what a shard's decisions count: outcomes, messages, and the value of what is sent."""
    flat = table["choices"].combine_chunks().flatten().flatten()
    column = {field.name: flat[i] for i, field in enumerate(DECISION)}
    sent = np.array(column["outcome"].to_pylist(), object) == outcomes.SENT
    slots = column["slot"].to_numpy(zero_copy_only=False)[sent].astype("datetime64[h]").astype(str)
    channels = np.array(column["channel"].to_pylist(), object)[sent]
    campaigns = np.array(column["campaign_id"].to_pylist(), object)[sent]
    cells = Counter(zip(slots.tolist(), channels.tolist(), campaigns.tolist(), strict=True))
    is_drawn = column["is_explore"].to_numpy(zero_copy_only=False)[sent]
    drawn = Counter(zip(*(names[is_drawn].tolist() for names in (slots, channels, campaigns)), strict=True))
    return {
        "outcomes": dict(Counter(column["outcome"].to_pylist())),
        "messages": [[*cell, n] for cell, n in cells.items()],
        "drawn": [[*cell, n] for cell, n in drawn.items()],
        "primal": int(column["value_micros"].to_numpy()[sent].sum()),
        "n_explore": int((column["is_explore"].to_numpy(zero_copy_only=False) & sent).sum()),
        "n_tried": n_tried(*(column[name].filter(pa.array(sent)) for name in _DRAW)),
    }


def n_tried(propensity: pa.DoubleArray, eligible: pa.BinaryArray) -> int:
    """Return how many messages try a material that is not the best by its score.

    The best of n has at least the n-th part of the chance, and every lesser one has less
    (`matching.inverse_gap`), so a draw's propensity tells which it was. Both arguments are (m,).
    """
    sets = eligible.dictionary_encode()
    size = [int.from_bytes(one or b"").bit_count() for one in sets.dictionary.to_pylist()]
    n = np.array([*size, 0])[sets.indices.fill_null(len(size)).to_numpy()]
    chance = propensity.to_numpy(zero_copy_only=False)
    return int((chance * n < 1.0 - 1e-9).sum(where=n > 0))


def certificate(
    terms: Terms,
    prices: I64,
    bound: int,
    stats: Sequence[Mapping[str, Any]],
    fatigue: Fatigue | None = None,
) -> dict[str, object]:
    """Return what is published with a plan, from the counts of its shards (`summarise`).

    Values are net of what messages cost later, which `fatigue` says how to price.
    """
    decided, by_cell, by_hour, by_campaign = (Counter[Any]() for _ in range(4))
    for shard in stats:
        decided.update(shard["outcomes"])
        for slot, channel, campaign, n in shard["messages"]:
            by_cell[slot, channel, campaign] += n
            by_hour[slot, channel] += n
            by_campaign[campaign] += n
    messages = [Messages(slot, channel, campaign, n) for (slot, channel, campaign), n in by_cell.items()]
    primal = sum(shard["primal"] - shard["explore_value"] for shard in stats)
    return {
        "outcomes": dict(sorted(decided.items())),
        "primal_micros": primal,
        "bound_micros": bound,
        "gap_pct": round(100.0 * (bound - primal) / bound, 4) if bound else 0.0,
        "n_explore": sum(shard["n_explore"] for shard in stats),
        "n_tried": sum(shard["n_tried"] for shard in stats),
        "waits": _waits(terms, stats),
        "fatigue": later_meta(terms, fatigue, sum(shard.get("later", 0) for shard in stats)),
        "constraints": [limit.as_meta() for limit in _limits(terms, prices, by_hour, by_campaign, stats)],
        # The order that the bits of `eligible` count in.
        "materials": {campaign.id: list(campaign.materials) for campaign in terms.campaigns},
        "start": terms.start.isoformat(),
        "hours_passed": terms.first_slot,
        "by_hour": {f"{slot}|{channel}": n for (slot, channel), n in sorted(by_hour.items())},
        "messages": messages_meta(messages),
        "by_campaign": dict(sorted(by_campaign.items())),
        "speeds": _speeds(terms, prices, by_cell),
        "minimums": [
            {
                "campaign_id": campaign.id,
                "least": campaign.min_messages,
                "sent": by_campaign[campaign.id],
                "paid_micros": max(0, -int(prices[terms.limits().capacity.size + k])),
            }
            for k, campaign in enumerate(terms.campaigns)
            if campaign.min_messages
        ],
    }


def _waits(terms: Terms, stats: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return how many messages wait for each later night, by the date on which it begins."""
    waits = np.zeros(NIGHTS_AHEAD, np.int64)
    for shard in stats:
        waits += np.array(shard.get("waits") or [0] * NIGHTS_AHEAD, np.int64)
    begins = [(terms.start + timedelta(days=1 + night)).date().isoformat() for night in range(NIGHTS_AHEAD)]
    return {day: n for day, n in zip(begins, waits.tolist(), strict=True) if n}


def later_meta(terms: Terms, fatigue: Fatigue | None, paid: int) -> dict[str, object]:
    """Return what a plan says of the price of fatigue; empty where it has none."""
    if fatigue is None or not terms.prices_fatigue:
        return {}
    return {
        **fatigue.as_meta(),
        "weight": terms.fatigue_weight,
        "horizon_days": terms.lost_days,
        **({"refusal_opens": terms.refusal_opens} if terms.refusal_opens else {}),
        **({"refusals": terms.refusal_price.as_meta()} if terms.refusal_price else {}),
        "paid_micros": paid,
    }


def _limits(
    terms: Terms,
    prices: I64,
    by_hour: Counter[Any],
    by_campaign: Counter[Any],
    stats: Sequence[Mapping[str, Any]],
) -> list[Limit]:
    """Return hours by channel, then budgets: the order of `prices`, (c*h + k,)."""
    slots = [str(slot) for slot in terms.slots()]
    c, h = terms.limits().capacity.shape
    priced, reserve = terms.limits().flat(), terms.explore_limits()
    drawn = Counter[Any]()
    for slot, channel_id, campaign_id, n in (cell for shard in stats for cell in shard.get("drawn", ())):
        drawn[slot, channel_id] += n
        drawn[campaign_id] += n
    # What is left for chosen messages: the share set aside for drawn ones is not theirs.
    hours = [
        Limit(
            int(priced[i * h + s] + reserve[i * h + s]),
            by_hour[slots[s], channel.id],
            int(prices[i * h + s]),
            channel=channel.id,
            slot=slots[s],
            left=int(priced[i * h + s]) - by_hour[slots[s], channel.id] + drawn[slots[s], channel.id],
        )
        for i, channel in enumerate(terms.channels)
        for s in range(h)
    ]
    budgets = [
        Limit(
            campaign.max_messages,
            by_campaign[campaign.id],
            int(prices[c * h + k]),
            campaign_id=campaign.id,
            left=int(priced[c * h + k]) - by_campaign[campaign.id] + drawn[campaign.id],
        )
        for k, campaign in enumerate(terms.campaigns)
        if campaign.max_messages is not None
    ]
    return [*hours, *budgets]


def _speeds(terms: Terms, prices: I64, by_cell: Counter[Any]) -> list[dict[str, object]]:
    """Return the hours of campaigns with a speed limit: capacity, use and price."""
    slots, paced = [str(slot) for slot in terms.slots()], terms.paced().tolist()
    own = prices[len(prices) - len(paced) * len(slots) :].reshape(len(paced), len(slots))
    used: Counter[Any] = Counter()
    for (slot, _, campaign), n in by_cell.items():
        used[slot, campaign] += n
    return [
        {
            "campaign_id": terms.campaigns[k].id,
            "slot": slot,
            "capacity": terms.campaigns[k].max_per_hour,
            "used": used[slot, terms.campaigns[k].id],
            "price_micros": int(own[i, s]),
        }
        for i, k in enumerate(paced)
        for s, slot in enumerate(slots)
    ]


def prices_before(terms: Terms, meta: Mapping[str, Any]) -> I64:
    """Return an earlier plan's prices for the limits of this one.

    Hours go by channel and hour of day, budgets by campaign, hours of a speed limit by both.
    """
    limits = terms.limits()
    hours = {(limit.channel, (limit.slot or "")[-2:]): limit.price_micros for limit in limits_of(meta)}
    budgets = {limit.campaign_id: limit.price_micros for limit in limits_of(meta)}
    prices = np.zeros(limits.n_constraints, np.int64)
    names = [(channel.id, str(slot)[-2:]) for channel in terms.channels for slot in terms.slots()]
    prices[: len(names)] = [hours.get(name, 0) for name in names]
    own = [budgets.get(campaign.id, 0) for campaign in terms.campaigns]
    prices[len(names) : len(names) + len(own)] = own
    if limits.paced.size:
        speeds = {
            (speed["campaign_id"], speed["slot"][-2:]): speed["price_micros"]
            for speed in meta.get("speeds", ())
        }
        paced = [(terms.campaigns[k].id, str(slot)[-2:]) for k in limits.paced for slot in terms.slots()]
        prices[len(names) + len(own) :] = [speeds.get(name, 0) for name in paced]
    return prices
