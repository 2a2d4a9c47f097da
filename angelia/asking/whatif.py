"""A night with other limits: solved again by the planner's own passes, and compared.

Grain: night. Reads the commits that the plan cites; writes nothing but a scratch folder of this machine,
which goes away. Surprise: with nothing set the answer is the plan itself, message by message, unless the code
that plans has changed since; then a note says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from angelia.asking.night import PlannedNight, open_night
from angelia.asking.scratch import FOLDER, scratch_lake
from angelia.asking.settings import Setting, change, settings_of, with_hours
from angelia.catalog.snapshot import Catalog
from angelia.contracts.outcomes import SENT
from angelia.errors import NotFound
from angelia.lake import Lake
from angelia.lake.attempt import code_version
from angelia.lake.commit import in_shard
from angelia.output import progress
from angelia.planning.certificate import certificate
from angelia.planning.inputs import terms_of
from angelia.planning.later import Fatigue
from angelia.planning.offers import material_facts
from angelia.planning.routes import with_responses
from angelia.planning.terms import Terms
from spark_jobs import plan_dispatch
from spark_jobs.running.session import all_shards
from spark_jobs.shard_work.impossible import impossible
from spark_jobs.shard_work.problems import PlanContext

Key = tuple[str, str]


@dataclass(frozen=True)
class PlanFigures:
    """Messages of a plan, their worth after cost, and the opens to expect of them."""

    messages: int = 0
    value_micros: int = 0
    opens: float = 0.0


@dataclass(frozen=True)
class Pair:
    """Figures of the plan, and of the night as it would have been."""

    plan: PlanFigures
    what_if: PlanFigures


@dataclass(frozen=True)
class Moves:
    """Messages that only one of the plans sends, and those it sends at another hour or channel."""

    gained: int = 0
    lost: int = 0
    moved: int = 0


@dataclass(frozen=True)
class WhatIf:
    """The difference between a plan and the same night with other settings.

    Attributes:
        outcomes: campaign -> outcome -> [plan, what if], pairs of person and campaign.
        people: who gets at least one message: plan, what if.
        certificates: gap and bound of both, and their limits with use and price.
        contradictions: what keeps the second from sending anything, with a fix each.
    """

    ds: str
    plan: str
    settings: Mapping[str, str]
    total: Pair
    people: tuple[int, int]
    campaigns: Mapping[str, Pair]
    channels: Mapping[str, Pair]
    moves: Mapping[str, Moves]
    outcomes: Mapping[str, Mapping[str, tuple[int, int]]]
    certificates: Mapping[str, Mapping[str, Any]]
    contradictions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it for `--json`."""
        return asdict(self)


@dataclass
class _Side:
    """One plan's sums as shards are read."""

    terms: Terms
    figures: dict[Key, PlanFigures] = field(default_factory=dict)
    outcomes: dict[Key, int] = field(default_factory=dict)
    people: int = 0

    def add(self, table: pa.Table) -> dict[str, pa.Table]:
        """Count a shard's decisions; return what it sends by campaign: message, slot and channel."""
        lists = table["choices"].combine_chunks()
        flat = pa.Table.from_struct_array(lists.flatten())
        cost = {channel.id: channel.cost_micros for channel in self.terms.channels}
        weights = dict(self.terms.priority_weight)
        # Where lift counts, too, a value does not tell the opens in it: those at a mean hour stand for them.
        weight = {
            one.id: 0 if one.lift_micros else weights[one.priority] * one.value_micros
            for one in self.terms.campaigns
        }
        groups = flat.group_by(["campaign_id", "channel", "outcome"]).aggregate(
            [("value_micros", "sum"), ("p_open", "sum"), ("message_id", "count")]
        )
        for row in groups.to_pylist():
            campaign, n = row["campaign_id"], row["message_id_count"]
            key = campaign, row["outcome"]
            self.outcomes[key] = self.outcomes.get(key, 0) + n
            if row["outcome"] != SENT:
                continue
            value = row["value_micros_sum"]
            # A message's value is its weight times its chance, less its cost: so the chances add up.
            worth = weight.get(campaign, 0)
            opens = (value + n * cost.get(row["channel"], 0)) / worth if worth else row["p_open_sum"]
            had = self.figures.get((campaign, row["channel"]), PlanFigures())
            self.figures[campaign, row["channel"]] = PlanFigures(
                had.messages + n, had.value_micros + value, had.opens + opens
            )
        is_sent = pc.equal(flat["outcome"], SENT)
        owners = pa.chunked_array([lists.value_parent_indices()]).filter(is_sent)
        self.people += pc.count_distinct(owners).as_py()
        sent = flat.filter(is_sent).select(["campaign_id", "message_id", "slot", "channel"])
        return {
            name: sent.filter(pc.equal(sent["campaign_id"], name)).sort_by("message_id")
            for name in pc.unique(sent["campaign_id"]).to_pylist()
        }

    def summed(self, place: int | None) -> dict[str, PlanFigures]:
        """Return figures by campaign (0) or channel (1), or all as one (None)."""
        sums: dict[str, PlanFigures] = {}
        for key, figures in self.figures.items():
            name = "" if place is None else key[place]
            had = sums.get(name, PlanFigures())
            sums[name] = PlanFigures(
                had.messages + figures.messages,
                had.value_micros + figures.value_micros,
                had.opens + figures.opens,
            )
        return {name: replace(one, opens=round(one.opens, 3)) for name, one in sorted(sums.items())}


def known_settings(lake: Lake, ds: str | None) -> list[Setting]:
    """Return what may be set of a night, with its value.

    Raises:
        NotFound: the night has no plan.
    """
    night = open_night(lake, ds)
    return settings_of(night.catalog, [one.id for one in night.terms.campaigns])


def what_if(lake: Lake, ds: str | None, settings: Mapping[str, str]) -> WhatIf:
    """Return what a night would have been with other settings.

    Args:
        lake: the branch whose plan is compared with.
        ds: the night; None = the newest with a plan.
        settings: name -> value, as `settings.parse` returns them.

    Raises:
        NotFound: the night has no plan, or something that it was made from has expired.
        InvalidInput: there is no such setting, or a value cannot be.
    """
    night = open_night(lake, ds)
    _require_rows(night)
    catalog, terms = _changed(night, settings)
    named = impossible(catalog, terms, night.inputs)
    for contradiction in named:  # before minutes are spent on it
        progress(f"what if: {contradiction}")
    shards = all_shards(night.inputs.index)
    before, after = _Side(night.terms), _Side(terms)
    moves: dict[str, Moves] = {}
    with scratch_lake(lake) as scratch:
        context = PlanContext(scratch, night.inputs, terms, material_facts(catalog.materials), FOLDER)
        context = plan_dispatch.steered(None, context, shards)
        terms = context.terms
        solved, unreachable = plan_dispatch.solve_shards(None, context, shards)
        stats = []
        for shard in shards:
            written = plan_dispatch.write_shard(context.waiting, terms, solved, shard)
            stats.append(written.stats)
            theirs = after.add(
                pa.concat_tables([scratch.read_file(entry, ["choices"]) for entry in written.files])
            )
            ours = before.add(_of_shard(night, shard))
            for name in {*ours, *theirs}:
                moves[name] = _moves(ours.get(name), theirs.get(name), moves.get(name, Moves()))
        fatigue = Fatigue.of(night.inputs.scores.meta)
        meta = certificate(terms, solved.prices, solved.bound, stats, fatigue)
    return WhatIf(
        night.ds,
        night.plan.ref,
        dict(settings),
        _pairs(before.summed(None), after.summed(None)).get("", Pair(PlanFigures(), PlanFigures())),
        (before.people, after.people),
        _pairs(before.summed(0), after.summed(0)),
        _pairs(before.summed(1), after.summed(1)),
        dict(sorted(moves.items())),
        _outcomes(before.outcomes, after.outcomes),
        {"plan": _certificate(night.plan.meta), "what_if": _certificate(meta)},
        (*map(str, named), *unreachable),
        tuple(_notes(night)),
    )


def _changed(night: PlannedNight, settings: Mapping[str, str]) -> tuple[Catalog, Terms]:
    """Return the night's catalog and terms with the settings made."""
    made = change(night.catalog, [one.id for one in night.terms.campaigns], settings)
    lead, workers = (int(night.plan.params.get(name, 1)) for name in ("lead_hours", "delivery_slots"))
    terms = terms_of(made.catalog, night.ds, lead, None, workers)
    terms = with_responses(replace(terms, first_slot=night.terms.first_slot), night.inputs.send_times.meta)
    return made.catalog, with_hours(terms, made.hours)


def _require_rows(night: PlannedNight) -> None:
    for commit in night.inputs.all():
        gone = next((entry for entry in commit.files if not night.lake.store.exists(entry.path)), None)
        if gone is not None:
            raise NotFound(
                f"{commit.ref}, which the plan of {night.ds} was made from, has expired",
                fix="ask about a younger night, or replay this one with `angelia plan replay`",
            )


def _of_shard(night: PlannedNight, shard: int) -> pa.Table:
    table = night.lake.read(night.plan, ["ordinal", "choices"], where=in_shard(shard))
    bits = int(night.inputs.index.meta["shard_bits"])
    return table.filter(pc.equal(pc.shift_right(table["ordinal"].cast(pa.int64()), bits), shard))


def _moves(ours: pa.Table | None, theirs: pa.Table | None, had: Moves) -> Moves:
    if ours is None or theirs is None:
        gained = had.gained + (theirs.num_rows if theirs is not None else 0)
        return Moves(gained, had.lost + (ours.num_rows if ours is not None else 0), had.moved)
    here, there = (one["message_id"].to_numpy().astype("S") for one in (ours, theirs))
    both, at, to = np.intersect1d(here, there, assume_unique=True, return_indices=True)
    moved = np.zeros(len(both), bool)
    for column in ("slot", "channel"):
        a, b = (one[column].cast(pa.string()).to_numpy() for one in (ours, theirs))
        moved |= np.asarray(a[at] != b[to], bool)
    return Moves(
        had.gained + len(there) - len(both), had.lost + len(here) - len(both), had.moved + int(moved.sum())
    )


def _pairs(before: Mapping[str, PlanFigures], after: Mapping[str, PlanFigures]) -> dict[str, Pair]:
    names = sorted({*before, *after})
    return {name: Pair(before.get(name, PlanFigures()), after.get(name, PlanFigures())) for name in names}


def _outcomes(before: Mapping[Key, int], after: Mapping[Key, int]) -> dict[str, dict[str, tuple[int, int]]]:
    outcomes: dict[str, dict[str, tuple[int, int]]] = {}
    for campaign, outcome in sorted({*before, *after}):
        key = campaign, outcome
        outcomes.setdefault(campaign, {})[outcome] = (before.get(key, 0), after.get(key, 0))
    return outcomes


def _certificate(meta: Mapping[str, Any]) -> dict[str, Any]:
    explored, bounds = ("n_explore", "n_tried"), ("primal_micros", "bound_micros", "gap_pct")
    names = (*bounds, *explored, "constraints", "start", "hours_passed")
    return {name: meta[name] for name in names if name in meta}


def _notes(night: PlannedNight) -> Sequence[str]:
    if night.plan.code_version == code_version():
        return ()
    return (
        f"the plan was made by {night.plan.code_version}, this by {code_version()}: part of the difference "
        "may be the code's",
    )
