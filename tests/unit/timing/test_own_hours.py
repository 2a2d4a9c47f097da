"""Hours of one's own join the policy's in the shortest arc of the clock over both."""

from __future__ import annotations

import numpy as np
import pytest

from angelia.timing.own_hours import Span, joined, parse_span, quiet_slots


def hours(span: Span | None) -> set[int]:
    if span is None:
        return set()
    return {(span[0] + step) % 24 for step in range((span[1] - span[0]) % 24)}


def test_hours_are_written_as_first_and_end() -> None:
    assert [parse_span(text) for text in ("22-8", "0-23", "07-9")] == [(22, 8), (0, 23), (7, 9)]
    assert [parse_span(text) for text in ("", "8-8", "24-3", "3-24", "x", "1-2-3", "-1-4")] == [None] * 7


@pytest.mark.parametrize(
    ("policy", "own", "expected"),
    [
        (None, None, None), ((22, 8), None, (22, 8)), (None, (1, 5), (1, 5)),
        ((22, 8), (1, 5), (22, 8)), ((22, 8), (20, 23), (20, 8)), ((22, 8), (7, 10), (22, 10)),
        ((22, 8), (8, 9), (22, 9)), ((22, 8), (21, 9), (21, 9)), ((9, 12), (13, 14), (9, 14)),
        ((22, 8), (12, 14), (22, 14)), ((0, 12), (12, 0), (0, 23)),
    ],
)  # fmt: skip
def test_the_join_is_the_shortest_arc_over_both(
    policy: Span | None, own: Span | None, expected: Span | None
) -> None:
    assert joined(policy, own) == expected
    assert joined(own, policy) == expected or len(hours(joined(own, policy))) == len(hours(expected))


def test_every_pair_is_covered() -> None:
    spans = [(a, b) for a in range(0, 24, 3) for b in range(1, 24, 3) if a != b]
    for policy in spans:
        for own in spans:
            both = hours(policy) | hours(own)
            assert hours(joined(policy, own)) >= both - (set() if len(both) < 24 else both)


def test_only_people_with_hours_of_their_own_are_touched() -> None:
    hour = np.tile(np.arange(24, dtype=np.int8), (3, 1))
    is_broken = np.zeros(hour.shape, bool)
    is_broken[2] = True
    quiet = quiet_slots((22, 8), {1: (6, 10), 2: (6, 10)}, hour, is_broken)
    assert not quiet[0].any()
    assert set(np.flatnonzero(quiet[1]).tolist()) == hours((22, 10))
    # Half an hour of the slot before lies in the first quiet hour.
    assert set(np.flatnonzero(quiet[2]).tolist()) == hours((21, 10))
    assert set(np.flatnonzero(quiet_slots(None, {0: (1, 2)}, hour, is_broken)[0])) == {1}
