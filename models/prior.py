"""A model for a shop that has never pushed: `python -m models.train --ds D --prior 0.05`.

Reads user_days and the catalog; writes one version to the registry. It says the same rate of everybody, moved
a little by what they look at: those weights are a guess, and a guess only has to rank better than chance
until there are pushes to learn from. The weekly training replaces it.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from angelia.catalog.snapshot import nearest_catalog
from angelia.contracts import dataset
from angelia.contracts.ids import uniform
from angelia.errors import NotFound
from angelia.lake import Lake
from angelia.lake.attempt import code_version
from angelia.users.index import require_index
from models.behaviour import WINDOW_DAYS, Population
from models.features import FEATURES, NAMES
from models.logistic import Logistic, columns
from models.past import read_past
from models.registry import Registry, to_json
from models.scorer import features_json

MAX_USERS = 200_000  # a category's share of looks is known well enough from these
GUESS = {"taste": 0.4, "category_wants": 0.1}


def make_prior(lake: Lake, registry: Registry, *, ds: str, rate: float) -> str:
    """Register a model that knows an open rate and what people look at; return its version.

    Raises:
        NotFound: there is no catalog snapshot, or nobody in the index.
    """
    catalog = nearest_catalog(lake, ds)
    if catalog is None:
        raise NotFound(
            "catalog_snapshot has no commit: a model cannot know what a material is about",
            fix=f"run `angelia catalog snapshot --ds {ds}`",
        )
    index = require_index(lake)
    ordinals = lake.read(index, ["ordinal"])["ordinal"].to_numpy()
    share = min(1.0, MAX_USERS / max(len(ordinals), 1))
    past = read_past(
        lake, ds, WINDOW_DAYS, ordinals[uniform(ordinals.astype(np.uint64), "models", "prior") < share]
    )
    categories = sorted({m.category for m in catalog.materials.values() if m.category is not None})
    # Pushes are left out on purpose: the prior stands for a place without a history of them.
    none = past.pushes.filter(pc.equal(past.pushes["day"], -1))
    counted = Population.of(categories, past.days, none)
    population = Population(counted.categories, counted.shares, rate)
    last = (date.fromisoformat(ds) - date(1970, 1, 1)).days
    population = population.knowing(past.days, _facts(lake, ds, past.ordinal), day=last)
    vocabulary = {
        f.name: list(categories) if f.name == "category" else [] for f in FEATURES if f.kind == "category"
    }
    weights = np.array([GUESS.get(name, 0.0) for name in columns(vocabulary)])
    size = len(FEATURES)
    line = Logistic(np.zeros(size), np.ones(size), float(np.log(rate / (1 - rate))), weights)
    lineage: dict[str, Any] = {
        "ds": ds,
        "inputs": sorted(commit.citation() for commit in past.commits),
        "code_version": code_version(),
        "prior": rate,
    }
    files = {
        "logistic.json": to_json(line.as_dict() | {"population": population.as_dict()}),
        "model.txt": b"",
        "features.json": to_json(features_json(vocabulary)),
        "calibration.json": to_json({"method": "none", "slope": 1.0, "offset": 0.0, "n": 0}),
        "lineage.json": to_json(lineage),
        "metrics.json": to_json({"prior": rate, "n": {"train": 0, "calibration": 0, "test": 0}}),
        "card.md": _card(ds, rate, categories).encode(),
    }
    return registry.add(ds, files)


def _facts(lake: Lake, ds: str, ordinal: npt.NDArray[np.int64]) -> pa.Table:
    """Return the facts of the people with these ordinals, null where there are none yet."""
    names = ["gender", "age_years", "tags"]
    fields = [pa.field(name, dataset("user_features")[name].type) for name in ("ordinal", *names)]
    commit = lake.head("user_features", ds=ds)
    known = pa.schema(fields).empty_table() if commit is None else lake.read(commit, ["ordinal", *names])
    wanted = pa.table({"ordinal": pa.array(ordinal.astype(np.uint32))})
    place = pc.index_in(wanted["ordinal"], value_set=known["ordinal"].combine_chunks())
    return known.select(names).take(place)


def _card(ds: str, rate: float, categories: list[str]) -> str:
    guesses = ", ".join(f"{name} {weight}" for name, weight in GUESS.items())
    return "\n".join(
        [
            f"# p(open) as of {ds}: a prior",
            "",
            f"Nothing has been pushed yet, so nothing was trained. Everybody opens {rate:.1%} of pushes, "
            f"moved by guessed weights of what they look at: {guesses}.",
            f"Categories: {', '.join(categories) or 'none'}. {len(NAMES)} features, most of them unused.",
            "",
            "Train a model with `python -m models.train` as soon as there is a week of pushes.",
            "",
        ]
    )
