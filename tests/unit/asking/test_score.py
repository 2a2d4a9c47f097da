"""A score taken apart: parts that add up to the stored one, or a note that says why not."""

from __future__ import annotations

import numpy as np
import pytest

from angelia.asking import score as module
from angelia.asking.night import ResidentNight, open_night
from angelia.asking.score import LATELY, PersonScores, try_scores
from angelia.errors import NotFound
from angelia.lake import Lake
from angelia.users.one_person import PersonLake
from models.answering.lately import ScoreShift
from models.registry import Registry
from tests.unit.spark_jobs.test_plan_dispatch import DS


def test_without_a_registry_nothing_is_said(tight: Lake) -> None:
    notes: list[str] = []
    resident = ResidentNight(open_night(tight, DS))
    assert try_scores(resident, PersonLake(tight, 7, 8), None, notes) is None
    assert notes == []


def test_a_model_that_is_gone_is_a_note(tight: Lake, tmp_path) -> None:
    notes: list[str] = []
    resident = ResidentNight(open_night(tight, DS))
    assert try_scores(resident, PersonLake(tight, 7, 8), Registry.open(str(tmp_path)), notes) is None
    (note,) = notes
    assert note.startswith("scores are not taken apart: ")


class Known:
    """A linear scorer of three features, whose parts are what they add."""

    def __init__(self) -> None:
        self.vocabulary = {"country": ["de", "fr"]}

    def predict_matrix(self, matrix: np.ndarray) -> np.ndarray:
        return np.full(len(matrix), 0.25)

    def parts(self, matrix: np.ndarray) -> tuple[list[str], np.ndarray]:
        return ["a", "country", "c"], np.array([[0.5, -0.2, 0.001], [0.5, 0.3, 0.0]])[: len(matrix)]


@pytest.fixture
def scores(tight: Lake, monkeypatch: pytest.MonkeyPatch) -> PersonScores:
    monkeypatch.setattr(module, "NAMES", ["a", "country", "c"])
    made = PersonScores.__new__(PersonScores)
    made.night, made.scorer = open_night(tight, DS), Known()  # type: ignore[assignment]
    made.shift, made.segment = ScoreShift(), (["all"], np.zeros(1, np.int64))
    monkeypatch.setattr(made, "matrix", lambda *_: np.array([[np.nan, 1.0, 3.14159]]))
    return made


def test_parts_are_listed_by_weight_with_the_persons_value(scores: PersonScores) -> None:
    apart = scores.apart("sale", "sale_a", 0.25, None, None)
    assert [(part.feature, part.value, part.adds) for part in apart.parts] == [
        ("a", "unknown", 0.5),
        ("country", "fr", -0.2),
    ]
    assert scores._value("a x c", np.array([[1.0, 0.0, 3.14159]])) == "1 x 3.142"


def test_what_tells_two_materials_apart_comes_first(scores: PersonScores) -> None:
    apart = scores.apart("sale", "sale_a", 0.25, "sale_b", 0.2)
    assert [(part.feature, part.over_runner_up) for part in apart.parts] == [("country", -0.5), ("a", 0.0)]


def test_what_was_opened_since_the_training_is_a_part(scores: PersonScores) -> None:
    scores.shift = ScoreShift({"sale_a": {"": 0.7}})
    moved = 1 / (1 + 3 * np.exp(-0.7))  # the model says one in four
    apart = scores.apart("sale", "sale_a", moved, "sale_b", 0.2)
    assert (apart.parts[0].feature, apart.parts[0].adds, apart.parts[0].over_runner_up) == (LATELY, 0.7, 0.7)
    with pytest.raises(NotFound, match="and the same rows give"):
        scores.apart("sale", "sale_a", 0.25, None, None)


def test_a_score_that_is_another_today_is_not_explained(scores: PersonScores) -> None:
    with pytest.raises(NotFound, match="and the same rows give"):
        scores.apart("sale", "sale_a", 0.3, None, None)
