"""Choice sets: what a draw could choose from, as bits that Python and DuckDB read alike."""

import duckdb
import numpy as np
import pyarrow as pa

from angelia.planning.offers import choice_sets


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
