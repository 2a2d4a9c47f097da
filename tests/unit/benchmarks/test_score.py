"""The score benchmark: its two models, and what is printed of ours and the peers."""

import argparse
from pathlib import Path

import numpy as np
import pytest

from angelia.errors import InvalidInput
from benchmarks import score


def test_rows_have_categories_and_missing_values() -> None:
    numeric, mixed = (score.draw_rows(model, 4000, seed=1) for model in score.MODELS)
    assert 0.03 < np.isnan(numeric).mean() < 0.07
    sizes = [len(np.unique(column[~np.isnan(column)])) for column in mixed[:, -8:].T]
    assert sizes == list(score.CATEGORIES)
    assert all(len(np.unique(column)) > 3000 for column in mixed[:, :32].T)


def test_ours_equals_lightgbm_and_a_missing_peer_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(score, "PEERS_PYTHON", tmp_path / "none")
    monkeypatch.setattr(score, "TRAINED_ON", 2000)
    notes: dict[str, str] = {}
    args = argparse.Namespace(trees=3, rows=1000, runs=1)
    figures, (_, size) = score.measure(tmp_path, "categorical", args, ["tl2cgen"], notes)
    assert figures["ours"][1] < 1e-9
    assert set(figures) == {"lightgbm", "ours"}
    assert size > 1000
    assert notes == {"tl2cgen, categorical": "not installed; `make bench-peers` installs it"}


def test_a_peer_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no peer 'xgboost'"):
        score.main(["--peers", "xgboost"])
