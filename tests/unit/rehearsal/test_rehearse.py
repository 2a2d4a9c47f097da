"""A model decides in a simulated shop: noise is refused, and another shop's is made again."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from angelia.errors import InvalidInput
from angelia.rehearsal.rehearse import Lived, gain, knows, open_shop, rehearse
from angelia.rehearsal.site import ANCHOR
from angelia.world.clock import day_number
from angelia.world.truth import World
from models.dataset import read_examples
from models.judging.rehearsed import AS_IT_IS, TRAINED_THERE, shortfalls
from models.registry import Registry, to_json
from models.train import train

SMALL = {"seeds": (1,), "people": 500, "nights": 1}


def shuffled(*args: object, **kwargs: object) -> object:
    """Return the examples with each label at another push."""
    examples = read_examples(*args, **kwargs)
    return replace(examples, label=np.random.default_rng(1).permutation(examples.label))


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Registry, str, str]:
    """Return a registry with a model of a shop's pushes, and one of shuffled labels."""
    home: Path = tmp_path_factory.mktemp("a shop")
    shop = open_shop(home, World(2, 600, day_number(ANCHOR)))
    registry = Registry.open(home / "models")
    # A dozen rounds of priors make a better model than a test needs.
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("models.logistic.ROUNDS", 3)
        good = train(shop.lake, registry, ds=ANCHOR, trees=5).version
        patched.setattr("models.train.read_examples", shuffled)
        noise = train(shop.lake, registry, ds=ANCHOR, trees=5).version
    return registry, good, noise


def test_a_model_of_shuffled_labels_decides_worse(versions, monkeypatch) -> None:
    registry, good, noise = versions
    monkeypatch.setenv(
        "ANGELIA_HISTORY_DAYS", "7"
    )  # the real shop's settings are none of the simulated one's
    assert registry.champion() is None
    registry.promote(good, actor="ada", reason="first", at=f"{ANCHOR}T03:00:00+00:00")
    verdict = rehearse(registry, noise, **SMALL)
    assert (verdict["how"], verdict["champion"]) == (AS_IT_IS, good)
    refused = shortfalls(verdict)
    assert any(
        "its opens a message are credibly fewer than those of the champion" in line for line in refused
    )
    assert set(verdict["figures"]) == {"version", "champion", "usual"}
    # The champion of the same pushes does better than the usual product, on the same people.
    rate = {name: figures["opens_per_message"] for name, figures in verdict["figures"].items()}
    assert rate["champion"] > max(rate["version"], rate["usual"])


def test_a_model_of_other_campaigns_is_made_again_there(versions, monkeypatch) -> None:
    registry, good, _ = versions
    monkeypatch.setattr("models.logistic.ROUNDS", 3)
    files = registry.load(good)
    assert knows(files)
    declared = json.loads(files["features.json"])
    declared["vocabulary"]["material_id"] = ["our_shoes", "our_hats"]
    stranger = registry.add(ANCHOR, files | {"features.json": to_json(declared)})
    verdict = rehearse(registry, stranger, **SMALL)
    assert verdict["how"] == TRAINED_THERE
    assert "one made like it" in verdict["says"]
    assert set(verdict["gains"]) == {"usual"}
    assert shortfalls(verdict) == []


def test_a_prior_has_nothing_to_rehearse(versions) -> None:
    registry, good, _ = versions
    files = registry.load(good)
    lineage = json.loads(files["lineage.json"]) | {"prior": 0.05}
    prior = registry.add(ANCHOR, files | {"lineage.json": to_json(lineage)})
    with pytest.raises(InvalidInput, match="is a prior"):
        rehearse(registry, prior, **SMALL)


def test_the_interval_of_a_ratio_covers_the_truth() -> None:
    rng, inside = np.random.default_rng(4), 0
    for _ in range(300):
        people = rng.gamma(1.0, 1.0, 400)
        sent = [rng.poisson(1.0 + people).astype(float) for _ in range(2)]
        ours, other = (Lived(sent[k], sent[k] * rng.beta(2, 18, 400) * (1.2, 1.0)[k], 0.0) for k in (0, 1))
        true = 0.1 * 1.2 - 0.1
        interval = gain(ours, other)["opens_per_message"]
        inside += interval["low"] < true < interval["high"]
    assert 0.91 < inside / 300 < 0.98
