"""Choice sets: what a draw could choose from, as bits that Python and DuckDB read alike."""

from dataclasses import replace

import duckdb
import numpy as np
import pyarrow as pa

from angelia.planning.offers import choice_sets, lift_worth
from tests.unit.planning.few_people import CAMPAIGN


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
    people = np.array([1, 2, 5, 6, 9], np.uint32)
    assert lift_worth(scores, CAMPAIGN, people) is None
    asks = replace(CAMPAIGN, lift_micros=8_000_000)
    assert lift_worth(scores, asks, people).tolist() == [0, 2_000_000, 0, 0, -1_000_000]
    assert lift_worth(scores.drop_columns(["lift"]), asks, people).tolist() == [0.0] * 5
    assert lift_worth(scores, asks, np.array([2], np.uint32)).tolist() == [2_000_000]
