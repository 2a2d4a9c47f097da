"""Cut-offs: a rank is admitted as a whole or not at all, and never more than fits."""

import numpy as np
import pytest

from angelia.planning.admit import cut_offs
from angelia.planning.problem import Limits


def limits(capacity):
    return Limits(
        capacity=np.full((1, 1), capacity, np.int64),
        budget=np.zeros(0, np.int64),
        cost=np.zeros(1, np.int64),
        gap_slots=1,
        max_messages=2,
    )


@pytest.mark.parametrize(
    ("capacity", "cut"),
    [(0, 31), (2, 31), (3, 30), (4, 30), (6, 30), (7, 20), (8, 10), (100, 10)],
)
def test_a_rank_that_does_not_fit_as_a_whole_is_not_admitted(capacity, cut):
    """Ranks 30, 20 and 10 have 3, 4 and 1 messages, in two shards; what is behind a full rank waits too."""
    shards = [{"0": {"30": 1, "20": 4}}, {"0": {"30": 2, "10": 1}}]
    assert cut_offs(shards, limits(capacity)) == {0: cut}
