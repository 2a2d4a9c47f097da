"""A simulated shop of 150 people with a month's history and a small model, and its night."""

from __future__ import annotations

import pytest

from angelia.rehearsal.night import decide
from angelia.rehearsal.policies import PolicyView
from angelia.rehearsal.rehearse import open_shop
from angelia.rehearsal.site import ANCHOR, Site
from angelia.world.clock import day_number
from angelia.world.truth import World
from models.registry import Registry
from models.train import train


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Return the shop; tests that let it live on take a copy."""
    opened = open_shop(tmp_path_factory.mktemp("shop"), World(2, 150, day_number(ANCHOR)))
    opened.write_features(ANCHOR)
    return opened


@pytest.fixture(scope="session")
def night(shop: Site) -> PolicyView:
    """Return what a policy may look at, with the hours of everybody as good as any."""
    with pytest.MonkeyPatch.context() as patched:
        # A dozen rounds of priors make a better model than a test needs.
        patched.setattr("models.logistic.ROUNDS", 3)
        model = train(shop.lake, Registry.open(shop.home / "models"), ds=ANCHOR, trees=5).version
        decide(shop, ANCHOR, "random", 1, curves=False, model=model)
    return PolicyView.of(shop, ANCHOR)
