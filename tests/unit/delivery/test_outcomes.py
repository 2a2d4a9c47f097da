"""Outcomes of a batch: every row has one, and the best known stands after a merge."""

from __future__ import annotations

import pyarrow as pa
import pytest

from angelia.delivery.ledger.outcomes import Outcomes, gone_reason, merge, read, says_gone
from tests.unit.delivery.given import outcomes

BEST_FIRST = ("accepted", "ambiguous", "rejected", "skipped", "deferred")


@pytest.mark.parametrize("better", BEST_FIRST)
@pytest.mark.parametrize("worse", BEST_FIRST)
def test_merging_keeps_the_best_known_outcome_whatever_the_order(better: str, worse: str) -> None:
    if BEST_FIRST.index(better) > BEST_FIRST.index(worse):
        better, worse = worse, better
    for order in ((better, worse), (worse, better)):
        table = merge(read(outcomes([(word, 1)])) for word in order)
        assert table["outcome"].to_pylist() == [better]
        assert table["n_attempts"].to_pylist() == [2]


def test_a_batch_with_an_unaccounted_row_cannot_be_written() -> None:
    with pytest.raises(AssertionError):
        Outcomes([0]).to_bytes()


def test_a_gone_address_is_recognised_by_the_reason_written() -> None:
    reasons = pa.chunked_array([[gone_reason("HTTP_410"), "HTTP_410", "gone_for_lunch", None]], pa.string())
    assert says_gone(reasons).to_pylist() == [True, False, False, False]
