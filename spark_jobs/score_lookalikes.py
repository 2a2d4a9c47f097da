"""Find the people most like a seed and keep them as a list. Grain: user.

Reads bitmap_index, user_features, catalog_snapshot; writes user_lists. Not part of the night: `angelia
audience lookalike` runs it. The model is trained on a sample, then every shard is scored by its own task,
twice: first to count people by score, then, with the cut-off known, to keep those above it. Only counts
travel, and the top is exact; ties at the cut-off go to the lower ordinals. People of the seed, and suppressed
ones, are never chosen.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from pyroaring import BitMap

from angelia.audience.bitmaps.sets import bitmap_of
from angelia.audience.language import nodes
from angelia.audience.language.fields import FIELDS
from angelia.audience.language.plan import steps
from angelia.audience.query import AudienceQuery
from angelia.catalog.snapshot import load_snapshot
from angelia.contracts import arrow, dataset
from angelia.contracts.arrow import by_ordinal, where
from angelia.errors import InvalidInput
from angelia.lake import Commit, Lake
from angelia.lake.citing import input_of
from angelia.lake.commit import in_shard
from angelia.lake.configured import open_lake
from angelia.output import progress
from models.lookalike import COLUMNS, LEVELS, MIN_SEED, Lookalike, cut_off, train
from spark_jobs.running.session import ShardResult, arg_parser, run_job, run_shards, spark_session

MAX_SEED = 100_000
PER_SEED = 4  # people of the population in the sample for each of the seed


@dataclass(frozen=True)
class Scoring:
    """What every shard's task needs; travels to the workers."""

    lake: Lake
    features: Commit
    ds: str
    index: int
    seed: str
    audiences: dict[str, str]
    model: str
    shard_bits: int

    def people(self, shard: int) -> tuple[pa.Table, np.ndarray]:
        """Return (rows that may be chosen, in ordinal order; their scores)."""
        rows = self.rows(shard)
        seed = np.fromiter(
            AudienceQuery(self.lake, self.ds, self.audiences, commit=self.index).members(self.seed, shard),
            np.int64,
        )
        rows = rows.filter(
            pa.array(
                ~np.isin(rows["ordinal"].to_numpy(), seed)
                & ~rows["is_suppressed"].to_numpy(zero_copy_only=False).astype(bool)
            )
        )
        return rows, Lookalike.from_text(self.model).score(rows)

    def rows(self, shard: int) -> pa.Table:
        """Return a shard's rows of user_features, by ordinal."""
        rows = self.lake.read(self.features, ["ordinal", "is_suppressed", *COLUMNS], where=in_shard(shard))
        mine = rows["ordinal"].to_numpy() >> self.shard_bits == shard
        return by_ordinal(where(rows, pa.array(mine)))


def count_scores(scoring: Scoring, shard: int) -> ShardResult:
    """Return how many people of a shard have each score."""
    _, scores = scoring.people(shard)
    levels, counts = np.unique(scores, return_counts=True)
    return ShardResult(shard, [], {"levels": levels.tolist(), "counts": counts.tolist()})


def keep_top(scoring: Scoring, folder: str, level: int, at_level: dict[int, int], shard: int) -> ShardResult:
    """Write the shard's people above the level, and the first of those at it."""
    rows, scores = scoring.people(shard)
    ordinals = rows["ordinal"].to_numpy()
    chosen: BitMap = bitmap_of(
        np.concatenate((ordinals[scores > level], ordinals[scores == level][: at_level.get(shard, 0)]))
    )
    if not chosen:
        return ShardResult(shard, [], {"n": 0})
    chosen.run_optimize()
    table = pa.Table.from_pydict(
        {"shard": [shard], "cardinality": [len(chosen)], "bitmap": [chosen.serialize()]},
        schema=arrow.schema(dataset("user_lists")),
    )
    return ShardResult(
        shard,
        [
            scoring.lake.write_file(
                "user_lists", folder, table, f"shard-{shard:05d}.parquet", shards=(shard, shard)
            )
        ],
        {"n": len(chosen)},
    )


def named_columns(audience: AudienceQuery, seed: str) -> set[str]:
    """Return the user_features columns that a predicate and its saved audiences name."""
    columns: set[str] = set()
    stack = [audience.plan(seed)]
    while stack:
        for step in steps(stack.pop()):
            if isinstance(step.leaf, nodes.InAudience):
                stack.append(audience.plan(audience.audiences[step.leaf.name]))
            elif isinstance(term := getattr(step.leaf, "term", None), nodes.FieldTerm):
                columns.add(FIELDS[term.name].column)
    return columns


def sample(
    scoring: Scoring, audience: AudienceQuery, n_shards: int, random_seed: int
) -> tuple[pa.Table, pa.Table]:
    """Return (rows of the seed, rows of the rest) from enough shards in random order.

    Raises:
        InvalidInput: the seed has fewer than MIN_SEED people, or leaves hardly anyone.
    """
    rng = np.random.default_rng(random_seed)
    seeds, rest, n_seed = [], [], 0
    # A shard is no random sample: ordinals were given out by cluster, then in the order of joining.
    for shard in rng.permutation(n_shards).tolist():
        rows = scoring.rows(shard)
        is_seed = np.isin(
            rows["ordinal"].to_numpy(), np.fromiter(audience.members(scoring.seed, shard), np.int64)
        )
        seeds.append(rows.filter(pa.array(is_seed)))
        others = np.flatnonzero(~is_seed)
        rest.append(
            rows.take(
                pa.array(np.sort(rng.permutation(others)[: max(10_000, PER_SEED * int(is_seed.sum()))]))
            )
        )
        n_seed += int(is_seed.sum())
        if n_seed >= MAX_SEED:
            break
    seed, population = pa.concat_tables(seeds), pa.concat_tables(rest)
    if seed.num_rows < MIN_SEED or population.num_rows < MIN_SEED:
        raise InvalidInput(
            (
                f"the seed has {seed.num_rows:,} people and leaves {population.num_rows:,} to compare "
                f"them with: each needs at least {MIN_SEED}"
            ),
            fix="widen (or narrow) the seed",
        )
    return seed, population


def arg_parser_for_job() -> argparse.ArgumentParser:
    """Return this job's parser."""
    parser = arg_parser(__doc__)
    parser.add_argument("--name", required=True, help="name of the list to write")
    parser.add_argument("--seed", required=True, metavar="PREDICATE", help="the people to resemble")
    parser.add_argument("--size", required=True, type=int, help="number of people to choose")
    parser.add_argument("--random-seed", type=int, default=1, help="seed of the random sample and hold-out")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Train, score, choose and commit; print the read-out as one JSON line."""
    args = arg_parser_for_job().parse_args(argv)
    lake = open_lake(args.branch)
    snapshot = load_snapshot(lake, args.ds)
    audience = AudienceQuery(
        lake, args.ds, {name: document.predicate for name, document in snapshot.audiences.items()}
    )
    hidden = named_columns(audience, args.seed)
    features = input_of(lake, audience.index.commit, "user_features")
    common = (lake, features, args.ds, audience.index.commit.number, args.seed, audience.audiences)
    n_shards = audience.index.n_shards
    seed, population = sample(
        Scoring(*common, "", audience.index.shard_bits), audience, n_shards, args.random_seed
    )
    # Columns of the predicate would let the model repeat it, so they are left out of training.
    model, read_out = train(seed, population, left_out=hidden, random_seed=args.random_seed)
    progress(
        f"score_lookalikes: trained on {seed.num_rows:,} of the seed and {population.num_rows:,} "
        f"others, AUC {read_out.auc:.3f}"
    )
    scoring = Scoring(*common, model.to_text(), audience.index.shard_bits)
    with spark_session("score_lookalikes") as spark, lake.attempt("user_lists", list=args.name) as attempt:
        counted = run_shards(spark, range(n_shards), partial(count_scores, scoring))
        totals = np.zeros(LEVELS, np.int64)
        for result in counted:
            totals[result.stats["levels"]] += result.stats["counts"]
        if not 1 <= args.size <= totals.sum():
            raise InvalidInput(
                f"--size is between 1 and {int(totals.sum()):,}, the people outside the seed who "
                f"are not suppressed"
            )
        # Scores are counted by level, so the exact cut-off needs no sort over all people.
        level, n_at_level = cut_off(totals, args.size)
        at_level: dict[int, int] = {}
        for result in counted:  # shards are in ordinal order, so ties go to the lower ordinals
            here = dict(zip(result.stats["levels"], result.stats["counts"], strict=True)).get(level, 0)
            at_level[result.shard] = min(here, n_at_level)
            n_at_level -= at_level[result.shard]
        kept = run_shards(spark, range(n_shards), partial(keep_top, scoring, attempt.folder, level, at_level))
        for result in kept:
            for entry in result.files:
                attempt.add(entry)
        n_users = sum(result.stats["n"] for result in kept)
        facts = {
            "seed": args.seed,
            "left_out": sorted(hidden),
            "lowest_score": round(level / LEVELS, 5),
            **read_out.as_dict(),
        }
        commit = attempt.publish(
            inputs=[audience.index.commit, features],
            params={"seed": args.seed, "size": args.size, "random_seed": args.random_seed},
            meta={"n_users": n_users, "lookalike": facts},
        )
    sys.stdout.write(json.dumps({"list": args.name, "users": n_users, "commit": commit.ref, **facts}) + "\n")


if __name__ == "__main__":
    sys.exit(run_job(main, on_demand=True))
