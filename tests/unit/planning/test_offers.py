"""What a material is worth in the draw, and what the draw could choose from, as bits."""

from dataclasses import replace
from datetime import date

import duckdb
import numpy as np
import pyarrow as pa

from angelia.planning.eligibility import clock_hours, open_hours
from angelia.planning.offers import (
    CampaignOffer,
    MaterialFacts,
    choice_sets,
    draw_material,
    good_hours,
    lift_worth,
    may_show,
)
from angelia.timing.category_hours import CategoryHours
from tests.unit.planning.few_people import CAMPAIGN, TERMS, people


def test_bits_tell_what_could_be_drawn() -> None:
    may = np.random.default_rng(1).random((50, 11)) < 0.6
    may[3] = False
    sets = choice_sets(np.where(may, 0.1, np.nan))
    assert sets.null_count == 1
    assert sets[3].as_py() is None
    rows = pa.table({"row": np.arange(50), "eligible": sets})
    bits = duckdb.sql("SELECT row, k FROM rows, range(11) AS t(k) WHERE get_bit(eligible::BIT, k::INT) = 1")
    assert set(bits.fetchall()) == {(row, k) for row, k in np.argwhere(may).tolist()}
    assert rows.num_rows == 50


def test_no_material_is_no_set() -> None:
    assert choice_sets(np.zeros((2, 0))).null_count == 2
    assert len(choice_sets(np.zeros((0, 3)))) == 0


def test_lift_is_worth_its_money_and_unknown_lift_none() -> None:
    rows = {"ordinal": [2, 2, 5, 6, 9], "campaign_id": ["sale", "sale", "sale", "other", "sale"]}
    scores = pa.table({**rows, "lift": [0.25, 0.25, None, 0.5, -0.125]})
    ordinals = np.array([1, 2, 5, 6, 9], np.uint32)
    assert lift_worth(scores, CAMPAIGN, ordinals) is None
    asks = replace(CAMPAIGN, lift_micros=8_000_000)
    assert lift_worth(scores, asks, ordinals).tolist() == [0, 2_000_000, 0, 0, -1_000_000]
    assert lift_worth(scores.drop_columns(["lift"]), asks, ordinals).tolist() == [0.0] * 5
    assert lift_worth(scores, asks, np.array([2], np.uint32)).tolist() == [2_000_000]


def test_several_good_hours_beat_a_single_best() -> None:
    peak, plateau = np.ones(24), np.ones(24)
    peak[20], plateau[18:23] = 1.5, 1.45
    sharp, broad = good_hours(np.stack([peak, plateau]), np.ones((2, 24), bool))
    assert 1.0 < sharp < broad < 1.45
    # Closed hours count neither as good nor as bad.
    assert np.allclose(good_hours(np.full((1, 24), 1.3) * (np.arange(24) < 3), np.arange(24)[None] < 3), 1.3)
    assert good_hours(np.zeros((1, 24)), np.zeros((1, 24), bool)).tolist() == [0.0]


def test_the_draw_goes_by_good_open_hours() -> None:
    campaign = replace(CAMPAIGN, materials=("sale_morning", "sale_evening"), send_window=(18, 22))
    terms, who = replace(TERMS, campaigns=(campaign,), epsilon=1e-9), people(40)
    factor = np.ones((3, 48))
    factor.reshape(3, 2, 24)[0, :, 8:12], factor.reshape(3, 2, 24)[1, :, 19:22] = 3.0, 1.2
    hours = CategoryHours({"morning": 0, "evening": 1}, factor, np.ones((3, 7)))
    facts = MaterialFacts({}, {name: name.split("_")[1] for name in campaign.materials})
    offer = CampaignOffer(0, np.arange(40), np.full((40, 2), 0.1))
    # The morning is better by far, but closed.
    picked, _ = draw_material(terms, who, open_hours(terms, who), offer, facts, hours)
    assert set(picked.tolist()) == {1}


def test_a_material_of_closed_hours_is_not_drawn() -> None:
    """On UTC's clock all open hours are the 15th's, in Auckland some are the 16th's."""
    campaign = replace(CAMPAIGN, materials=("sale_a", "sale_b"))
    terms = replace(TERMS, campaigns=(campaign,))
    who = people(2, timezone=["UTC", "Pacific/Auckland"])
    facts = MaterialFacts({}, {}, {"sale_b": (date(2026, 11, 16), date.max)})
    shown = may_show(terms, who, campaign, np.arange(2), facts, clock_hours(terms, who))
    assert shown.tolist() == [[True, False], [True, True]]
    late = replace(terms, first_slot=24)  # nothing is sent, so the reason is that no hour is left
    assert may_show(late, who, campaign, np.arange(2), facts, clock_hours(late, who)).all()
