"""Building the bitmap index: people a second, bytes a person, peak memory; and two peers.

Memory is that of the whole process tree. Sources are synthetic and written through the lake (not timed). A
person has 26 stored fields (14 of them whole numbers, 2 fractions) and 5 events over 28 days in 34 (type,
item) pairs, which makes 60 fields. Ours is the job itself, `python -m spark_jobs.build_bitmaps`, commits
included: as it runs by itself (`ours`), and in a Spark session of its own (`ours_on_spark`, listed among the
peers for comparison). The peers make the same sets from the same files and write them to disk:
`spark_bitmap_construct_agg` with Spark's own bitmap aggregate on the product's session, `duckdb_list` with
DuckDB's list() and pyroaring, field by field. Afterwards the cardinality of every set of people, and the sum
of every number and count by its slices, must agree between all of them.

Example: `python -m benchmarks index --users 200000 --runs 1`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from angelia.errors import AngeliaError, InvalidInput
from angelia.lake import Lake
from angelia.output import progress
from benchmarks.harness.result import Result
from benchmarks.harness.watch import Watch
from benchmarks.measured import index_content
from benchmarks.measured.index_sources import DAYS, DS, SHARD_BITS, write_sources

ROOT = Path(__file__).parent.parent
PEERS = ("spark_bitmap_construct_agg", "duckdb_list", "ours_on_spark")


def run(
    command: Sequence[str], folder: Path, extra: Mapping[str, str] | None = None
) -> tuple[float, float, float]:
    """Run a command on the benchmark's lake.

    Returns seconds, seconds of processor time, and peak memory in GiB.
    """
    settings = {
        "ANGELIA_HOME": str(folder),
        "ANGELIA_SHARD_BITS": str(SHARD_BITS),
        "ANGELIA_HISTORY_DAYS": str(DAYS),
    }
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | settings | dict(extra or {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    watch = Watch(process.pid)
    watch.start()
    _, err = process.communicate()
    seconds = time.perf_counter() - began
    watch.over.set()
    watch.join()
    if process.returncode:
        raise AngeliaError(
            f"{' '.join(command[1:4])} failed: "
            f"{err.strip().splitlines()[-1] if err.strip() else process.returncode}"
        )
    return seconds, watch.cpu_s, watch.peak_kib / 2**20


def main(argv: Sequence[str]) -> Result:
    """Write the sources, build in turn with each, and clean up."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks index", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--users", type=int, default=1_000_000, help="number of people")
    parser.add_argument("--runs", type=int, default=1, help="how often each is measured")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything that is drawn")
    parser.add_argument("--peers", default=",".join(PEERS), help="comma-separated, or empty for none")
    parser.add_argument(
        "--folder",
        type=Path,
        default=None,
        help="where to put some 500 bytes a person; default: the system's temporary folder",
    )
    args = parser.parse_args(argv)
    wanted = [name for name in args.peers.split(",") if name]
    if not 1 <= args.users <= 1 << 32 or args.runs < 1 or set(wanted) - set(PEERS):
        raise InvalidInput(
            f"--users is between 1 and 2^32, --runs at least 1, --peers some of {', '.join(PEERS)}"
        )
    folder = Path(tempfile.mkdtemp(prefix="angelia-index-", dir=args.folder))
    results: dict[str, list[dict[str, float]]] = {}
    contents: dict[str, index_content.Content] = {}
    try:
        lake = Lake.open(str(folder / "lake"))
        write_sources(lake, args.users, args.seed)
        progress(f"index: sources of {args.users:,} users written")
        for _ in range(args.runs):
            for name in ("ours", *wanted):
                if name.startswith("ours"):
                    # Otherwise days would be taken from the run before.
                    for dataset_name in ("bitmap_index", "bitmap_days"):
                        shutil.rmtree(folder / "lake" / "main" / dataset_name, ignore_errors=True)
                    master = {"ANGELIA_SPARK_MASTER": "local[2]"} if name == "ours_on_spark" else {}
                    spent = run(
                        [sys.executable, "-m", "spark_jobs.build_bitmaps", "--ds", DS], folder, master
                    )
                    size = sum(
                        path.stat().st_size
                        for part in ("bitmap_index", "bitmap_days")
                        for path in (folder / "lake" / "main" / part).rglob("*.parquet")
                    )
                    content = index_content.ours(lake)
                else:
                    out = folder / name
                    shutil.rmtree(out, ignore_errors=True)
                    spent = run(
                        [sys.executable, "-m", "benchmarks.peers.index_peers", name, str(folder), str(out)],
                        folder,
                    )
                    size = sum(path.stat().st_size for path in out.glob("*.parquet"))
                    content = index_content.peer(out)
                results.setdefault(name, []).append(_facts(args.users, *spent, size))
                progress(f"index: {name} {spent[0]:.1f} s, {spent[1]:.1f} s of processor time")
                # Times of engines that made different sets must not be compared.
                if content != contents.setdefault("ours", content):
                    raise InvalidInput(
                        f"{name} made other sets than ours: {_difference(contents['ours'], content)}"
                    )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    medians = {
        name: {
            metric: sorted(run_figures[metric] for run_figures in runs)[len(runs) // 2] for metric in runs[0]
        }
        for name, runs in results.items()
    }
    n_sets = sum(map(len, contents["ours"]))
    return {
        "params": {"users": args.users, "seed": args.seed},
        "ours": medians.pop("ours"),
        "peers": medians,
        "runs": args.runs,
        "notes": {"sets_compared": n_sets},
    }


def _difference(ours: index_content.Content, theirs: index_content.Content) -> str:
    """Return the first few keys that differ, with both values."""
    pairs = [
        (key, a.get(key), b.get(key))
        for a, b in zip(ours, theirs, strict=True)
        for key in sorted({*a, *b})
        if a.get(key) != b.get(key)
    ]
    return f"{len(pairs)} differ, such as {pairs[:3]}"


def _facts(users: int, seconds: float, cpu_s: float, peak: float, size: int) -> dict[str, float]:
    return {
        "users_per_s": round(users / seconds),
        "bytes_per_user": round(size / users, 1),
        "peak_rss_gib": round(peak, 2),
        "seconds": round(seconds, 1),
        "cpu_s": round(cpu_s, 1),
    }
