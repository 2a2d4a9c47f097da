"""Past nights decided again: which there are, what was changed, how they compare.

Grain: branch. Reads branches' plans and catalog snapshots, and the comparison that each replay kept; writes
nothing. Surprise: what was changed is read off the two catalogs, so a replay made elsewhere says it, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from angelia.catalog.snapshot import read_snapshot
from angelia.console.engine import Engine
from angelia.console.planned.nights import Sides, plan_of, side_by_side
from angelia.errors import AngeliaError, NotFound
from angelia.lake import Commit, Lake, numbered
from angelia.lake.citing import input_of
from angelia.planning.replay import CHANGEABLE, COMPARED

BRANCH = re.compile(r"replay-[a-z0-9-]{1,80}")
SHOWN_AT_MOST = 50


@dataclass(frozen=True)
class Replay:
    """A branch with plans of its own."""

    branch: str
    days: tuple[str, ...]


@dataclass(frozen=True)
class ReplayNight:
    """One night of a replay beside main's: two sides, and who gains or loses a message."""

    ds: str
    sides: Sides
    gaps: tuple[float, float]
    changes: Sequence[tuple[str, str, str, str]]
    people: Mapping[str, Mapping[str, int]]


def replays(lake: Lake) -> list[Replay]:
    """Return the branches with plans, newest nights first."""
    names = [name for name in lake.store.children("") if BRANCH.fullmatch(name)]
    kept = [Replay(name, tuple(_days(lake, name))) for name in names]
    return sorted((one for one in kept if one.days), key=lambda replay: replay.days[-1], reverse=True)[
        :SHOWN_AT_MOST
    ]


def require(lake: Lake, branch: str) -> Replay | None:
    """Return a replay; None while it has no plan yet.

    Raises:
        NotFound: no replay can have this name.
    """
    if not BRANCH.fullmatch(branch):
        raise NotFound("there is no such replay", fix="choose one of the list")
    days = _days(lake, branch)
    return Replay(branch, tuple(days)) if days else None


def nights(engine: Engine, main: Lake, replay: Replay) -> list[ReplayNight]:
    """Return each night of a replay beside main's plan of it.

    Raises:
        NotFound: main has no plan of one of them any more.
    """
    branch = Lake(main.store, replay.branch, main.clock)
    return [_night(engine, main, branch, ds) for ds in replay.days]


def _night(engine: Engine, main: Lake, branch: Lake, ds: str) -> ReplayNight:
    ours, theirs = plan_of(engine, main, ds), plan_of(engine, branch, ds)
    plans = main.require("decisions", ds=ds), branch.require("decisions", ds=ds)
    key = ("changed", main.store.url, *(plan.citation() for plan in plans))
    stored = numbered.load(branch, COMPARED, ds)
    kept = stored[1] if stored and stored[1].get("replay") == plans[1].ref else {}
    return ReplayNight(
        ds,
        side_by_side(ours, theirs, ("main", "replay")),
        (ours.gap_pct, theirs.gap_pct),
        engine.kept(key, lambda: _changes(main, branch, *plans)),
        kept.get("campaigns", {}),
    )


def _changes(main: Lake, branch: Lake, ours: Commit, theirs: Commit) -> list[tuple[str, str, str, str]]:
    """Return (document, field, in main, in the replay) of what a plan alone can follow."""
    try:
        before, after = (
            read_snapshot(lake, input_of(lake, plan, "catalog_snapshot"))
            for lake, plan in ((main, ours), (branch, theirs))
        )
    except AngeliaError:
        return []  # a snapshot has expired: the sides say what there is to say
    pairs: list[tuple[str, Any, Any]] = [("policy", before.policy, after.policy)]
    pairs += [(name, one, after.campaigns.get(name)) for name, one in before.campaigns.items()]
    changes = []
    for name, campaign, other in pairs:
        if other is None:
            continue
        a, b = campaign.model_dump(mode="json"), other.model_dump(mode="json")
        for field in CHANGEABLE["policy" if name == "policy" else "campaign"]:
            if a[field] != b[field]:
                changes.append((name, field, json.dumps(a[field]), json.dumps(b[field])))
    return changes


def _days(lake: Lake, branch: str) -> list[str]:
    return [leaf["ds"] for leaf in lake.leaves(branch, "decisions", {})]
