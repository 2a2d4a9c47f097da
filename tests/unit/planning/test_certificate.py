"""The certificate adds up its shards, and names each hour and budget it prices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from angelia.contracts.certificate import Limit, Messages, limits_of, messages_of
from angelia.contracts.rows import valid_rows
from angelia.matching import inverse_gap
from angelia.planning.certificate import certificate, n_tried, prices_before, summarise
from angelia.planning.offers import choice_sets
from tests.unit.planning.few_people import TERMS


def test_a_shard_counts_what_it_decided() -> None:
    table = valid_rows("decisions", 8, ds="2026-11-14")
    choices = [choice for row in table["choices"].to_pylist() for choice in row]
    sent = [choice for choice in choices if choice["outcome"] == "sent"]
    counts = summarise(table)
    assert sum(counts["outcomes"].values()) == len(choices) == 16
    assert counts["outcomes"]["sent"] == len(sent) == sum(n for *_, n in counts["messages"])
    assert {cell[0] for cell in counts["messages"]} == {f"{choice['slot']:%Y-%m-%dT%H}" for choice in sent}
    assert counts["primal"] == sum(choice["value_micros"] for choice in sent)


def test_a_message_tries_a_lesser_material_or_the_best_one() -> None:
    scores = np.array([[0.1, 0.099, np.nan], [0.02, 0.1, 0.08], [0.09, 0.1, 0.1], [0.1, np.nan, np.nan]])
    chance, sets = inverse_gap(scores, 0.03, np.array([0.1, 0.7, 0.9])), choice_sets(scores)
    row, column = np.nonzero(~np.isnan(scores))
    lesser = column != np.nanargmax(scores, axis=1)[row]
    assert n_tried(pa.array(chance[row, column]), sets.take(pa.array(row))) == lesser.sum() == 5
    # Of what nobody drew, and of a plan that kept no sets, nothing is said.
    assert n_tried(pa.array([None, 0.1], pa.float64()), pa.array([b"\xc0", None], pa.binary())) == 0


def test_a_certificate_adds_up_shards_and_prices_limits() -> None:
    slots = [str(slot) for slot in TERMS.slots()]
    channel, campaign = TERMS.channels[0].id, TERMS.campaigns[0].id
    shard = {
        "outcomes": {"sent": 2, "capped": 1},
        "messages": [[slots[1], channel, campaign, 2]],
        "primal": 90,
        "explore_value": 10,
        "n_explore": 1,
        "n_tried": 2,
    }
    limits = TERMS.limits()
    prices = np.arange(limits.n_constraints)
    meta = certificate(TERMS, prices, 200, [shard, shard])
    assert meta["outcomes"] == {"capped": 2, "sent": 4}
    assert (meta["primal_micros"], meta["gap_pct"]) == (160, 20.0)
    assert (meta["n_explore"], meta["n_tried"]) == (2, 4)
    assert messages_of(meta) == [Messages(slots[1], channel, campaign, 4)]
    first = limits_of(meta)[1]
    whole, left = TERMS.channels[0].capacity_per_hour, int(limits.capacity[0, 1]) - 4
    assert first == Limit(whole, 4, 1, channel=channel, slot=slots[1], left=left)


def test_speeds_and_minimums_are_published() -> None:
    campaign = replace(TERMS.campaigns[0], max_messages=50, min_messages=7, max_per_hour=60)
    terms = replace(TERMS, campaigns=(campaign, *TERMS.campaigns[1:]))
    slots, limits = [str(slot) for slot in terms.slots()], terms.limits()
    shard = {
        "outcomes": {"sent": 2},
        "messages": [[slots[1], terms.channels[0].id, campaign.id, 2]],
        "primal": 90,
        "explore_value": 0,
        "n_explore": 0,
        "n_tried": 0,
    }
    prices = np.arange(limits.n_constraints)
    prices[limits.capacity.size] = -5
    meta = certificate(terms, prices, 200, [shard])
    assert meta["minimums"] == [{"campaign_id": campaign.id, "least": 7, "sent": 2, "paid_micros": 5}]
    assert [(speed["used"], speed["price_micros"]) for speed in meta["speeds"][:2]] == [
        (0, int(prices[-24])),
        (2, int(prices[-23])),
    ]
    # Yesterday's hours are today's: prices are taken over by hour of day and campaign.
    tomorrow = replace(terms, start=terms.start.replace(day=terms.start.day + 1))
    n = limits.capacity.size
    assert prices_before(tomorrow, meta)[: n + 1].tolist() == prices[: n + 1].tolist()
    assert prices_before(tomorrow, meta)[-24:].tolist() == prices[-24:].tolist()
    later = replace(terms, start=terms.start.replace(hour=6))
    assert prices_before(later, meta)[-24:].tolist() == [*prices[-22:].tolist(), *prices[-24:-22].tolist()]
    assert not prices_before(replace(terms, campaigns=()), {"constraints": []}).any()
