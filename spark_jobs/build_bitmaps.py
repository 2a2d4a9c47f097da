"""Build the bitmap index. Grain: field x value (or bit slice) x block of shards.

Reads user_features, user_days, user_pushes; writes bitmap_index, bitmap_days. Covers ANGELIA_HISTORY_DAYS
days up to ds; only days that are new, or whose rows have changed, are read and built. Every event type gets
daily sets; so do a day's commonest (type, item) pairs, the others stand in lists. NaN feature values are
taken as NULL and counted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from angelia.audience.bitmaps.build import build_index
from angelia.config import load_settings
from angelia.output import progress
from spark_jobs.running.session import arg_parser, open_judged, run_job
from spark_jobs.running.spread import spreading


def arg_parser_for_job() -> argparse.ArgumentParser:
    """Return this job's parser."""
    return arg_parser(__doc__, after=("sources", "features"))


def main(argv: Sequence[str] | None = None) -> None:
    """Build the index of one day."""
    args = arg_parser_for_job().parse_args(argv)
    with spreading("build_bitmaps") as spread:
        commit, made = build_index(
            open_judged(args), args.ds, history_days=load_settings().history_days, spread=spread
        )
    progress(
        f"build_bitmaps: {commit.rows:,} bitmaps of {commit.meta['n_users']:,} users, "
        f"{sum(entry.bytes for entry in commit.files):,} bytes; "
        f"days made: {(', '.join(made) if len(made) < 5 else len(made)) or 'none'}"
    )


if __name__ == "__main__":
    sys.exit(run_job(main))
