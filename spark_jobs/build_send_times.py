"""Build response curves. Grain: user.

Reads user_features (timezone, country), user_days, user_pushes of the last history_days; writes send_times.
Three passes over the shards: sum evidence by cohort; choose how strongly to believe a user's own evidence, by
predicting the last quarter of the window on a hash-chosen sample of users; write the curves, and sum up what
they do not explain by category and hour, which becomes meta `categories`. Only sums and scores travel to the
driver. Surprise: curves have mean 1 over the hours pushes were sent in (meta `reference`), not over all 24;
hours nobody was ever pushed in rest on activity alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from angelia.catalog.snapshot import nearest_catalog
from angelia.config import load_settings
from angelia.contracts import dataset
from angelia.contracts.ids import mix
from angelia.lake import Commit, Lake
from angelia.lake.commit import in_shard
from angelia.timing import category_hours
from angelia.timing.category_hours import Pushes, category_sums
from angelia.timing.curves import (
    STRENGTHS,
    CohortSums,
    Strength,
    choose_strength,
    cohort_names,
    cohort_sums,
    cohort_tables,
    evidence,
    merge_sums,
    score_strengths,
    shrunk_rates,
    user_curves,
)
from angelia.timing.evidence import (
    CELLS,
    MATURITY_H,
    Clock,
    Floats,
    PushCounts,
    count_activity,
    count_pushes,
    read_clock,
)
from angelia.users.index import require_index
from spark_jobs._reading import Window, ints, read_window, window_commits
from spark_jobs._session import ShardResult, arg_parser, open_judged, run_job, run_shards, spark_session

# users are sampled in blocks of 256 ordinals: whole blocks lie in one shard, whatever shard_bits (at least 8)
BLOCK_BITS = 8
SAMPLE_USERS = 20_000
HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000


@dataclass(frozen=True)
class Inputs:
    """What every pass reads; travels to the workers."""

    lake: Lake
    features: Commit
    days: Window
    pushes: Window
    ds: str
    n_days: int
    half_life_days: float
    shard_bits: int
    category_of: Mapping[str, str]  # material -> category, from the catalog

    @property
    def categories(self) -> list[str]:
        """Return the categories that materials have, sorted."""
        return sorted(set(self.category_of.values()))


class Shard:
    """One shard's rows, counted into cells."""

    def __init__(self, inputs: Inputs, shard: int) -> None:
        self.inputs, self.shard = inputs, shard
        lo, hi = shard << inputs.shard_bits, (shard + 1) << inputs.shard_bits
        users = inputs.lake.read(inputs.features, ["ordinal", "timezone", "country"], where=in_shard(shard))
        users = users.filter(
            pc.and_(pc.greater_equal(users["ordinal"], lo), pc.less(users["ordinal"], hi))
        ).sort_by("ordinal")
        self.ordinal = ints(users["ordinal"])
        n = len(self.ordinal)
        self.timezones: list[str] = users["timezone"].to_pylist()
        last_day = np.datetime64(inputs.ds, "D")
        self.clock: Clock = read_clock(
            self.timezones, users["country"].to_pylist(), last_day, inputs.n_days, inputs.half_life_days
        )
        days = read_window(inputs.lake, "user_days", inputs.days, ["hours"], shard, inputs.shard_bits)
        days = days.filter(pc.less(days["row"], n))  # the index may have grown since the features were built
        self._day_user, self._day, self._hours = ints(days["row"]), ints(days["day"]), ints(days["hours"])
        rows = read_window(
            inputs.lake,
            "user_pushes",
            inputs.pushes,
            ["kind", "material_id", "at_ts", "sent_ts", "slot_propensity"],
            shard,
            inputs.shard_bits,
        )
        rows = rows.filter(pc.less(rows["row"], n))
        sent_us, at_us = ints(rows["sent_ts"].cast(pa.int64())), ints(rows["at_ts"].cast(pa.int64()))
        is_sent = np.asarray(pc.equal(rows["kind"], "sent").to_numpy()).astype(bool)
        is_open = ~is_sent & (at_us - sent_us <= MATURITY_H * HOUR_US)
        propensity = rows["slot_propensity"].cast(pa.float64()).fill_null(np.nan).to_numpy()
        self._sent, self._opened = (
            (ints(rows["row"])[some], sent_us[some] // HOUR_US, propensity[some])
            for some in (is_sent, is_open)
        )
        number = {name: place for place, name in enumerate(inputs.categories)}
        codes = {name: number[category] for name, category in inputs.category_of.items()}
        category = np.array([codes.get(name, -1) for name in rows["material_id"].to_pylist()], np.int64)
        self._categories = category[is_sent], category[is_open]

    def activity(self, before: int | None = None) -> Floats:
        """Return active hours by cell, of all days or those before a day of the window."""
        some = self._day < (self.inputs.n_days if before is None else before)
        return count_activity(self.clock, self._day_user[some], self._day[some], self._hours[some])

    def by_category(self, first: int, last: int) -> tuple[Pushes, Pushes]:
        """Return pushes and opens of known category, sent on the window's days [first, last)."""
        found = []
        stop = min(24 * last, 24 * self.inputs.n_days - MATURITY_H)
        for (user, sent_hour, _), category in zip((self._sent, self._opened), self._categories, strict=True):
            at = sent_hour - self.clock.first_hour
            here = (at >= 24 * first) & (at < stop) & (category >= 0)
            user, at = user[here], at[here]
            where = (self.clock.group[user], at)
            cell, weekday = (
                table[where].astype(np.int64) for table in (self.clock.cells, self.clock.weekdays)
            )
            found.append(Pushes(user, cell, weekday, category[here], self.clock.decay[at // 24]))
        return found[0], found[1]

    def counts(self, first: int = 0, last: int | None = None) -> tuple[PushCounts, PushCounts]:
        """Return pushes and opens by cell of sending."""
        return count_pushes(self.clock, *self._sent, first=first, last=last), count_pushes(
            self.clock, *self._opened, first=first, last=last
        )


def sum_cohorts(inputs: Inputs, shard: int) -> ShardResult:
    """First pass: the shard's evidence by cohort."""
    part = Shard(inputs, shard)
    activity = part.activity()
    sums = cohort_sums(cohort_names(part.timezones, activity), activity, *part.counts())
    return ShardResult(shard, [], {name: values.tolist() for name, values in sums.items()})


def score_sample(inputs: Inputs, sums: CohortSums, blocks: frozenset[int], shard: int) -> ShardResult:
    """Second pass: how well each strength predicts the window's last quarter for sampled users."""
    part = Shard(inputs, shard)
    split = inputs.n_days * 3 // 4
    sampled = np.isin(part.ordinal >> BLOCK_BITS, list(blocks))
    activity = part.activity(before=split)
    cohorts = [
        name for name, keep in zip(cohort_names(part.timezones, activity), sampled, strict=True) if keep
    ]
    earlier, later = part.counts(last=split), part.counts(first=split)

    def some(counts: tuple[PushCounts, PushCounts]) -> tuple[PushCounts, PushCounts]:
        pushes, opens = (
            PushCounts(c.unknown[sampled], c.known[sampled], c.known_plain[sampled]) for c in counts
        )
        return pushes, opens

    return ShardResult(
        shard, [], {"scores": score_strengths(cohorts, activity[sampled], some(earlier), some(later), sums)}
    )


def write_curves(
    inputs: Inputs, sums: CohortSums, strength: Strength, folder: str, shard: int
) -> ShardResult:
    """Third pass: every user's curve, written to one file."""
    part = Shard(inputs, shard)
    counts = part.counts()
    table = curve_table(part.ordinal, part.timezones, part.activity(), counts, sums, strength)
    curve = np.hstack([lists_of(table["workday"]), lists_of(table["day_off"])])
    tables = cohort_tables(sums, strength.elasticity, strength.waiting)
    pushes, opens = (count.weighted(tables.scale) for count in counts)
    rate = shrunk_rates(pushes, opens, tables.rate)
    split, names = inputs.n_days * 3 // 4, inputs.categories
    halves = {
        half: dict(
            zip(names, category_sums(*part.by_category(*days), curve, rate, len(names)).tolist(), strict=True)
        )
        for half, days in (("earlier", (0, split)), ("later", (split, inputs.n_days)))
    }
    name = f"shard-{shard:05d}.parquet"
    entry = inputs.lake.write_file("send_times", folder, table, name, shards=(shard, shard))
    return ShardResult(shard, [entry], halves)


def lists_of(column: pa.ChunkedArray) -> Floats:
    """Return a column of 24 values a row as (n, 24)."""
    return np.asarray(column.combine_chunks().flatten().to_numpy(), dtype=np.float64).reshape(-1, 24)


def own_times(results: Sequence[ShardResult]) -> dict[str, object]:
    """Return what the commit's meta says of categories.

    These are their factors by cell and by weekday, and the strengths that were chosen (None = no effect).
    """
    halves = [category_hours.merge([r.stats[half] for r in results]) for half in ("earlier", "later")]
    names = list(halves[0])
    if not names:
        return {"categories": {}, "category_days": {}, "category_strengths": [None, None]}
    earlier, later = (np.stack([half[name] for name in names]) for half in halves)
    tables, strengths = [], []
    for of in (category_hours.by_cell, category_hours.by_weekday):
        strength = category_hours.choose_strength(of(earlier), of(later))
        factor = np.round(category_hours.factors(of(earlier + later), strength), 4)
        tables.append(dict(zip(names, factor.tolist(), strict=True)))
        strengths.append(strength if np.isfinite(strength) else None)
    return {"categories": tables[0], "category_days": tables[1], "category_strengths": strengths}


def curve_table(
    ordinal: npt.NDArray[np.int64],
    timezones: list[str],
    activity: Floats,
    counts: tuple[PushCounts, PushCounts],
    sums: Mapping[str, Floats],
    strength: Strength,
) -> pa.Table:
    """Return rows of send_times for one shard's users, in ordinal order."""
    tables = cohort_tables(sums, strength.elasticity, strength.waiting)
    cohorts = cohort_names(timezones, activity)
    # Four decimals are far below what a curve can know, and keep the last bit of a sum from changing a file.
    curves = np.round(user_curves(cohorts, activity, *counts, tables, strength), 4).astype(np.float32)
    half = CELLS // 2

    def lists(values: npt.NDArray[np.float32]) -> pa.Array:
        flat = pa.array(np.ascontiguousarray(values).ravel())
        return pa.ListArray.from_arrays(pa.array(np.arange(0, values.size + 1, half, dtype=np.int32)), flat)

    columns = {
        "ordinal": pa.array(ordinal.astype(np.uint32)),
        "timezone": pa.array(timezones, pa.string()),
        "workday": lists(curves[:, :half]),
        "day_off": lists(curves[:, half:]),
        "cohort": pa.array(cohorts, pa.string()),
        "evidence": pa.array(np.round(evidence(counts[0], tables.scale), 4)),
    }
    return pa.table({name: columns[name] for name in dataset("send_times").names})


def sample_blocks(n_users: int) -> frozenset[int]:
    """Choose the blocks of users that strengths are chosen on: by hash, whatever the shards."""
    blocks = np.arange(((max(n_users, 1) - 1) >> BLOCK_BITS) + 1, dtype=np.uint64)
    order = np.argsort(mix(blocks, "send_times", "sample"), kind="stable")
    return frozenset(int(block) for block in blocks[order[: SAMPLE_USERS >> BLOCK_BITS]])


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
    features = lake.require("user_features", ds=args.ds)
    windows = [
        window_commits(lake, name, args.ds, settings.history_days) for name in ("user_days", "user_pushes")
    ]
    bits = int(require_index(lake).meta["shard_bits"])
    catalog = nearest_catalog(lake, args.ds)
    of = {name: m.category for name, m in catalog.materials.items() if m.category} if catalog else {}
    inputs = Inputs(lake, features, *windows, args.ds, settings.history_days, args.half_life_days, bits, of)
    shards = sorted(
        {
            shard
            for entry in features.files
            if entry.shards
            for shard in range(entry.shards[0], entry.shards[1] + 1)
        }
    )
    blocks = sample_blocks(features.rows)
    sampled = sorted({block >> (bits - BLOCK_BITS) for block in blocks})
    with spark_session("build_send_times") as spark, lake.attempt("send_times", ds=args.ds) as attempt:
        sums = merge_sums(result.stats for result in run_shards(spark, shards, partial(sum_cohorts, inputs)))
        scores = [
            result.stats["scores"]
            for result in run_shards(spark, sampled, partial(score_sample, inputs, sums, blocks))
        ]
        strength = choose_strength(scores)
        written = run_shards(spark, shards, partial(write_curves, inputs, sums, strength, attempt.folder))
        for result in written:
            for entry in result.files:
                attempt.add(entry)
        tables = cohort_tables(sums, strength.elasticity, strength.waiting)
        attempt.publish(
            inputs=[
                features,
                *(commit for window in windows for _, commit in window),
                *([catalog.commit] if catalog and catalog.commit else []),
            ],
            params={"half_life_days": args.half_life_days, "history_days": settings.history_days},
            meta={
                "strength": asdict(strength),
                "strengths_tried": len(STRENGTHS),
                "open_rate": round(tables.rate, 6),
                "cohorts": len(tables.names),
                "reference": np.round(tables.reference, 4).tolist(),
                "population": np.round(tables.curves[-1], 4).tolist(),
                **own_times(written),
            },
        )


if __name__ == "__main__":
    sys.exit(run_job(main))
