"""A planned night as its plan read it: the commits it cites, its catalog, its terms.

Grain: night. Reads the decisions commit and what it was made from; writes nothing. Surprise: the campaigns
that last night's manifests held back are not cited, so they are those of the newest manifest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property

from angelia.asking.fate import Openings
from angelia.audience.language.plan import Plan
from angelia.audience.one_person import PersonBlock
from angelia.audience.query import AudienceQuery
from angelia.catalog.snapshot import Catalog, read_snapshot
from angelia.contracts.certificate import Limit, limits_of
from angelia.errors import NotFound
from angelia.lake import Commit, Lake
from angelia.planning.inputs import Inputs, terms_of
from angelia.planning.offers import MaterialFacts, material_facts
from angelia.planning.routes import with_responses
from angelia.planning.terms import RefusalPrice, Terms
from models.registry import Registry
from models.scorer import Scorer


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


class ResidentNight:
    """A planned night with what every question about a person of it reads alike.

    Made for one question it costs what it must; kept, the next reads the person's own rows only. It holds the
    audiences' sets and the model, and nobody's rows.
    """

    def __init__(self, night: PlannedNight, openings: Openings | None = None) -> None:
        self.night, self.openings = night, openings
        self._plans: dict[str, Plan] = {}
        self._scorers: dict[str, Scorer] = {}

    @cached_property
    def scored_from(self) -> tuple[Commit, ...]:
        """The commits that the night's scores were made from."""
        return tuple(self.night.lake.cited(text) for text in self.night.inputs.scores.inputs)

    @cached_property
    def audience(self) -> AudienceQuery:
        """The index that the night's audiences were selected from.

        Raises:
            NotFound: the audiences cite none, or it is gone.
        """
        night = self.night
        cited = [night.lake.cited(text) for text in night.inputs.audiences.inputs]
        index = next((commit for commit in cited if commit.dataset == "bitmap_index"), None)
        if index is None:
            raise NotFound("no index is cited")
        predicates = {name: one.predicate for name, one in night.catalog.audiences.items()}
        return AudienceQuery(
            night.lake, index.partition["ds"], predicates, commit=index.number, resident=True
        )

    def plan_of(self, audience: str) -> Plan:
        """Return the plan of a saved audience's condition.

        Raises:
            InvalidInput: it cannot be read any more.
        """
        plan = self._plans.get(audience)
        if plan is None:
            plan = self._plans[audience] = self.audience.plan(self.audience.audiences[audience])
        return plan

    def block_of(self, ordinal: int) -> PersonBlock:
        """Return the index as if one person lived in it.

        Raises:
            AngeliaError: the index is gone.
        """
        index = self.audience.index
        return PersonBlock(index, ordinal, self.audience.block(ordinal >> index.block_bits))

    def scorer(self, registry: Registry) -> Scorer:
        """Return the model that scored the night.

        Raises:
            AngeliaError: the night does not name it, or it is gone.
        """
        scores = self.night.inputs.scores
        version = scores.params.get("model")
        if version is None:
            raise NotFound(f"{scores.ref} does not say which model scored it")
        # A version's name ends in a hash of its files, so a model of this name is this one.
        scorer = self._scorers.get(str(version))
        if scorer is None:
            scorer = self._scorers[str(version)] = Scorer(registry.load(str(version)))
        return scorer


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


def manifest_before(lake: Lake, ds: str) -> Commit | None:
    """Return the newest manifests of the night before, which say what was held back then."""
    before = (date.fromisoformat(ds) - timedelta(days=1)).isoformat()
    return lake.head("dispatch_manifest", ds=before)


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

    manifest = manifest_before(lake, ds)
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
        intake=next((commit for commit in cited if commit.dataset == "intake_pending"), None),
    )
    catalog = read_snapshot(lake, only("catalog_snapshot"))
    since = plan.params.get("skip_before")
    skip = datetime.fromisoformat(since) if since else None
    workers = int(plan.params.get("delivery_slots", 1))
    terms = terms_of(catalog, ds, int(plan.params["lead_hours"]), skip, workers)
    terms = with_responses(terms, inputs.send_times.meta)
    # The plan found this price once, of many people: who asks about one person could not.
    terms = replace(terms, refusal_price=RefusalPrice.of(plan.meta))
    return PlannedNight(lake, ds, plan, catalog, inputs, terms, material_facts(catalog.materials))
