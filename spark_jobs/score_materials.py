"""Score materials: p(open) for each user, campaign and material.

Grain: user x campaign x material. Reads user_features, user_days, user_pushes, audience_members,
catalog_snapshot, the champion model, and what it said on earlier nights (material_scores, send_times); writes
material_scores, and once a week user_looks.

Scored are the members of a campaign's audience, for campaigns that run in the 24 planned hours and materials
valid then; a material with an audience of its own is scored for people in both. The commit's meta names the
model version; a model with other features is refused. What was opened since the model was trained moves its
scores, by material and segment (`models.answering.lately`); the meta says by how much. A campaign that counts
lift gets its people's lift by the newest kept model of the name that it gives; without that model lift is
null, and a line says so.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyroaring import BitMap

from angelia.audience.members import read_members
from angelia.catalog.snapshot import Catalog, load_snapshot
from angelia.config import load_settings
from angelia.contracts import dataset
from angelia.contracts.arrow import by_ordinal, where
from angelia.lake import Commit, Lake
from angelia.lake.commit import in_shard
from angelia.output import progress
from angelia.users.index import require_index
from models.answering.lately import ScoreShift, read_lately, segments_of
from models.behaviour import DAY_US, WINDOW_DAYS, Behaviour, Population, behaviour
from models.compiled import compiled_files
from models.features import Context
from models.registry import Registry
from models.scorer import COLUMNS, Scorer
from models.taste import LOOK_COLUMNS, PastLooks
from spark_jobs.running.reading import Window, read_window, window_commits
from spark_jobs.running.session import (
    ShardResult,
    arg_parser,
    open_judged,
    run_job,
    run_shards,
    spark_session,
)
from spark_jobs.shard_work.curve_shard import days_between
from spark_jobs.shard_work.past_looks import past_looks

Ordinals = npt.NDArray[np.int64]
Lift = npt.NDArray[np.float64]
UNMOVED = ScoreShift()


@dataclass(frozen=True)
class Candidate:
    """A material that a campaign may show: to the members of all `audiences`."""

    context: Context
    audiences: tuple[str, ...]


@dataclass(frozen=True)
class PastDays:
    """The days that people's behaviour is read from, and the materials' categories.

    `n_days` is the window, and as many more as have passed since `looks`, the record of what came before.
    """

    ds: str
    n_days: int
    days: Window
    pushes: Window
    category_of: Mapping[str, str]
    looks: Commit | None = None

    @classmethod
    def of(cls, lake: Lake, ds: str, category_of: Mapping[str, str], looks: Commit | None) -> PastDays:
        """Return the window of a night."""
        n_days = WINDOW_DAYS if looks is None else days_between(looks.partition["ds"], ds) + 1
        windows = [window_commits(lake, name, ds, n_days) for name in ("user_days", "user_pushes")]
        return cls(ds, n_days, *windows, category_of, looks)


def candidates(catalog: Catalog, days: Sequence[date]) -> list[Candidate]:
    """Return the materials of campaigns that run on any of the days, by campaign and material.

    An experiment's arms are included, and campaigns that events set off: they choose by the night's scores.
    """
    arms = []
    for name, campaign in catalog.running(days, with_triggered=True).items():
        for material in (catalog.materials[identity] for identity in catalog.materials_of(name)):
            if any(material.is_valid_on(day) for day in days):
                audiences = (
                    (campaign.audience,)
                    if material.audience is None
                    else (campaign.audience, material.audience)
                )
                arms.append(
                    Candidate(Context(name, material.id, campaign.topic, material.category), audiences)
                )
    return arms


def score_shard(
    users: pa.Table,
    behaved: Behaviour,
    members: Mapping[str, BitMap],
    wanted: Sequence[Candidate],
    scorer: Scorer,
    lift: Mapping[str, Lift] | None = None,
    shift: ScoreShift = UNMOVED,
) -> pa.Table:
    """Return one shard's material_scores.

    Args:
        users: rows of user_features in ordinal order.
        behaved: the same people's behaviour, in the same order.
        members: each audience's ordinals.
        lift: what a message adds for each of these people, by campaign, (n,); others have none.
        shift: what the nights since the training move scores by.
    """
    ordinal = users["ordinal"].to_numpy().astype(np.int64)
    encoded = scorer.encode_users(users, behaved)
    segments, segment = segments_of(users)
    parts: list[tuple[Ordinals, npt.NDArray[np.int32], npt.NDArray[np.float64], Lift]] = []
    rows_of: dict[tuple[str, ...], Ordinals] = {}
    for number, candidate in enumerate(wanted):
        if candidate.audiences not in rows_of:
            both = BitMap.intersection(*(members.get(name, BitMap()) for name in candidate.audiences))
            rows_of[candidate.audiences] = np.flatnonzero(
                np.isin(ordinal, np.array(both, dtype=np.int64), assume_unique=True)
            )
        rows = rows_of[candidate.audiences]
        scores = scorer.predict(encoded, [candidate.context], rows)[:, 0]
        scores = shift.moved(scores, candidate.context.material_id, segments, segment[rows])
        own = (lift or {}).get(candidate.context.campaign_id)
        moved = np.full(len(rows), np.nan) if own is None else own[rows]
        parts.append((ordinal[rows], np.full(len(rows), number, np.int32), scores, moved))
    who, which, scores, moved = (
        np.concatenate([part[k] for part in parts]) if parts else np.zeros(0) for k in range(4)
    )
    order = np.lexsort((which, who))  # candidates are in order of campaign and material
    which = which[order].astype(np.int32)
    names = [[getattr(c.context, name) for c in wanted] for name in ("campaign_id", "material_id")]
    campaign, material = (pa.array(values, pa.string()).take(pa.array(which)) for values in names)
    columns = {
        "ordinal": pa.array(who[order].astype(np.uint32)),
        "campaign_id": campaign,
        "material_id": material,
        # Nine digits: what a score can mean, and a file that does not depend on the last bit of a sum.
        "p_open": pa.array(np.round(scores[order].astype(np.float64), 9)),
        "lift": pa.array(np.round(moved[order].astype(np.float64), 9), from_pandas=True),
    }
    return pa.table({name: columns[name] for name in dataset("material_scores").names})


def write_scores(
    lake: Lake,
    features: Commit,
    audiences: Commit,
    past: PastDays,
    wanted: Sequence[Candidate],
    files: Mapping[str, bytes],
    shard_bits: int,
    folder: str,
    lifts: Mapping[str, tuple[str, bytes]],
    shift: ScoreShift,
    shard: int,
) -> ShardResult:
    """Score one shard and write its file; `lifts` is each campaign's lift model, name and text."""
    lo, hi = shard << shard_bits, (shard + 1) << shard_bits
    users = lake.read(features, ["ordinal", *COLUMNS], where=in_shard(shard))
    own = pc.and_(pc.greater_equal(users["ordinal"], lo), pc.less(users["ordinal"], hi))
    users = by_ordinal(where(users, own))
    members = read_members(lake, audiences, shard)
    scorer = Scorer(files)
    behaved = shard_behaviour(lake, past, scorer.population, users, shard_bits, shard)
    table = score_shard(users, behaved, members, wanted, scorer, lift_of(users, lifts), shift)
    return ShardResult(
        shard,
        [
            lake.write_file(
                "material_scores", folder, table, f"shard-{shard:05d}.parquet", shards=(shard, shard)
            )
        ],
    )


def lift_of(users: pa.Table, lifts: Mapping[str, tuple[str, bytes]]) -> dict[str, Lift]:
    """Return what a message of each campaign adds for each person, (n,) by campaign."""
    if not lifts:  # the models' libraries take half a second to load
        return {}
    from models.uplift.kept import load

    moved = {each: load(*each).per_message(users) for each in set(lifts.values())}
    return {campaign: moved[each] for campaign, each in lifts.items()}


def shard_behaviour(
    lake: Lake, past: PastDays, population: Population, users: pa.Table, shard_bits: int, shard: int
) -> Behaviour:
    """Return what the people of a shard did up to the night, by category."""
    n = users.num_rows
    columns = ["event_type", "item", "n_events", "hours"]
    days = read_window(lake, "user_days", past.days, columns, shard, shard_bits)
    columns = ["kind", "material_id", "sent_ts"]
    pushes = read_window(lake, "user_pushes", past.pushes, columns, shard, shard_bits)
    # Users that joined the index meanwhile have no features yet.
    days, pushes = (where(table, pc.less(table["row"], n)) for table in (days, pushes))
    last = past.n_days - 1
    first = (np.datetime64(past.ds) - np.datetime64(0, "D")).astype(np.int64) - last
    sent = pushes["sent_ts"].cast(pa.int64()).to_numpy() / DAY_US - first
    pushes = pushes.append_column("sent_day", pa.array(sent.astype(np.float64)))
    before = None
    if past.looks is not None:
        kept = lake.read(past.looks, LOOK_COLUMNS, where=in_shard(shard))
        before = PastLooks.of(kept, users["ordinal"].to_numpy().astype(np.int64), day=-1)
    return behaviour(days, pushes, past.category_of, population, day=last, n=n, users=users, before=before)


def lift_models(
    registry: Registry, catalog: Catalog, campaigns: Iterable[str]
) -> tuple[dict[str, tuple[str, bytes]], dict[str, dict[str, Any]]]:
    """Return the lift models of the campaigns that count lift, and what the meta says of them.

    A model that was never kept leaves its campaign to the worth of opens; that, and an order that may be
    chance, is said in a line a night.
    """
    asking = {name: asked for name in sorted(campaigns) if (asked := catalog.campaigns[name].uplift)}
    if not asking:
        return {}, {}
    from models.uplift import kept

    models: dict[str, tuple[str, bytes]] = {}
    facts: dict[str, dict[str, Any]] = {}
    for campaign, asked in asking.items():
        stored = kept.newest(registry.store, asked.model)
        if stored is None:
            facts[campaign] = {"model": None, "wanted": asked.model}
            progress(
                f"score_materials: campaign {campaign}: no lift model {asked.model} was kept, so opens alone "
                f"count; keep one with `angelia effects uplift --keep {asked.model}`"
            )
            continue
        models[campaign] = asked.model, stored
        facts[campaign] = kept.load(asked.model, stored).as_meta()  # refused here rather than in every worker
        if not facts[campaign]["above_chance"]:
            progress(
                f"score_materials: campaign {campaign}: the order of lift model {asked.model} may be chance; "
                "learn from more nights or a larger holdout"
            )
    return models, facts


def arg_parser_for_job() -> argparse.ArgumentParser:
    """Return this job's parser."""
    parser = arg_parser(__doc__, after=("sources", "features"))
    parser.add_argument(
        "--model", default=None, metavar="VERSION", help="score with this version instead of the champion"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job."""
    args = arg_parser_for_job().parse_args(argv)
    settings, lake, ds = load_settings(), open_judged(args), args.ds
    registry = Registry.configured(settings)
    version = args.model or registry.require_champion().version
    files = registry.load(version)
    files = compiled_files(registry, version, files)
    scorer = Scorer(files)  # refused here, in one line, rather than in every worker
    doubt = scorer.doubt
    catalog = load_snapshot(lake, ds)
    features, audiences = lake.require("user_features", ds=ds), lake.require("audience_members", ds=ds)
    bits = int(require_index(lake).meta["shard_bits"])
    # The plan's 24 hours begin on D+1 and touch three local dates, from Hawaii to Kiribati.
    first = date.fromisoformat(ds) + timedelta(days=settings.lead_hours // 24)
    wanted = candidates(catalog, [first + timedelta(days=shift) for shift in (-1, 0, 1)])
    lifts, lift_meta = lift_models(registry, catalog, {c.context.campaign_id for c in wanted})
    shards = sorted(
        {
            shard
            for entry in features.files
            if entry.shards
            for shard in range(entry.shards[0], entry.shards[1] + 1)
        }
    )
    category_of = {name: m.category for name, m in catalog.materials.items() if m.category is not None}
    before = (date.fromisoformat(ds) - timedelta(days=WINDOW_DAYS)).isoformat()
    lately, counted = read_lately(
        lake, features, category_of, ds=ds, model=version, lead_hours=settings.lead_hours
    )
    shift = lately.shift()
    with spark_session("score_materials") as spark, lake.attempt("material_scores", ds=ds) as attempt:
        looks = past_looks(spark, lake, features, before, shards, bits, category_of)
        past = PastDays.of(lake, ds, category_of, looks)
        work = partial(
            write_scores, lake, features, audiences, past, wanted, files, bits, attempt.folder, lifts, shift
        )
        for result in run_shards(spark, shards, work):
            for entry in result.files:
                attempt.add(entry)
        attempt.publish(
            inputs=[
                features,
                audiences,
                *(commit for _, commit in (*past.days, *past.pushes)),
                # Days of pushes are cited already: they lie within the window.
                *(commit for commit in counted if commit.dataset != "user_pushes"),
                *([looks] if looks else []),
                *([catalog.commit] if catalog.commit else []),
            ],
            params={"model": version},
            meta={
                "model": version,
                "campaigns": len({c.context.campaign_id for c in wanted}),
                "materials": len(wanted),
                # A material that the model has not seen yet is wholly unknown, until nights tell of it.
                "doubt": lately.doubt(
                    {c.context.material_id: doubt.get(c.context.material_id, 1.0) for c in wanted}
                ),
                "lately": lately.as_dict(),
                "shift": shift.by,
                # What the plan prices: how messages tire people.
                "fatigue": {name: value for name, value in scorer.fatigue.items() if name != "evidence"},
                **({"lift": lift_meta} if lift_meta else {}),
            },
        )


if __name__ == "__main__":
    sys.exit(run_job(main))
