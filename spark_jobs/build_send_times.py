"""Build response curves. Grain: user.

Reads user_features (timezone, country), user_days, user_pushes of the last history_days, and user_hours for
what was before; writes send_times, and once a week user_hours. Two passes over the shards: sum evidence by
timezone, and gather that of a hash-chosen sample of users, on which the driver fits clusters and, once a
week, chooses all parameters by held-out likelihood; write the curves, and sum up what they do not explain by
category and hour, which becomes meta `categories`; once a week that pass counts the days that have left the
window, too (`past_categories`). Sums and the sample's counts (no ids) travel to the driver. Surprise: curves
have mean 1 over the hours pushes were sent in (meta `reference`), not over all 24; hours nobody was ever
pushed in rest on activity alone.
"""

from __future__ import annotations

import argparse
import base64
import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from angelia.catalog.snapshot import Catalog, nearest_catalog
from angelia.config import load_settings
from angelia.contracts import dataset
from angelia.contracts.ids import mix
from angelia.contracts.sending import ALL
from angelia.lake import Commit, Lake
from angelia.planning.routes import add_counts, responses
from angelia.planning.routes.requests import META
from angelia.timing import category_hours
from angelia.timing.busiest import META as BUSIEST
from angelia.timing.busiest import busiest_meta, busiest_sums
from angelia.timing.category_hours import category_sums
from angelia.timing.choosing import CHOSEN_ON, SETTLED_DAYS, CurveChoice, Sample, Settled, choose
from angelia.timing.curves import (
    CohortSums,
    Strength,
    cohort_sums,
    cohort_tables,
    curves_of,
    evidence,
    merge_sums,
    shrunk_rates,
)
from angelia.timing.evidence import CELLS, Floats, PushCounts
from angelia.timing.habits import habits, likeliest
from angelia.timing.local_time import in_quiet
from angelia.users.index import require_index
from spark_jobs.running.reading import window_commits
from spark_jobs.running.session import (
    ShardResult,
    arg_parser,
    open_judged,
    run_job,
    run_shards,
    spark_session,
)
from spark_jobs.shard_work.curve_shard import CurveInputs, CurveShard, channel_counts, days_between
from spark_jobs.shard_work.past_categories import CategoryPast, count_older
from spark_jobs.shard_work.past_hours import past_hours

# users are sampled in blocks of 256 ordinals: whole blocks lie in one shard, whatever shard_bits (at least 8)
BLOCK_BITS = 8
SAMPLE_USERS = 20_000
MIN_ACTIVE_HOURS = 5.0  # decayed active hours below which a user's cluster is not named


def count_people(inputs: CurveInputs, blocks: frozenset[int], shard: int) -> ShardResult:
    """First pass: the shard's evidence by cohort, and its sampled users', without their ids."""
    part = CurveShard(inputs, shard)
    names, cohorts = part.cohorts()
    sums = cohort_sums(names, part.activity(cohorts), *part.counts(cohorts=cohorts))
    few = part.only(np.isin(part.ordinal >> BLOCK_BITS, list(blocks)))
    return ShardResult(
        shard, [], {"cohorts": {name: v.tolist() for name, v in sums.items()}, "sample": packed(few)}
    )


def packed(part: CurveShard) -> dict[str, str | list[str]] | None:
    """Return the evidence of a shard's sampled users as text, None where there are none."""
    if not part.timezones:
        return None
    activity, pushes, opens = part.sample()
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out:  # far faster here than what numpy offers
        np.savez(out, activity=activity, pushes=pushes, opens=opens)
    text = base64.b64encode(sink.getvalue()).decode("ascii")
    return {"timezones": list(part.timezones), "counts": text}


def unpacked(sample: Mapping[str, str | list[str]], scale: float) -> Sample:
    """Return the sample that a shard sent.

    Known propensities weigh `scale` times their inverse.
    """
    stored = base64.b64decode(str(sample["counts"]))
    with pa.CompressedInputStream(pa.BufferReader(stored), "zstd") as source:
        whole = io.BytesIO(source.read())
    with np.load(whole) as counts:
        pushes, opens = (counts[name][0] + scale * counts[name][1] for name in ("pushes", "opens"))
        return Sample(tuple(sample["timezones"]), counts["activity"], pushes, opens)


def count_channels(inputs: CurveInputs, shard: int) -> ShardResult:
    """Beside it, if a campaign asks: the shard's messages by campaign and channel."""
    return ShardResult(shard, [], channel_counts(inputs, shard))


def write_curves(
    inputs: CurveInputs,
    sums: CohortSums,
    choice: CurveChoice,
    past: CategoryPast,
    awake: npt.NDArray[np.bool_],
    folder: str,
    shard: int,
) -> ShardResult:
    """Second pass: every user's curve, written to one file, and the sums of all.

    These are by category, and of busiest hours.
    """
    part = CurveShard(inputs, shard)
    counts = part.counts()
    activity = part.hours(choice.habit.half_life_days)
    table = curve_table(part.ordinal, part.timezones, activity, counts, sums, choice)
    curve = np.hstack([lists_of(table["workday"]), lists_of(table["day_off"])])
    tables = cohort_tables(sums, choice.strength)
    # Beside a person's own curve chosen hours are news of how much they open, and of categories.
    pushes, opens = (count.weighted(tables.scale) for count in part.all_counts())
    rate = shrunk_rates(pushes * curve, opens, tables.rate)
    split, names = inputs.n_days * 3 // 4, inputs.categories
    halves = {
        half: dict(
            zip(names, category_sums(*part.by_category(*days), curve, rate, len(names)).tolist(), strict=True)
        )
        for half, days in (("earlier", (0, split)), ("later", (split, inputs.n_days)))
    }
    halves["older"] = count_older(inputs, past, part.users, curve, rate, shard)
    halves[BUSIEST] = busiest_sums(part.activity(), curve, awake).tolist()
    name = f"shard-{shard:05d}.parquet"
    entry = inputs.lake.write_file("send_times", folder, table, name, shards=(shard, shard))
    return ShardResult(shard, [entry], halves)


def lists_of(column: pa.ChunkedArray) -> Floats:
    """Return a column of 24 values a row as (n, 24)."""
    return np.asarray(column.combine_chunks().flatten().to_numpy(), dtype=np.float64).reshape(-1, 24)


def own_times(results: Sequence[ShardResult], past: Mapping[str, Floats]) -> dict[str, object]:
    """Return what the commit's meta says of categories.

    These are their factors by cell and by weekday, how hours were smoothed, and the strengths that were
    chosen (None = no effect). `past` is what is known of the days before the window.
    """
    earlier, later = (category_hours.merge([r.stats[half] for r in results]) for half in ("earlier", "later"))
    names = list(earlier)
    if not names:
        return {"categories": {}, "category_days": {}, "category_strengths": [None, None]}
    nothing = np.zeros((2, CELLS + category_hours.WEEKDAYS))
    before, last = (np.stack([half[name] for name in names]) for half in (earlier, later))
    before = before + np.stack([past.get(name, nothing) for name in names])
    shape, strength = category_hours.choose_hours(before, last)
    weekly, days = category_hours.by_weekday(before), category_hours.by_weekday(last)
    by_day, _ = category_hours.choose_strength(weekly, days)
    tables = [
        category_hours.factors(category_hours.by_cell(before + last, shape), strength),
        category_hours.factors(weekly + days, by_day),
    ]
    hours, weekdays = (dict(zip(names, np.round(table, 4).tolist(), strict=True)) for table in tables)
    return {
        "categories": hours,
        "category_days": weekdays,
        "category_smoothing": shape,
        "category_strengths": [each if np.isfinite(each) else None for each in (strength, by_day)],
    }


def curve_table(
    ordinal: npt.NDArray[np.int64],
    timezones: list[str],
    activity: Floats,
    counts: tuple[PushCounts, PushCounts],
    sums: Mapping[str, Floats],
    choice: CurveChoice,
) -> pa.Table:
    """Return rows of send_times for one shard's users, in ordinal order."""
    tables, clusters = cohort_tables(sums, choice.strength), choice.clusters
    zone = clusters.rows(timezones)
    habit = habits(activity, zone, clusters, choice.habit)
    pushes, opens = (count.weighted(tables.scale) for count in counts)
    # Four decimals are far below what a curve can know, and keep the last bit of a sum from changing a file.
    curves = curves_of(timezones, habit, clusters, pushes, opens, tables, choice.strength)
    curves = np.round(curves, 4).astype(np.float32)
    nearest = likeliest(activity, zone, clusters, choice.habit)
    is_sparse = activity.sum(axis=1) < MIN_ACTIVE_HOURS
    half = CELLS // 2

    def lists(values: npt.NDArray[np.float32]) -> pa.Array:
        flat = pa.array(np.ascontiguousarray(values).ravel())
        return pa.ListArray.from_arrays(pa.array(np.arange(0, values.size + 1, half, dtype=np.int32)), flat)

    columns = {
        "ordinal": pa.array(ordinal.astype(np.uint32)),
        "timezone": pa.array(timezones, pa.string()),
        "workday": lists(curves[:, :half]),
        "day_off": lists(curves[:, half:]),
        "cluster": pa.array(nearest.astype(np.int16), mask=is_sparse),
        "evidence": pa.array(np.round(evidence(counts[0], tables.scale), 4)),
    }
    return pa.table({name: columns[name] for name in dataset("send_times").names})


def sample_blocks(n_users: int) -> frozenset[int]:
    """Choose the blocks of users that strengths are chosen on: by hash, whatever the shards."""
    blocks = np.arange(((max(n_users, 1) - 1) >> BLOCK_BITS) + 1, dtype=np.uint64)
    order = np.argsort(mix(blocks, "send_times", "sample"), kind="stable")
    return frozenset(int(block) for block in blocks[order[: SAMPLE_USERS >> BLOCK_BITS]])


def awake_hours(catalog: Catalog | None) -> npt.NDArray[np.bool_]:
    """Return which local hours the policy does not call quiet, (24,)."""
    quiet = catalog.policy.quiet_hours if catalog else None
    return np.asarray(~in_quiet(np.arange(24), *((quiet.start, quiet.end) if quiet else (None, None))))


def last_manifest(lake: Lake, ds: str, catalog: Catalog | None) -> Commit | None:
    """Return the manifest of the night before, if it says how many devices messages went to.

    Asked only where a campaign goes to all devices of a person.
    """
    if catalog is None or not any(campaign.devices == ALL for campaign in catalog.campaigns.values()):
        return None
    before = (date.fromisoformat(ds) - timedelta(days=1)).isoformat()
    manifest = lake.head("dispatch_manifest", ds=before)
    return manifest if manifest is not None and META in manifest.meta else None


def settled_before(lake: Lake, ds: str, params: Mapping[str, object]) -> tuple[Settled | None, list[Commit]]:
    """Return the parameters that the newest of the last nights goes on with, and its commit.

    None if it had other settings, or they are a week old.
    """
    day = date.fromisoformat(ds)
    first = (day - timedelta(days=SETTLED_DAYS - 1)).isoformat()
    for back in range(1, SETTLED_DAYS):
        commit = lake.head("send_times", ds=(day - timedelta(days=back)).isoformat())
        if commit is not None:
            settled = Settled.of(commit.meta, first) if commit.params == params else None
            return settled, [commit] if settled else []
    return None, []


def arg_parser_for_job() -> argparse.ArgumentParser:
    """Return this job's parser."""
    parser = arg_parser(__doc__, after=("sources",))
    parser.add_argument("--half-life-days", type=_positive, default=14.0, help="evidence so old counts half")
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job."""
    args = arg_parser_for_job().parse_args(argv)
    settings, lake = load_settings(), open_judged(args)
    n_days = settings.history_days
    features = lake.require("user_features", ds=args.ds)
    windows = [window_commits(lake, name, args.ds, n_days) for name in ("user_days", "user_pushes")]
    bits = int(require_index(lake).meta["shard_bits"])
    catalog = nearest_catalog(lake, args.ds)
    of = {name: m.category for name, m in catalog.materials.items() if m.category} if catalog else {}
    shards = sorted(
        {
            shard
            for entry in features.files
            if entry.shards
            for shard in range(entry.shards[0], entry.shards[1] + 1)
        }
    )
    blocks = sample_blocks(features.rows)
    before = (date.fromisoformat(args.ds) - timedelta(days=n_days)).isoformat()
    with spark_session("build_send_times") as spark, lake.attempt("send_times", ds=args.ds) as attempt:
        past = past_hours(spark, lake, features, before, shards, bits)
        # The year of hours is kept once a week: days since that commit are added from their own rows.
        gap_days = days_between(past.partition["ds"], before) + 1 if past else 0
        gap = window_commits(lake, "user_days", before, gap_days)
        inputs = CurveInputs(
            lake, features, *windows, args.ds, n_days, args.half_life_days, bits, of, past, gap, gap_days
        )
        # Two passes over the shards: a person's curve leans on the cohorts', which need everybody first.
        counted = [
            result.stats for result in run_shards(spark, shards, partial(count_people, inputs, blocks))
        ]
        sums = merge_sums(stats["cohorts"] for stats in counted)
        scale = cohort_tables(sums, Strength()).scale
        sample = Sample.join([unpacked(each["sample"], scale) for each in counted if each["sample"]])
        params = {"half_life_days": args.half_life_days, "history_days": n_days}
        settled, settling = settled_before(lake, args.ds, params)
        choice = choose(sample, sums, n_days, settled)
        pushed = CategoryPast.find(lake, args.ds, before)
        work = partial(write_curves, inputs, sums, choice, pushed, awake_hours(catalog), attempt.folder)
        written = run_shards(spark, shards, work)
        for result in written:
            for entry in result.files:
                attempt.add(entry)
        record = pushed.with_([result.stats["older"] for result in written])
        tables = cohort_tables(sums, choice.strength)
        by_channel = {}
        # Another pass over the pushes, which few nights need.
        if catalog and any(campaign.choose_channel for campaign in catalog.campaigns.values()):
            answers = run_shards(spark, shards, partial(count_channels, inputs))
            by_channel = {"channel_responses": responses(add_counts(part.stats for part in answers))}
        last = last_manifest(lake, args.ds, catalog)
        attempt.publish(
            inputs=[
                features,
                *([last] if last else []),
                *(commit for window in (*windows, gap) for _, commit in window),
                *([past] if past else []),
                *pushed.commits(),
                *(commit for commit in settling if commit not in pushed.commits()),
                *([catalog.commit] if catalog and catalog.commit else []),
            ],
            params=params,
            meta={
                "strength": asdict(choice.strength),
                "habit": asdict(choice.habit),
                "chosen_by": choice.by,
                CHOSEN_ON: settled.on if settled else args.ds,
                "gain": None if choice.gain is None else round(choice.gain, 6),
                "clusters": choice.clusters.to_meta(),
                "open_rate": round(tables.rate, 6),
                "cohorts": len(tables.names),
                "reference": np.round(tables.reference, 4).tolist(),
                "population": np.round(tables.curves[-1], 4).tolist(),
                **own_times(written, record.faded(args.ds)),
                **record.to_meta(),
                **busiest_meta([result.stats[BUSIEST] for result in written]),
                **by_channel,
                **({META: last.meta[META]} if last else {}),
            },
        )


if __name__ == "__main__":
    sys.exit(run_job(main))
