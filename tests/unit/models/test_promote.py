"""A person promotes a model once, and not against its metrics.

The command is tested in test_train.py.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from angelia.errors import Conflict, Corrupt, GateClosed, NotFound
from models.dataset import read_examples
from models.judging import BARS, objections
from models.judging.rehearsed import objections_of
from models.promote import main, promote
from models.registry import FILES, to_json
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
    # As good as the champion is a refresh, and no reason to replace it unless one is asked for.
    with pytest.raises(GateClosed, match=r"may earn no more than the champion's .* the bar is above 0\.0"):
        promote(registry, second.version, actor="bob", reason="newer", at=AT)
    promote(registry, second.version, actor="bob", reason="newer", at=AT, bar="non_inferior")
    with pytest.raises(Conflict, match="meanwhile"):
        registry.promote(version, actor="eve", reason="late", at=AT, expected=1)
    assert [entry.actor for entry in registry.champions()] == ["ada", "bob"]
    with pytest.raises(NotFound, match="no model version"):
        registry.promote("2026-01-01-000000000000", actor="eve", reason="none", at=AT)


def test_objections_close_the_gate_unless_forced(week, registry) -> None:
    files = registry.load(train(week, registry, ds=DS, cutoff=CUTOFF, trees=5).version)
    metrics = json.loads(files["metrics.json"])
    assert objections(metrics) == []
    metrics["test"]["logloss"] = 9.0
    bad = registry.add("2026-11-13", files | {"metrics.json": json.dumps(metrics).encode()})
    with pytest.raises(GateClosed, match="no better"):
        promote(registry, bad, actor="ada", reason="hope", at=AT)
    assert promote(registry, bad, actor="ada", reason="hope", at=AT, force=True).version == bad


def test_the_champion_needs_no_verdict_again(registry) -> None:
    good = {"test": {"logloss": 0.2, "logloss_base_rate": 0.3}}
    files = dict.fromkeys(FILES, b"{}") | {"model.txt": b"", "metrics.json": to_json(good)}
    version = registry.add(DS, files)
    champion = promote(registry, version, actor="ada", reason="first", at=AT)
    registry.store.put(f"p_open/rehearsals/{version}/verdict.json", b"{")
    assert promote(registry, version, actor="bob", reason="again", at=AT, must_be_rehearsed=True) == champion
    with pytest.raises(Corrupt, match="verdict of its rehearsal is damaged"):
        objections_of(registry, version, needed=True)


def test_a_champion_since_the_comparison_closes_the_gate(registry) -> None:
    def version(seed: int, compared: str | None) -> str:
        champion = {"champion": {"version": compared, "not_compared": "-"}} if compared else {}
        metrics = {"test": {"logloss": 0.2, "logloss_base_rate": 0.3}} | champion
        made = {"model.txt": str(seed).encode(), "metrics.json": to_json(metrics)}
        return registry.add(DS, dict.fromkeys(FILES, b"{}") | made)

    first, second = version(1, None), version(2, None)
    promote(registry, first, actor="ada", reason="first", at=AT)
    with pytest.raises(GateClosed, match=f"compared with no champion, and {first} has become champion since"):
        promote(registry, second, actor="bob", reason="trained before", at=AT)
    third, fourth = version(3, first), version(4, first)
    promote(registry, third, actor="bob", reason="better", at=AT)
    with pytest.raises(GateClosed, match=f"compared with {first}, and {third} has become champion since"):
        promote(registry, fourth, actor="ada", reason="approved three days later", at=AT)
    assert promote(registry, first, actor="ada", reason="back", at=AT).number == 3
    assert promote(registry, fourth, actor="ada", reason="compared with it", at=AT).number == 4
    assert promote(registry, second, actor="ada", reason="all the same", at=AT, force=True).number == 5


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
    for bar in BARS:
        refused = objections(noise.metrics, bar)
        assert any("credibly above the champion's" in line for line in refused)
        assert any("earn credibly less than the champion's" in line for line in refused)
        with pytest.raises(GateClosed, match="base rate"):
            promote(registry, noise.version, actor="eve", reason="hope", at=AT, bar=bar)


def test_compiling_without_the_extra_promotes_nothing(registry, monkeypatch, capsys) -> None:
    good = {"test": {"logloss": 0.2, "logloss_base_rate": 0.3}}
    files = dict.fromkeys(FILES, b"{}") | {"model.txt": b"", "metrics.json": to_json(good)}
    words = ["--version", registry.add(DS, files), "--by", "ada", "--reason", "first", "--json", "--compile"]
    monkeypatch.setattr("models.promote.Registry.configured", lambda settings: registry)
    with monkeypatch.context() as bare:
        bare.setattr("models.promote.compiler", lambda: None)
        assert main(words) == 2
    assert "pip install 'angelia[compiled]'" in capsys.readouterr().err
    assert registry.champion() is None
    assert main(words) == 0
    assert "nothing to compile" in json.loads(capsys.readouterr().out)["compiled"]
    assert registry.require_champion().actor == "ada"
