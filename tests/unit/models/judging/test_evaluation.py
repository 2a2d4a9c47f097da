"""Chance's share of a calibration error, and the segment that lost most."""

import numpy as np
import pyarrow as pa
import pytest

from models.evaluate import calibration_error
from models.judging.evaluation import calibration_noise, segments


def test_true_probabilities_are_off_by_chance_alone() -> None:
    rng = np.random.default_rng(1)
    p, weight = rng.uniform(0.01, 0.2, 4000), rng.uniform(0.5, 1.5, 4000)
    errors = [calibration_error((rng.random(4000) < p).astype(float), p, weight) for _ in range(200)]
    assert calibration_noise(p, weight) == pytest.approx(np.mean(errors), rel=0.1)


def test_the_segment_that_lost_is_named() -> None:
    rng = np.random.default_rng(2)
    n = 4000
    country = np.array(["DE", "FR", None], object)[np.arange(n) % 3]
    few = np.where(np.arange(n) < 150, "m", "f")
    p = rng.uniform(0.05, 0.3, n)
    label = (rng.random(n) < p).astype(float)
    worse = np.where(country == "FR", 0.5, p)
    rows = pa.table({"ordinal": np.arange(n), "country": pa.array(country, pa.string()), "gender": few})
    judged = segments(rows, label, worse, p)
    assert judged["n"] == 4  # three countries and one gender: the other has too few pushes
    assert judged["worst"]["segment"] == "country=FR"
    assert judged["worst"]["high"] < -0.1
    assert segments(rows, label, p, worse)["worst"]["high"] >= 0
    assert segments(rows.select(["ordinal"]), label, p, p) == {"n": 0}


def test_many_segments_widen_their_intervals() -> None:
    rng = np.random.default_rng(3)
    n = 4000
    label, half = (rng.random(n) < 0.2).astype(float), np.where(np.arange(n) % 2, "m", "f")
    once = pa.table({"ordinal": np.arange(n), "gender": half})
    twice = once.append_column("country", pa.array(half))
    p, before = rng.uniform(0.1, 0.3, n), np.full(n, 0.2)
    results = [segments(rows, label, p, before) for rows in (once, twice)]
    assert [one["n"] for one in results] == [2, 4]
    assert results[0]["worst"]["value"] == results[1]["worst"]["value"]
    assert results[0]["worst"]["high"] < results[1]["worst"]["high"]
