"""Likings: learned from looks, believed in proportion to them, and blind to later days."""

import numpy as np
import pyarrow as pa
import pytest

from models.taste import Taste, facts, visits

CATEGORIES = ("books", "camera", "games", "shoes")
N = 3000


def people(n: int, tags: list[list[str]] | None = None) -> pa.Table:
    return pa.table(
        {
            "gender": pa.array([("f", "m", None)[i % 3] for i in range(n)], pa.string()),
            "age_years": pa.array([None if i % 5 == 0 else 20 + i % 40 for i in range(n)], pa.int32()),
            "tags": pa.array([[] for _ in range(n)] if tags is None else tags, pa.list_(pa.string())),
        }
    )


def choices(seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return true likings and looks: whoever likes cameras likes games, too."""
    rng = np.random.default_rng(seed)
    covariance = np.array([[0.3, 0, 0, 0], [0, 0.5, 0.4, 0], [0, 0.4, 0.5, 0], [0, 0, 0, 0.3]])
    liked = rng.multivariate_normal(np.zeros(4), covariance, N)
    chance = np.exp(np.log([0.1, 0.2, 0.3, 0.4]) + liked)
    counts = np.array([rng.multinomial(size, row / row.sum()) for row in chance], float)
    return liked - liked.mean(axis=1, keepdims=True), counts


def test_likings_are_nearer_the_truth_than_shares_are() -> None:
    liked, looks = choices(1, 8)
    taste = Taste.learn(CATEGORIES, looks, people(N))
    guess = taste.of(looks, people(N))
    lift = np.log((looks + 4 * taste.shares) / (12 * taste.shares))
    lift -= lift.mean(axis=1, keepdims=True)
    ours, plain = (np.corrcoef(liked.ravel(), other.ravel())[0, 1] for other in (guess, lift))
    assert ours > 0.5
    assert ours > plain + 0.01
    # Looks at cameras alone say something of games, and nothing like it of shoes.
    fan = taste.of(np.array([[0.0, 9.0, 0.0, 0.0]]), people(1))[0]
    assert fan[1] > fan[2] > fan[3] + 0.2


def test_few_looks_move_a_belief_little_and_none_not_at_all() -> None:
    _, looks = choices(2, 8)
    taste = Taste.learn(CATEGORIES, looks, people(N))
    few, many = taste.of(np.array([[0, 0, 1.0, 0], [0, 0, 20.0, 0]]), people(1).take([0, 0]))
    assert 0 < few[2] < many[2] / 3
    nothing = taste.of(np.zeros((2, 4)), people(3).take([1, 1]))
    assert np.allclose(nothing[0], nothing[1])
    assert abs(nothing).max() < 0.1  # these people's facts mean nothing
    assert taste.of(np.zeros((0, 4)), people(0)).shape == (0, 4)
    batched = taste.of(looks[:50], people(50))
    assert np.allclose(batched[7:9], taste.of(looks[7:9], people(50).slice(7, 2)))


def test_tags_tell_what_somebody_without_looks_likes() -> None:
    liked, looks = choices(3, 8)
    tags = [[CATEGORIES[c] for c in np.flatnonzero(row > 0.5)] for row in liked]
    taste = Taste.learn(CATEGORIES, looks, people(N, tags))
    cold = taste.of(np.zeros((1, 4)), people(1, [["camera"]]))[0]
    assert cold[1] > 0.3 > cold[3]
    assert facts(people(2, [["camera"], ["sofa"]]), CATEGORIES, ("f", "m")).shape == (2, 9)


def test_a_taste_survives_its_file() -> None:
    _, looks = choices(4, 8)
    taste = Taste.learn(CATEGORIES, looks, people(N))
    again = Taste.from_dict(taste.as_dict())
    assert again.categories == CATEGORIES
    assert np.allclose(again.of(looks, people(N)), taste.of(looks, people(N)), atol=1e-4)
    nobody = Taste.learn(CATEGORIES, np.zeros((0, 4)), people(0))
    assert np.isfinite(nobody.of(np.ones((2, 4)), people(2))).all()


def test_an_hour_is_one_visit_and_later_days_are_not_seen() -> None:
    rows = [
        (0, 5, "view", "camera", 0b0110), (0, 5, "cart", "camera", 0b0100), (0, 4, "view", "camera", 0b0100),
        (0, 6, "view", "camera", 0b1), (1, 5, "view", "shoes", 0b1), (1, 5, "view", "sofa", 0b1),
        (1, 5, "open", None, 0b1), (1, -2, "view", "games", 0b1),
    ]  # fmt: skip
    names = ("row", "day", "event_type", "item", "hours")
    days = pa.table(dict(zip(names, (list(c) for c in zip(*rows, strict=True)), strict=True)))
    looks = visits(days, CATEGORIES, since=-2, day=5, n=3)
    assert looks.tolist() == [[0, 3, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert visits(days.slice(0, 0), CATEGORIES, since=-2, day=5, n=1).tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize("most", [2, 3])
def test_rare_categories_are_left_to_the_other_numbers(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.taste.MAX_CATEGORIES", most)
    _, looks = choices(5, 8)
    taste = Taste.learn(CATEGORIES, looks, people(N))
    assert taste.categories == CATEGORIES[-most:]
