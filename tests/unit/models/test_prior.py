"""A shop that never pushed begins with a prior that ranks by what people look at."""

import json

import numpy as np
import pyarrow as pa
import pytest

from angelia.errors import GateClosed, NotFound
from models.behaviour import behaviour
from models.features import Context
from models.past import read_past
from models.prior import make_prior
from models.promote import promote
from models.registry import Registry
from models.scorer import Scorer
from models.train import main as train_main
from tests.user_index import append_people

DS, AT = "2026-11-14", "2026-11-15T03:00:00+00:00"


@pytest.fixture
def shop(lake, night):
    """Return a lake with a catalog and events of two people, and no push."""
    night.write_features_and_catalog(lake, 2)
    index = pa.table({"user_id": ["u00000", "u00001"], "ordinal": pa.array([0, 1], pa.uint32())})
    append_people(lake, [index], shard_bits=8)
    rows = [
        {"ordinal": user, "event_type": "view", "item": item, "n_events": 9, "value_sum": 0.0, "hours": 1}
        for user, item in ((0, "camera"), (1, "shoes"))
    ]
    with lake.attempt("user_days", ds=DS) as attempt:
        attempt.write(night.table("user_days", rows), "part-0.parquet", shards=(0, 0))
        attempt.publish()
    return lake


def test_a_prior_ranks_by_looks(shop, tmp_path, night) -> None:
    registry = Registry.open(tmp_path / "models")
    version = make_prior(shop, registry, ds=DS, rate=0.05)
    assert make_prior(shop, registry, ds=DS, rate=0.05) == version
    scorer = Scorer(registry.load(version))
    people = shop.read(shop.require("user_features", ds=night.CUTOFF))
    past = read_past(shop, DS, 28, np.arange(2))
    behaved = behaviour(past.days, past.pushes, {}, scorer.population, day=20_771, n=2, users=people)
    users = scorer.encode_users(people, behaved)
    contexts = [Context("sale", f"sale_{c}", "promo", c) for c in ("camera", "shoes")]
    scores = scorer.predict(users, contexts)
    assert scores[0, 0] > scores[0, 1]
    assert scores[1, 1] > scores[1, 0]
    assert scores.mean() == pytest.approx(0.05, abs=0.01)
    with pytest.raises(GateClosed, match="it is a prior"):
        promote(registry, version, actor="ada", reason="first", at=AT)
    assert promote(registry, version, actor="ada", reason="first", at=AT, force=True).version == version


def test_the_command_makes_one_and_refuses_nonsense(shop, settings_home, capsys) -> None:
    assert train_main(["--ds", DS, "--prior", "0.05", "--json"]) == 0
    version = json.loads(capsys.readouterr().out)["version"]
    assert "a prior" in Registry.open(settings_home / "models").load(version)["card.md"].decode()
    assert train_main(["--ds", DS, "--prior", "5"]) == 2
    assert "between 0 and 1" in capsys.readouterr().err


def test_without_a_catalog_there_is_no_prior(lake, tmp_path) -> None:
    with pytest.raises(NotFound, match="catalog_snapshot"):
        make_prior(lake, Registry.open(tmp_path / "models"), ds=DS, rate=0.05)
