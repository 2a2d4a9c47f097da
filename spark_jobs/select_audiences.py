"""Select the members of every saved audience, and of the global holdout.

Grain: audience x shard. Reads bitmap_index, catalog_snapshot, user_index; writes audience_members,
holdout_members. Evaluates all audiences of the night's catalog on each block's bitmaps; an audience inside
another is evaluated once. The commit's meta carries the sizes. The holdout's people are hashed here once a
night, so that counts need not.
Surprise: one predicate that cannot be answered (a deleted list, more days than the index has) stops the job
before anything is written, and the error names the audience.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from angelia.audience.bitmaps.build import BuiltPiece, Spread
from angelia.audience.bitmaps.index import Index
from angelia.audience.holdout import Holdout, block_holdout, user_index_of
from angelia.audience.members import block_members
from angelia.audience.query import AudienceQuery
from angelia.catalog.snapshot import load_snapshot
from angelia.errors import InvalidInput
from angelia.lake import Lake
from angelia.output import progress
from spark_jobs.running.session import arg_parser, open_judged, run_job
from spark_jobs.running.spread import spreading


def select_block(
    lake: Lake, folder: str, ds: str, number: int, predicates: Mapping[str, str], block: int
) -> BuiltPiece:
    """Write one block's members of every audience."""
    audience = AudienceQuery(lake, ds, predicates, commit=number)
    table = block_members(audience, block)
    shards = audience.index.shards_of(block)
    entry = lake.write_file(
        "audience_members",
        folder,
        table,
        f"block-{block:05d}.parquet",
        shards=(shards.start, shards.stop - 1),
    )
    sizes = dict.fromkeys(predicates, 0)
    for name, n in zip(table["audience"].to_pylist(), table["cardinality"].to_pylist(), strict=True):
        sizes[name] += n
    return BuiltPiece([entry], sizes)


def hold_out_block(lake: Lake, folder: str, ds: str, number: int, holdout: Holdout, block: int) -> BuiltPiece:
    """Write one block's people of the global holdout."""
    index = Index.open(lake, ds, number)
    users = user_index_of(index)
    assert users is not None, "asked for before the pieces were spread"
    table, shards = block_holdout(index, block, holdout, users), index.shards_of(block)
    name, edges = f"block-{block:05d}.parquet", (shards.start, shards.stop - 1)
    entry = lake.write_file("holdout_members", folder, table, name, shards=edges)
    return BuiltPiece([entry], {"held_out": sum(table["cardinality"].to_pylist())})


def hold_out(lake: Lake, ds: str, index: Index, holdout: Holdout, spread: Spread) -> int | None:
    """Write a night's global holdout; None if the index does not say whose its ordinals are."""
    users = user_index_of(index)
    if users is None:
        return None
    with lake.attempt("holdout_members", ds=ds) as attempt:
        work = partial(hold_out_block, lake, attempt.folder, ds, index.commit.number, holdout)
        results = spread(index.n_blocks, work)
        for result in results:
            for entry in result.files:
                attempt.add(entry)
        n = sum(result.stats["held_out"] for result in results)
        attempt.publish(inputs=[users], params={"ds": ds, **holdout.as_params()}, meta={"n_held_out": n})
    return n


def check_all(audience: AudienceQuery) -> None:
    """Plan every audience, so that an unanswerable one fails before any block is read.

    Raises:
        InvalidInput: naming the audience.
    """
    for name, text in audience.audiences.items():
        try:
            audience.plan(text)
        except InvalidInput as error:
            raise InvalidInput(f"audience {name}: {error.message}", fix=error.fix) from None


def arg_parser_for_job() -> argparse.ArgumentParser:
    """Return this job's parser."""
    return arg_parser(__doc__, after=("sources", "features"))


def main(argv: Sequence[str] | None = None) -> None:
    """Select the audiences of one night."""
    args = arg_parser_for_job().parse_args(argv)
    lake = open_judged(args)
    catalog = load_snapshot(lake, args.ds)
    predicates = {name: document.predicate for name, document in catalog.audiences.items()}
    audience = AudienceQuery(lake, args.ds, predicates)
    check_all(audience)
    snapshot = lake.require("catalog_snapshot", ds=args.ds)
    holdout = Holdout(catalog.policy.holdout.share_pct, catalog.policy.holdout.salt)
    with spreading("select_audiences") as spread, lake.attempt("audience_members", ds=args.ds) as attempt:
        work = partial(select_block, lake, attempt.folder, args.ds, audience.index.commit.number, predicates)
        results = spread(audience.index.n_blocks, work)
        for result in results:
            for entry in result.files:
                attempt.add(entry)
        sizes = {name: sum(result.stats[name] for result in results) for name in sorted(predicates)}
        attempt.publish(
            inputs=[audience.index.commit, snapshot], params={"ds": args.ds}, meta={"sizes": sizes}
        )
        held_out = hold_out(lake, args.ds, audience.index, holdout, spread)
    progress(
        "select_audiences: "
        + (", ".join(f"{name} {n:,}" for name, n in sizes.items()) or "the catalog has no audiences")
        + ("" if held_out is None else f"; held out {held_out:,}")
    )


if __name__ == "__main__":
    sys.exit(run_job(main))
