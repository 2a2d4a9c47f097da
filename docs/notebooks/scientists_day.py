"""A data scientist's day: change a feature, retrain, judge, promote, roll back.

A percent script: run it whole (`make notebooks`), or cell by cell where an editor knows `# %%`. It reads the
lake and the registry of the settings (ANGELIA_HOME) and the night of NOTEBOOK_DS, by default the newest that
was planned. Models go to a registry of its own, HOME/notebook/models, and the night is scored and planned
again on branches `replay-notebook-…`, which nothing sends and no trainer reads: run it as often as you like.
"""

# %% [markdown]
# The night, and a registry to play with that holds today's champion.

# %%
import os
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from angelia.config import load_settings
from angelia.contracts.outcomes import SENT
from angelia.errors import AngeliaError, GateClosed
from angelia.lake import Lake
from angelia.lake.configured import open_lake
from angelia.world.population import user_index
from angelia.world.truth import World, open_probability
from models import features
from models.judging import objections
from models.promote import promote
from models.registry import Registry
from models.train import train
from spark_jobs import plan_dispatch, score_materials

settings = load_settings()
lake = open_lake("main", settings)
planned = sorted(leaf["ds"] for leaf in lake.partitions("decisions"))
if not planned:
    raise SystemExit("error: nothing was decided in this lake; run a night first, such as `make run`")
ds = os.environ.get("NOTEBOOK_DS", planned[-1])
own = settings.home / "notebook" / "models"
registry = Registry.open(own)
try:
    champion = Registry.configured(settings).require_champion()
    registry.add(champion.version[:10], Registry.configured(settings).load(champion.version))
except AngeliaError as error:
    # None was promoted, or the files are not those that were stored: no cell below could do its work.
    raise SystemExit(f"error: {error.one_line()}") from None
now = datetime.now(UTC).isoformat(timespec="seconds")
registry.promote(champion.version, actor="notebook", reason="as in the registry", at=now)
print("night", ds, "champion", champion.version)

# %% [markdown]
# Change a feature. What a category's value must be seen to become a word of its own is a choice of
# `models/features.py`: with more, small cities and rare time zones are read as unknown. The words travel in
# the version's features.json, so scoring needs no change. A feature that is new also needs its line in
# FEATURES and a new VERSION there.

# %%
features.MIN_COUNT = 200

# %% [markdown]
# Retrain on the same days. Nothing is promoted by that.

# %%
trained = train(lake, registry, ds=ds)
print("version", trained.version)

# %% [markdown]
# Read the card: data, quality beside the base rate, what it looks at.

# %%
print(registry.load(trained.version)["card.md"].decode())

# %% [markdown]
# Off-policy: what either would have earned by its draws on the same logged rounds, and what a promotion would
# object to. Few effective rounds make wide intervals: then the closed loop says more.

# %%
for name, judged in (("new", trained.metrics), ("champion", trained.metrics.get("champion") or {})):
    dr = (judged.get("off_policy") or {}).get("dr")
    if dr is None:
        print(f"{name}: no rounds to judge it by")
    else:
        print(f"{name}: {dr['value']:.5f} opens a push, 95 % [{dr['low']:.5f}, {dr['high']:.5f}]")
for line in objections(trained.metrics, "non_inferior"):
    print("objection:", line)

# %% [markdown]
# Closed loop: score and plan the night once more by either version, each on a branch, in this process. Where
# the people are the simulated world's, the truth then says what either plan's messages earn.

# %%
os.environ["ANGELIA_SPARK_MASTER"] = "inline"
os.environ["ANGELIA_MODELS"] = str(own)
versions = {"champion": champion.version, "new": trained.version}
for name, version in versions.items():
    score_materials.main(["--ds", ds, "--branch", f"replay-notebook-{name}", "--model", version])
    plan_dispatch.main(["--ds", ds, "--branch", f"replay-notebook-{name}"])


def messages(where: Lake) -> pa.Table:
    """Return what a branch's plan of the night sends: person, material, hour and channel."""
    rows = where.read(where.require("decisions", ds=ds), ["user_id", "choices"])
    lists = rows["choices"].combine_chunks()
    choices = pa.Table.from_struct_array(lists.flatten())
    people = rows["user_id"].combine_chunks().take(lists.value_parent_indices())
    sent = pc.equal(choices["outcome"], SENT)
    return choices.append_column("user_id", people).filter(sent)


try:
    world = World.load(lake, ds)
except AngeliaError:
    world = None
    print("these people are real: only a share of them, sent for some nights, can close this loop")
for name in versions:
    plan = messages(open_lake(f"replay-notebook-{name}", settings))
    if world is None:
        print(f"{name}: {plan.num_rows:,} messages")
        continue
    materials = sorted(set(plan["material_id"].to_pylist()))
    position = {material: k for k, material in enumerate(materials)}
    truth = open_probability(
        world,
        user_index(plan["user_id"].to_pylist()),
        materials,
        plan["slot"].cast(pa.int64()).to_numpy() // 3_600_000_000,
        material=np.array([position[material] for material in plan["material_id"].to_pylist()]),
    )
    print(
        f"{name}: {plan.num_rows:,} messages, {truth.sum():.1f} opens by the truth ({truth.mean():.4f} each)"
    )

# %% [markdown]
# Promote, where no bar stands against it. In the real registry a named person does this, by
# `python -m models.promote` or under Required actions; here it is the notebook's own.

# %%
try:
    promote(registry, trained.version, actor="notebook", reason="fewer words", at=now, bar="non_inferior")
except GateClosed as error:
    print("refused:", error.one_line())
    # The bars hold for nights that are sent. This registry serves none, so the chain may be shown.
    promote(registry, trained.version, actor="notebook", reason="to show it", at=now, force=True)
print("champion", registry.require_champion().version)

# %% [markdown]
# Roll back: the chain only grows, so going back is a promotion of the older version.

# %%
registry.promote(champion.version, actor="notebook", reason="rolled back", at=now)
for entry in registry.champions():
    print(entry.number, entry.version, entry.reason)
