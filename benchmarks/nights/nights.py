"""The nights of the closed loop: jobs, plan, answers, and a new model every week.

Each policy lives in a copy of its own. All live a night before any lives the next, so what is known after a
cut compares all of them. Surprise: only policies that look at our scores have our model trained again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from angelia.catalog.snapshot import load_snapshot
from angelia.lake import Lake
from angelia.rehearsal.night import decide, run_jobs
from angelia.rehearsal.policies import PolicyView
from angelia.rehearsal.site import ANCHOR, Site
from angelia.rehearsal.usual import UsualModel
from angelia.world.clock import day_name, day_number
from angelia.world.truth import World
from benchmarks.nights.knowledge import knowledge
from models.registry import Registry
from models.train import TRAIN_DAYS, train

WEEK = 7
# Those that look at our curves and scores; the others ask the lake only who may get what.
WITH_CURVES = ("ours", "true_material", "true_hour", "unexplored", "unpriced")
# Those that obey a limit on refusals, which counts looks by the curves; other products know no limit.
WITH_LIMIT = (*WITH_CURVES, "oracle")

LIMIT = "max"  # `ours@max1`: ours with refusals of at most those of the usual way

Nights = list[dict[str, float]]


def lives(
    home: Path,
    seed: int,
    *,
    users: int,
    nights: int,
    history_days: int,
    policies: Sequence[str],
    note: Callable[[str], None],
    keep: Callable[[dict[str, Nights]], None],
) -> dict[str, Nights]:
    """Return what came of every policy's nights; `home` is an empty folder.

    `keep` gets what is known after each night.
    """
    (home / "base").mkdir()
    base = Site(home / "base", World(seed, users, day_number(ANCHOR)))
    base.begin(history_days)
    base.snapshot(ANCHOR)
    base.write_features(day_name(day_number(ANCHOR) - TRAIN_DAYS))
    retrain(base, ANCHOR)
    base.usual = UsualModel.train(base.lake, ANCHOR)
    # Until the first messages are sent all policies live the same night, so its jobs run once.
    base.write_features(ANCHOR)
    run_jobs(base, ANCHOR)
    sites = {name: base.copy(home / name) for name in policies}
    lived: dict[str, Nights] = {name: [] for name in policies}
    for number in range(nights):
        for name, site in sites.items():
            # Whoever comes after ours at the same price of a refusal may send as many as it did.
            first = lived["ours" + "".join(name.partition("@")[1:])]
            volume = int(first[number]["sent"]) if len(first) > number else None
            lived[name].append(night(site, name, number, volume))
        keep(lived)
        sent, opens = (lived["ours"][number][key] for key in ("sent", "opens"))
        note(f"seed {seed}: night {number + 1} of {nights}: {opens / sent:.4f} opens per message of ours")
    return lived


def retrain(site: Site, ds: str) -> None:
    """Train on what is there and make the new model champion."""
    registry = Registry.open(site.home / "models")
    trained = train(site.lake, registry, ds=ds)
    registry.promote(trained.version, actor="benchmark", reason="closed loop", at=f"{ds}T00:00:00+00:00")


def has_limit(lake: Lake, ds: str) -> bool:
    """Return whether the catalog itself limits refusals."""
    return load_snapshot(lake, ds).policy.fatigue.refusals_at_most is not None


def night(site: Site, name: str, number: int, volume: int | None) -> dict[str, float]:
    """Live one night and the day after it.

    `NAME@OPENS` is the policy NAME at that price of a refusal, `NAME@maxR` with refusals of at most R.
    """
    name, _, price = name.partition("@")
    ds = day_name(day_number(ANCHOR) + number)
    if number:
        site.write_features(ds)
        site.snapshot(ds)
    if number and number % WEEK == 0:
        if name in WITH_CURVES:
            retrain(site, ds)
        elif name == "usual":
            site.usual = UsualModel.train(site.lake, ds)
    is_limit = price.startswith(LIMIT)
    sent = decide(
        site,
        ds,
        name,
        volume,
        curves=name in WITH_CURVES or (name in WITH_LIMIT and (is_limit or has_limit(site.lake, ds))),
        refusal_opens=float(price) if price and not is_limit else None,
        refusals_at_most=float(price.removeprefix(LIMIT)) if is_limit else None,
        ready=number == 0,
    )
    # Each model's first night, of ours as the sample has it: the truth of all offers takes its time.
    known = knowledge(PolicyView.of(site, ds)) if name == "ours" and not price and number % WEEK == 0 else {}
    came = site.deliver(sent, ds) | known
    campaigns = load_snapshot(site.lake, ds).campaigns
    worth = np.array([campaigns[campaign].value_micros for campaign in sent.campaign]) / 1e6
    came["value"] = float((worth * came.pop("chance")).sum())
    site.live(day_number(ds) + 1)
    return came
