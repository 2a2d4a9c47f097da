"""A person promotes a model once, and not against its metrics.

The command is tested in test_train.py.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from angelia.errors import Conflict, GateClosed, NotFound
from models.dataset import read_examples
from models.promote import objections, promote
from models.train import train

DS, CUTOFF = "2026-11-14", "2026-11-07"
AT = "2026-11-15T03:00:00+00:00"


def test_promotion_needs_a_good_model_and_happens_once(week, registry) -> None:
    with pytest.raises(NotFound, match="no model has been promoted"):
        registry.require_champion()
    version = train(week, registry, ds=DS, cutoff=CUTOFF, trees=20).version
    champion = promote(registry, version, actor="ada", reason="first", at=AT)
    assert (champion.number, registry.require_champion().version) == (1, version)
    assert promote(registry, version, actor="bob", reason="again", at=AT) == champion
    second = train(week, registry, ds=DS, cutoff=CUTOFF, trees=20, seed=8)
    assert second.metrics["champion"]["version"] == version
    assert "dr" in second.metrics["champion"]["off_policy"]
    promote(registry, second.version, actor="bob", reason="newer", at=AT)
    with pytest.raises(Conflict, match="meanwhile"):
        registry.promote(version, actor="eve", reason="late", at=AT, expected=1)
    assert [entry.actor for entry in registry.champions()] == ["ada", "bob"]
    with pytest.raises(NotFound, match="no model version"):
        registry.promote("2026-01-01-000000000000", actor="eve", reason="none", at=AT)


def test_objections_close_the_gate_unless_forced(week, registry) -> None:
    good = {"test": {"logloss": 0.2, "logloss_base_rate": 0.3}}
    assert objections(good) == []
    assert (
        "no better than the base rate" in objections({"test": {"logloss": 0.3, "logloss_base_rate": 0.3}})[0]
    )
    for low, high in ((-0.02, -0.001), (-0.02, 0.0), (-0.02, 0.03), (0.01, 0.02)):
        gain = {"value": (low + high) / 2, "low": low, "high": high}
        refused = objections(good | {"champion": {"off_policy_gain": gain}})
        assert ["credibly less than the champion's" in line for line in refused] == [True] * (high < 0)

    files = registry.load(train(week, registry, ds=DS, cutoff=CUTOFF, trees=5).version)
    metrics = json.loads(files["metrics.json"])
    metrics["test"]["logloss"] = 9.0
    bad = registry.add("2026-11-13", files | {"metrics.json": json.dumps(metrics).encode()})
    with pytest.raises(GateClosed, match="no better"):
        promote(registry, bad, actor="ada", reason="hope", at=AT)
    assert promote(registry, bad, actor="ada", reason="hope", at=AT, force=True).version == bad


def test_labels_at_random_are_not_promoted(week, registry, monkeypatch) -> None:
    """A model of noise has overlapping off-policy intervals; its log loss gives it away."""

    def shuffled(*args: object, **kwargs: object) -> object:
        examples = read_examples(*args, **kwargs)
        mixed = np.random.default_rng(1).permutation(examples.label[: examples.bounds[1]])
        return replace(examples, label=np.concatenate([mixed, examples.label[examples.bounds[1] :]]))

    good = train(week, registry, ds=DS, cutoff=CUTOFF, trees=5)
    assert objections(good.metrics) == []
    promote(registry, good.version, actor="ada", reason="first", at=AT)
    monkeypatch.setattr("models.train.read_examples", shuffled)
    noise = train(week, registry, ds=DS, cutoff=CUTOFF, trees=5)
    assert any("credibly above the champion's" in line for line in objections(noise.metrics))
    with pytest.raises(GateClosed, match="base rate"):
        promote(registry, noise.version, actor="eve", reason="hope", at=AT)
