"""A planned night as its plan read it: the commits it cites, its catalog, its terms.

Grain: night. Reads the decisions commit and what it was made from; writes nothing. Surprise: the campaigns
that last night's manifests held back are not cited, so they are those of the newest manifest.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from angelia.catalog.snapshot import Catalog, read_snapshot
from angelia.contracts.certificate import Limit, limits_of
from angelia.errors import NotFound
from angelia.lake import Commit, Lake
from angelia.planning.inputs import Inputs, material_facts, terms_of
from angelia.planning.offers import MaterialFacts
from angelia.planning.terms import Terms


@dataclass(frozen=True)
class PlannedNight:
    """One night's plan, and what it was made from."""

    lake: Lake
    ds: str
    plan: Commit
    catalog: Catalog
    inputs: Inputs
    terms: Terms
    facts: MaterialFacts

    @property
    def limits(self) -> list[Limit]:
        """Return the plan's limits with their use and price: hours by channel, then budgets."""
        return limits_of(self.plan.meta)


def planned_nights(lake: Lake) -> list[str]:
    """Return the nights that have a plan, oldest first."""
    return [leaf["ds"] for leaf in lake.partitions("decisions")]


def require_plan(lake: Lake, ds: str | None) -> Commit:
    """Return the plan of a night, or of the newest one.

    Raises:
        NotFound: it has none, naming the nights that have one.
    """
    if ds is not None:
        plan = lake.head("decisions", ds=ds)
        if plan is not None:
            return plan
    nights = planned_nights(lake)
    if ds is None and nights:
        return lake.require("decisions", ds=nights[-1])
    have = f"the last planned nights are {', '.join(nights[-3:])}" if nights else "no night has a plan yet"
    raise NotFound(
        f"decisions has no commit{f' for ds={ds}' if ds else ''}",
        fix=f"it is written by: plan_dispatch; {have}",
    )


def open_night(lake: Lake, ds: str | None) -> PlannedNight:
    """Return a planned night, or the newest one.

    Raises:
        NotFound: it has no plan.
    """
    plan = require_plan(lake, ds)
    ds = plan.partition["ds"]
    cited = [lake.cited(citation) for citation in plan.inputs]

    def only(name: str) -> Commit:
        commit = next((commit for commit in cited if commit.dataset == name), None)
        if commit is None:
            raise NotFound(f"{plan.ref} cites no {name}", fix="plan the night again")
        return commit

    before = (date.fromisoformat(ds) - timedelta(days=1)).isoformat()
    manifest = lake.head("dispatch_manifest", ds=before)
    # Newest first, as the plan read them: of two mentions of a message the first counts.
    pushes = sorted(
        (commit for commit in cited if commit.dataset == "user_pushes"),
        key=lambda commit: commit.partition["ds"],
        reverse=True,
    )
    inputs = Inputs(
        index=only("user_index"),
        features=only("user_features"),
        send_times=only("send_times"),
        audiences=only("audience_members"),
        scores=only("material_scores"),
        pushes=tuple(pushes),
        previous=next((commit for commit in cited if commit.dataset == "decisions"), None),
        held=tuple(manifest.params.get("held_back", ())) if manifest is not None else (),
    )
    catalog = read_snapshot(lake, only("catalog_snapshot"))
    since = plan.params.get("skip_before")
    skip = datetime.fromisoformat(since) if since else None
    terms = terms_of(catalog, ds, int(plan.params["lead_hours"]), skip)
    return PlannedNight(lake, ds, plan, catalog, inputs, terms, material_facts(catalog))
