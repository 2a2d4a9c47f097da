"""What is left of a limit is what chosen messages might still use."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from angelia.contracts.certificate import limits_of
from angelia.planning.certificate import certificate
from tests.unit.planning.test_eligibility import TERMS

NOTHING = np.zeros(TERMS.limits().n_constraints, np.int64)


def test_drawn_messages_leave_room_for_chosen_ones() -> None:
    slots, channel, campaign = list(map(str, TERMS.slots())), TERMS.channels[0].id, TERMS.campaigns[0].id
    terms = replace(TERMS, explore_pct=5.0)
    shard = {
        "outcomes": {"sent": 5},
        "messages": [[slots[1], channel, campaign, 5]],
        "drawn": [[slots[1], channel, campaign, 2]],
        "primal": 0,
        "explore_value": 0,
        "n_explore": 2,
        "n_tried": 0,
    }
    limit = limits_of(certificate(terms, NOTHING, 0, [shard, shard]))[1]
    assert (limit.used, limit.capacity) == (10, TERMS.channels[0].capacity_per_hour)
    assert limit.left == int(terms.limits().capacity[0, 1]) - (10 - 4)


def test_passed_hours_have_no_capacity() -> None:
    terms = replace(TERMS, first_slot=2)
    capacities = [limit.capacity for limit in limits_of(certificate(terms, NOTHING, 0, []))[:3]]
    assert capacities == [0, 0, TERMS.channels[0].capacity_per_hour]
