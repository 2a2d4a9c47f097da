"""What a person did up to a day: nothing later gets in, and each number means what it says."""

import numpy as np
import pyarrow as pa
import pytest

from models.behaviour import (
    PAIR_NUMBERS,
    RESPONSE,
    USER_NUMBERS,
    WINDOW_DAYS,
    Behaviour,
    Population,
    behaviour,
    looks_until,
)
from models.features import FEATURES, N_USER, NAMES, Context, EncodedUsers, encode_pairs
from models.taste import PastLooks

POPULATION = Population(("camera", "shoes"), np.array([0.5, 0.5]), 0.1)
OF = {"sale_camera": "camera", "sale_shoes": "shoes"}


def events(*rows: tuple[int, int, str, str | None, int]) -> pa.Table:
    """Each event: (user, day, type, item, how many)."""
    names = ("row", "day", "event_type", "item", "n_events")
    types = (pa.int64(), pa.int64(), pa.string(), pa.string(), pa.int32())
    columns = list(zip(*rows, strict=True)) if rows else [()] * 5
    table = pa.table({n: pa.array(c, t) for n, c, t in zip(names, columns, types, strict=True)})
    return table.append_column("hours", pa.array(np.ones(table.num_rows, np.int32)))


def pushes(*rows: tuple[int, int, str, str]) -> pa.Table:
    """Each push: (user, day, kind, material), sent on the day it is counted on."""
    names, types = ("row", "day", "kind", "material_id"), (pa.int64(), pa.int64(), pa.string(), pa.string())
    columns = list(zip(*rows, strict=True)) if rows else [()] * 4
    table = pa.table({n: pa.array(c, t) for n, c, t in zip(names, columns, types, strict=True)})
    return table.append_column("sent_day", table["day"].cast(pa.float64()))


def test_nothing_after_the_day_gets_in() -> None:
    before = (events((0, 10, "view", "camera", 3)), pushes((0, 9, "sent", "sale_camera")))
    later = (
        events((0, 10, "view", "camera", 3), (0, 11, "view", "shoes", 99), (1, 11, "cart", "shoes", 9)),
        pushes(
            (0, 9, "sent", "sale_camera"), (0, 11, "opened", "sale_camera"), (1, 11, "sent", "sale_shoes")
        ),
    )
    first, other = (behaviour(*rows, OF, POPULATION, day=10, n=2) for rows in (before, later))
    for name, values in (first.user | first.pair).items():
        assert np.array_equal(values, (other.user | other.pair)[name]), name


def test_looks_wants_and_opens_of_a_category_count_for_it_alone() -> None:
    days = events((0, 10, "view", "camera", 5), (0, 10, "cart", "camera", 1), (1, 10, "open", None, 7))
    sent = [(0, day, "sent", "sale_camera") for day in range(4, 10)]
    opened = [(0, day, "opened", "sale_camera") for day in range(4, 10)]
    values = behaviour(days, pushes(*sent, *opened), OF, POPULATION, day=10, n=3)
    for name in ("category_looks", "category_looks_3d", "category_wants", "category_response"):
        assert values.pair[name][0, 0] > 0 > values.pair[name][0, 1] - 1e-12, name
        assert np.allclose(values.pair[name][1:], 0.0), name
    assert values.user["response"][0] > 0 == values.user["response"][2]
    assert values.user["felt"][0] > values.pair["category_felt"][0, 1] == 0
    assert values.user["activity"].tolist() == [pytest.approx(np.log(2)), pytest.approx(np.log(2)), 0.0]


def test_unknown_categories_say_nothing() -> None:
    features = behaviour(events(), pushes(), {}, POPULATION, day=10, n=2)
    everybody = np.arange(2)
    assert all(np.isnan(values).all() for values in features.of("sofa", everybody).values())
    assert all(np.isnan(values).all() for values in features.of(None, everybody).values())
    assert np.array_equal(features.of("shoes", everybody)["category_looks"], np.zeros(2))


def test_the_population_survives_its_file() -> None:
    days, sent = events((0, 1, "view", "camera", 3)), pushes((0, 1, "sent", "sale_camera"))
    population = Population.of(("camera", "shoes"), days, sent)
    again = Population.from_dict(population.as_dict())
    assert again.categories == population.categories
    assert np.allclose(again.shares, [0.8, 0.2])
    assert again.open_rate == pytest.approx(population.open_rate, abs=1e-6)


def test_taste_counts_looks_up_to_the_day_for_those_asked() -> None:
    looks = [(i, 9, "view", ("camera", "shoes")[i % 2], 1) for i in range(40)]
    facts = pa.table(
        {
            "gender": pa.array([None] * 40, pa.string()),
            "age_years": pa.array([None] * 40, pa.int32()),
            "tags": pa.array([None] * 40, pa.list_(pa.string())),
        }
    )
    days = events(*looks, (1, 11, "view", "camera", 1))
    known = POPULATION.knowing(days, facts, day=10)
    asked = np.array([0, 1])
    taste = behaviour(days, pushes(), OF, known, day=10, n=40, users=facts, asked=asked).pair["taste"]
    assert taste[0, 0] > 0 > taste[1, 0]
    assert taste[1, 1] == pytest.approx(-taste[1, 0])
    assert not taste[2:].any()
    assert not behaviour(days, pushes(), OF, POPULATION, day=10, n=40, users=facts).pair["taste"].any()
    assert POPULATION.knowing(days, facts, day=8).taste is None  # nobody had looked at anything by then
    again = Population.from_dict(known.as_dict())
    assert np.allclose(again.taste.covariance, known.taste.covariance, atol=1e-6)


def test_a_behaviour_that_knows_nothing_is_encoded_as_unknown() -> None:
    nothing = Behaviour((), {name: np.full(2, np.nan) for name in USER_NUMBERS}, {})
    matrix = np.zeros((2, N_USER), np.float32)
    vocabulary = {feature.name: [] for feature in FEATURES if feature.kind == "category"}
    users = EncodedUsers(matrix, {"camera": np.array([True, False])}, nothing)
    pairs = encode_pairs(users, np.arange(2), Context("c", "m", "promo", "camera"), vocabulary)
    assert all(np.isnan(pairs[:, NAMES.index(name)]).all() for name in PAIR_NUMBERS)
    assert pairs[:, NAMES.index("is_category_in_tags")].tolist() == [1.0, 0.0]


def test_older_looks_add_to_the_window_and_fade() -> None:
    days = events((0, 10, "view", "camera", 1), (0, 12, "view", "shoes", 1))
    kept = pa.table({"ordinal": [7, 7, 9], "item": ["shoes", "sofa", "shoes"], "looks": [4.0, 9.0, 5.0],
                     "sent": [3.0, 1.0, 9.0], "opened": [None, 1.0, 2.0]})  # fmt: skip
    before = PastLooks.of(kept, np.array([5, 7]), day=9)
    categories = POPULATION.categories
    assert looks_until(days, before, categories, day=11, n=2).tolist() == [[1, 0], [0, 4]]
    later = looks_until(days, before, categories, day=9 + WINDOW_DAYS + 180, n=2)
    assert later[1].tolist() == [0, pytest.approx(2.0)]
    # Without a record the window is all there is.
    assert looks_until(days, None, categories, day=12 + WINDOW_DAYS, n=2).tolist() == [[0, 0], [0, 0]]


def test_a_year_of_pushes_stands_behind_an_open_rate() -> None:
    kept = pa.table({"ordinal": [5, 5, 7], "item": ["shoes", "sofa", "shoes"], "looks": [0.0, 0.0, 1.0],
                     "sent": [60.0, 20.0, 80.0], "opened": [20.0, 4.0, None]})  # fmt: skip
    before = PastLooks.of(kept, np.array([5, 7, 9]), day=9)
    # The record holds day 9 already; a push of the day after it counts beside it.
    known = pushes(
        (0, 9, "sent", "sale_camera"), (0, 10, "sent", "sale_camera"), (0, 11, "sent", "sale_camera")
    )

    def response(day: int) -> np.ndarray:
        return behaviour(events(), known, OF, POPULATION, day=day, n=3, before=before).user["response"]

    rate = POPULATION.open_rate
    wanted = [(24 + RESPONSE) / (81 * rate + RESPONSE), RESPONSE / (80 * rate + RESPONSE), 1.0]
    assert np.exp(response(10)) == pytest.approx(wanted)
    # Half a year after it has left the window, what is kept counts half.
    assert np.exp(response(9 + WINDOW_DAYS + 180))[1] == pytest.approx(RESPONSE / (40 * rate + RESPONSE))
