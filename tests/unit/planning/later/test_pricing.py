"""The whole price of a night: who pays, and who keeps room for a second message."""

from dataclasses import replace

import numpy as np

from angelia.planning.eligibility import assemble
from tests.unit.planning.few_people import CAMPAIGN, ORDER, people
from tests.unit.planning.later.test_refusals import FREE, NEWS, OLD, pairs, some_people


def test_without_a_price_nobody_loses_room() -> None:
    who, mine = some_people(6), pairs(6)
    # Later opens cost more than messages are worth: nobody could bear a second one.
    weary = assemble(replace(FREE, fatigue_weight=30.0, refusal_opens=0.0), who, mine, OLD)
    assert weary.later is not None
    assert weary.later.by_hour is None
    assert np.array_equal(weary.problem.room, assemble(FREE, who, mine, OLD).problem.room)
    priced = assemble(replace(FREE, fatigue_weight=30.0, refusal_opens=1.0), who, mine, OLD)
    assert (priced.problem.room == 1).all()


def test_a_campaign_with_a_minimum_keeps_room_for_both() -> None:
    who, mine = people(4), pairs(4, 0.001)
    dear = replace(FREE, refusal_opens=1000.0)
    asked = replace(dear, campaigns=(replace(CAMPAIGN, min_messages=2), NEWS, ORDER))
    assert assemble(dear, who, mine, OLD).problem.room.max() == 1
    assert assemble(asked, who, mine, OLD).problem.room.min() > 1


def test_a_transaction_pays_nothing_for_its_looks() -> None:
    who, mine = some_people(4), pairs(4)
    plain = assemble(FREE, who, mine, OLD).problem
    priced = assemble(replace(FREE, refusal_opens=30.0), who, mine, OLD).problem
    assert np.array_equal(priced.value[plain.is_exempt], plain.value[plain.is_exempt])
    assert (priced.value[~plain.is_exempt] <= plain.value[~plain.is_exempt]).all()
