"""Compaction: what a part's outcomes come to in ledger, receipts and suppressions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from angelia.delivery.ledger import compaction
from angelia.delivery.ledger.ledger import Ledger
from angelia.delivery.manifest import parts
from angelia.lake import Lake
from tests.unit.delivery.given import ELSEWHERE, outcomes


@pytest.mark.parametrize(
    ("tries", "late", "known"),
    [
        (0, "rejected", "rejected"),  # the one try there was
        (1, "rejected", "ambiguous"),  # the second worker's own try may have arrived
        (0, "skipped", "ambiguous"),
        (0, "accepted", "accepted"),
    ],
)
def test_a_lost_owner_explains_its_own_try_only(
    lake: Lake, part: parts.Part, tries: int, late: str, known: str
) -> None:
    first, second = (Ledger(lake.store, replace(ELSEWHERE, host=name), lambda: 0) for name in ("a", "b"))
    a, b = first.claim(part), second.claim(part, takeover=True)
    assert a is not None
    assert b is not None
    assert second.conclude(b, 0, outcomes([("ambiguous", 1)], tries))
    assert not first.conclude(a, 0, outcomes([(late, 1)]))
    assert compaction.merged(first, [part])["outcome"].to_pylist() == [known]
