"""What earlier messages leave room for, against counting them one by one."""

from __future__ import annotations

import numpy as np
import pytest

from angelia.planning.before import Past, lower_for_vendors, room_for, too_near
from angelia.planning.terms import CapTerms, ChannelTerms
from tests.unit.planning.few_people import past_of

N, H = 9, 24
CAPS = [CapTerms(2, 1), CapTerms(3, 3), CapTerms(40_000, 7)]


@pytest.fixture(scope="module")
def past() -> Past:
    """Thirty messages before and during the plan; the last three people got none."""
    rng = np.random.default_rng(5)
    hours = np.concatenate([rng.uniform(-90, 20, 26), [-24.0, -23.0, 0.0, 3.0]])
    return past_of(rng.integers(0, N - 3, 30), ["old"] * 30, hours, [f"m{i}" for i in range(30)])


def by_counting(caps: list[CapTerms], past: Past, keep: np.ndarray) -> list[list[int]]:
    room = []
    for user in range(N):
        mine = past.hours[(past.user == user) & keep]
        room.append(
            [min(c.messages - int((slot - mine < 24 * c.days).sum()) for c in caps) for slot in range(H)]
        )
    return room


def test_room_is_what_counting_leaves(past: Past) -> None:
    keep = np.arange(30) % 5 != 0
    for kept in (keep, np.ones(30, bool), np.zeros(30, bool)):
        assert room_for(CAPS, past, N, H, kept).tolist() == by_counting(CAPS, past, kept)


def test_without_caps_there_is_room_for_all(past: Past) -> None:
    assert (room_for([], past, N, H) == np.iinfo(np.int16).max).all()


def test_a_vendors_limit_lowers_its_own_phones_only(past: Past) -> None:
    room = room_for([CapTerms(9, 1)], past, N, H)
    lowered = room.copy()
    vendors = ["oppo", None, "vivo"] * 3
    channels = [ChannelTerms("sms", 0, 9, (("oppo", 1),)), ChannelTerms("fcm", 0, 9, (("oppo", 2),))]
    lower_for_vendors(channels, vendors, past, np.ones(30, bool), lowered)
    is_oppo = np.array([vendor == "oppo" for vendor in vendors])
    assert np.array_equal(lowered[~is_oppo], room[~is_oppo])
    expected = by_counting([CapTerms(1, 1), CapTerms(9, 1)], past, np.ones(30, bool))
    assert lowered[is_oppo].tolist() == [row for row, own in zip(expected, is_oppo, strict=True) if own]


def test_slots_within_the_gap_are_near(past: Past) -> None:
    near = too_near(past, np.ones(30, bool), N, H, 4)
    for user in range(N):
        mine = past.hours[past.user == user]
        assert near[user].tolist() == [bool(((s - mine < 4) & (mine - s < 5)).any()) for s in range(H)]
