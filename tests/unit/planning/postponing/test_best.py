"""Which night each of a person's messages is worth most; they make room for each other."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from angelia.planning.later import Fatigue, LaterCosts
from angelia.planning.postponing import NIGHT_LOSS, NIGHTS_AHEAD, Postponable, best_nights

TIRED = Fatigue(tires=0.4, tired_days=2.0)


def later(*nights: dict[int, float]) -> np.ndarray:
    """Return worth on later nights, each given by its number from 1."""
    worth = np.zeros((len(nights), NIGHTS_AHEAD))
    for row, night in enumerate(nights):
        for number, value in night.items():
            worth[row, number - 1] = value
    return worth


def felt_by(felt: list[float], rate: float = 0.0) -> LaterCosts:
    n = np.zeros(len(felt))
    return LaterCosts(flat=n, share=n, felt=np.array(felt), rate=n + rate, lost=n, chance=n)


def nights(
    user: list[int],
    tonight: list[float],
    ahead: np.ndarray,
    costs: LaterCosts | None = None,
    fatigue: Fatigue | None = None,
    most: int = 2,
    is_nightly: bool = False,
) -> list[int]:
    flags = np.full(len(user), is_nightly)
    pairs = Postponable(np.array(user, np.int64), np.array(tonight), ahead, flags)
    return best_nights(pairs, costs, fatigue, most).tolist()


def test_it_waits_for_a_night_that_wins_more_than_waiting_loses() -> None:
    enough, too_little = 1.0 / (1.0 - NIGHT_LOSS) ** 3 + 0.01, 1.0 / (1.0 - NIGHT_LOSS) ** 3 - 0.01
    assert nights([0], [1.0], later({3: enough})) == [3]
    assert nights([0], [1.0], later({3: too_little})) == [0]
    assert nights([0], [1.0], later({1: 1.3, 6: 1.5})) == [1], "the nearer of two good nights"


def test_what_cannot_go_tonight_does_not_wait() -> None:
    assert nights([0, 1], [0.0, 1.0], later({3: 9.0}, {})) == [0, 0]
    assert nights([], [], later()) == []


def test_messages_of_one_person_take_different_nights() -> None:
    """Three would go on Saturday; two fit, and the least worth keeps to tonight."""
    user, best = [0, 0, 0, 1], {6: 2.0}
    worth = [5.0, 4.0, 1.0, 1.0]
    ahead = later({6: 10.0}, {6: 8.0}, best, best)
    assert nights(user, worth, ahead) == [6, 6, 0, 6]
    assert nights(user, worth, ahead, most=1) == [6, 0, 0, 6]


def test_who_feels_a_message_opens_the_next_one_less() -> None:
    """Two equal messages: one goes tonight, the other some nights later, if people tire."""
    user, tonight = [0, 0], [1.0, 0.9]
    ahead = np.tile([[1.0], [0.9]], NIGHTS_AHEAD)
    assert nights(user, tonight, ahead) == [0, 0]
    first, second = nights(user, tonight, ahead, felt_by([0.0, 0.0]), TIRED)
    assert first == 0
    assert second > 0


def test_refusals_spread_messages_where_opens_do_not_tire() -> None:
    user, tonight, ahead = [0, 0], [1.0, 0.9], np.tile([[1.0], [0.9]], NIGHTS_AHEAD)
    refused = Fatigue(tires=0.0, refuses_more=0.5, tired_days=2.0)
    assert nights(user, tonight, ahead, felt_by([0.0, 0.0]), Fatigue(tires=0.0)) == [0, 0]
    first, second = nights(user, tonight, ahead, felt_by([0.0, 0.0]), refused)
    assert (first, second > 0) == (0, True)


def test_a_tired_person_waits_and_one_as_usual_does_not() -> None:
    ahead = np.ones((1, NIGHTS_AHEAD))
    assert nights([0], [1.0], ahead, felt_by([3.0]), TIRED)[0] > 0
    # Who feels as much as they always do will not feel less tomorrow.
    assert nights([0], [1.0], ahead, felt_by([1.0], rate=0.5), TIRED) == [0]


def test_what_would_go_again_tomorrow_makes_nothing_wait() -> None:
    """Else a message would wait for ever behind one that comes every night."""
    user, tonight, ahead = [0, 0], [1.0, 5.0], later(dict.fromkeys(range(1, 7), 1.0), {})
    tired = felt_by([0.0, 0.0])
    assert nights(user, tonight, ahead, tired, TIRED, is_nightly=True) == [0, 0]
    first, second = nights(user, tonight, ahead, tired, TIRED)
    assert (first > 0, second) == (True, 0), "what goes tonight only is felt tonight"


def test_what_may_not_wait_takes_nobody_s_room() -> None:
    """Whether it goes is not known: its budget may be used up."""
    ahead = later(dict.fromkeys(range(1, 7), 1.0), {}, {})
    assert nights([0, 0, 0], [1.0, 5.0, 4.0], ahead, most=1) == [0, 0, 0]


def test_lift_counts_on_later_nights_as_tonight() -> None:
    """Worth by opens and lift together: 1.5 for a chance of .1, so a chance of .3 is worth 4.5."""
    pairs = Postponable.of(
        np.arange(2), np.array([1.5, 0.0]), np.array([0.1, 0.1]), later({1: 0.3}, {1: 0.3}), np.zeros(2, bool)
    )
    assert pairs.later[:, 0].tolist() == [4.5, 0.0]
    assert best_nights(pairs, None, None, 2).tolist() == [1, 0]


@given(st.integers(0, 2**32 - 1))
def test_people_are_laid_out_alone(seed: int) -> None:
    """Whoever else is in the shard, in whatever shard, a person's nights are the same."""
    draw = np.random.default_rng(seed)
    user = np.sort(draw.integers(0, 6, 14))
    tonight = np.round(draw.random(14), 3) * (draw.random(14) < 0.8)
    ahead = np.round(draw.random((14, NIGHTS_AHEAD)) * 2, 3) * (draw.random((14, 1)) < 0.7)
    costs = felt_by(draw.random(6)[user].tolist(), rate=0.2)
    together = np.array(nights(user.tolist(), tonight.tolist(), ahead, costs, TIRED))
    for person in range(6):
        rows = user == person
        own = felt_by(costs.felt[rows].tolist(), rate=0.2)
        alone = nights(user[rows].tolist(), tonight[rows].tolist(), ahead[rows], own, TIRED)
        assert together[rows].tolist() == alone
    assert (together[tonight == 0] == 0).all()
    assert (together[~(ahead > 0).any(axis=1)] == 0).all()
    for night in range(1, NIGHTS_AHEAD + 1):
        assert np.bincount(user[together == night], minlength=1).max() <= 2
