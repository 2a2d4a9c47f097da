"""The nights of the closed loop: jobs, plan, answers, and a new model every week.

Each policy lives in a copy of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from angelia.catalog.snapshot import load_snapshot
from angelia.rehearsal.night import decide
from angelia.rehearsal.site import ANCHOR, Site
from angelia.rehearsal.usual import UsualModel
from angelia.world.clock import day_name, day_number
from angelia.world.truth import World
from models.registry import Registry
from models.train import TRAIN_DAYS, train

WEEK = 7
WITH_CURVES = ("ours", "true_material", "true_hour", "unexplored", "unpriced")


def lives(
    home: Path,
    seed: int,
    *,
    users: int,
    nights: int,
    history_days: int,
    policies: Sequence[str],
    note: Callable[[str], None],
) -> dict[str, list[dict[str, float]]]:
    """Return what came of every policy's nights; `home` is an empty folder."""
    (home / "base").mkdir()
    base = Site(home / "base", World(seed, users, day_number(ANCHOR)))
    base.begin(history_days)
    base.snapshot(ANCHOR)
    base.write_features(day_name(day_number(ANCHOR) - TRAIN_DAYS))
    retrain(base, ANCHOR)
    base.usual = UsualModel.train(base.lake, ANCHOR)
    volume: list[int] = []
    lived = {}
    for name in policies:
        site = base.copy(home / name)
        lived[name] = [night(site, name, number, volume) for number in range(nights)]
        sent, opens = (sum(one[key] for one in lived[name]) for key in ("sent", "opens"))
        note(f"seed {seed}: {name}: {opens / sent:.4f} opens per message, {sent:,} messages")
        if name == "ours":
            volume = [int(one["sent"]) for one in lived[name]]
    return lived


def retrain(site: Site, ds: str) -> None:
    """Train on what is there and make the new model champion."""
    registry = Registry.open(site.home / "models")
    trained = train(site.lake, registry, ds=ds)
    registry.promote(trained.version, actor="benchmark", reason="closed loop", at=f"{ds}T00:00:00+00:00")


def night(site: Site, name: str, number: int, volume: Sequence[int]) -> dict[str, float]:
    """Live one night and the day after it."""
    ds = day_name(day_number(ANCHOR) + number)
    site.write_features(ds)
    site.snapshot(ds)
    if number and number % WEEK == 0:
        retrain(site, ds)
        if name == "usual":
            site.usual = UsualModel.train(site.lake, ds)
    sent = decide(site, ds, name, volume[number] if volume else None, curves=name in WITH_CURVES)
    came = site.deliver(sent, ds)
    campaigns = load_snapshot(site.lake, ds).campaigns
    worth = np.array([campaigns[campaign].value_micros for campaign in sent.campaign]) / 1e6
    came["value"] = float((worth * came.pop("chance")).sum())
    site.live(day_number(ds) + 1)
    return came
