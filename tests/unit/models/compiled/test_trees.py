"""Compiled trees: equal to LightGBM's, kept with hashes, left alone where unfit."""

from dataclasses import dataclass
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest

from angelia.errors import InvalidInput
from models.compiled import trees
from models.compiled.trees import CODE, FACTS, CompiledTrees, compiled_files, keep_compiled, misfit
from models.registry import FILES, Registry

N = 3000


@dataclass(frozen=True)
class Kept:
    """A registry with one version, its Booster, and rows with categories nobody has seen."""

    registry: Registry
    version: str
    booster: lgb.Booster
    rows: np.ndarray


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """Return a version of twelve trees, compiled."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(N, 6)).astype(np.float32)
    rows[:, 5] = rng.integers(0, 40, N)
    rows[rng.random(rows.shape) < 0.05] = np.nan
    chance = 1 / (1 + np.exp(-np.nan_to_num(rows[:, 0]) - (np.nan_to_num(rows[:, 5]) % 3)))
    label = (rng.random(N) < chance).astype(float)
    options = {
        "objective": "binary",
        "num_leaves": 15,
        "verbosity": -1,
        "num_threads": 1,
        "max_cat_to_onehot": 4,
    }
    booster = lgb.train(options, lgb.Dataset(rows, label, categorical_feature=[5]), 12)
    rows = rows.copy()
    rows[:50, 5] = 77
    rows[50:60, 5] = -1
    registry = Registry.open(tmp_path_factory.mktemp("registry"))
    files = dict.fromkeys(FILES, b"{}") | {"model.txt": booster.model_to_string().encode()}
    version = registry.add("2026-11-14", files)
    assert "are compiled for" in keep_compiled(registry, version)
    return Kept(registry, version, booster, rows)


def test_compiled_trees_score_like_lightgbm(kept: Kept) -> None:
    files = compiled_files(kept.registry, kept.version, kept.registry.load(kept.version))
    compiled = CompiledTrees.of(files)
    assert compiled is not None
    expected = kept.booster.predict(kept.rows, raw_score=True, num_threads=1)
    for threads in (1, 2):
        assert compiled.predict(kept.rows, threads) == pytest.approx(expected, abs=1e-9)
    assert len(compiled.predict(kept.rows[:0])) == 0


def test_code_that_does_not_fit_is_left_alone(kept: Kept, monkeypatch, capsys) -> None:
    files = compiled_files(kept.registry, kept.version, kept.registry.load(kept.version))
    assert misfit(files) is None
    assert misfit(files | {"model.txt": files["model.txt"] + b"more"}) == "they are of other trees"
    assert "changed after" in str(misfit(files | {CODE: files[CODE][:-1]}))
    for damaged in (b"{", b"[]", b"{}"):
        assert misfit(files | {FACTS: damaged}) is not None
        assert CompiledTrees.of(files | {FACTS: damaged}) is None
    monkeypatch.setattr(trees.metadata, "version", lambda name: "9.9")
    assert "made by lleaves" in str(misfit(files))
    capsys.readouterr()
    assert CODE not in compiled_files(kept.registry, kept.version, kept.registry.load(kept.version))
    assert "LightGBM scores instead" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr(trees.platform, "machine", lambda: "riscv64")
    assert "riscv64" in str(misfit(files))
    assert CODE not in compiled_files(kept.registry, kept.version, kept.registry.load(kept.version))


def test_without_the_extra_lightgbm_scores(kept: Kept, monkeypatch) -> None:
    def absent(name: str) -> str:
        raise trees.metadata.PackageNotFoundError(name)

    files = compiled_files(kept.registry, kept.version, kept.registry.load(kept.version))
    monkeypatch.setattr(trees.metadata, "version", absent)
    assert "no compiler" in str(misfit(files))
    assert CompiledTrees.of(files) is None
    with pytest.raises(InvalidInput, match="no compiler for trees"):
        keep_compiled(kept.registry, kept.version)


def test_a_model_without_trees_has_nothing_to_compile(tmp_path: Path) -> None:
    registry = Registry.open(tmp_path)
    version = registry.add("2026-11-14", {name: b"" if name == "model.txt" else b"{}" for name in FILES})
    assert "nothing to compile" in keep_compiled(registry, version)
    files = registry.load(version)
    assert compiled_files(registry, version, files) == files
