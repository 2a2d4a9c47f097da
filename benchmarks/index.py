"""Building the bitmap index: people a second, bytes a person, peak memory of the whole process tree; and two other ways to build the same sets.

Sources are synthetic and written through the lake (not timed): 26 stored fields of a person (15 whole numbers and 2 fractions among them), and
5 events a person over 28 days in 34 (type, item) pairs: 60 fields. Ours is the job itself, `python -m spark_jobs.build_bitmaps`, session and
commit included. The peers build the texts, flags, sets, whole numbers bit by bit, and presence a day and pair; they are spared fractions, daily
counts and NULLs: `spark_bitmap_construct_agg` is Spark's own bitmap aggregate on the product's session; `duckdb_list` is DuckDB's list() and
pyroaring, field by field.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from angelia.contracts import arrow, dataset
from angelia.errors import AngeliaError, InvalidInput
from angelia.lake import Commit, Lake
from angelia.output import progress

ROOT = Path(__file__).parent.parent
DS = "2026-11-14"
DAYS = 28
SHARD_BITS = 18
CHUNK = 1 << SHARD_BITS
TEXTS = {"gender": 3, "country": 40, "province": 300, "locale": 30, "timezone": 40, "device_vendor": 12}
LISTS = {"tags": 20, "channels": 5, "opted_out_topics": 6}
TOPS = {"age_years": 90, "membership_level": 6, "days_since_signup": 2000, "n_active_days_28d": 28}
PEERS = ("spark_bitmap_construct_agg", "duckdb_list")


def features(first: int, n: int, seed: int) -> pa.Table:
    """Return user_features rows of n people from ordinal `first` on; a tenth of every nullable value is NULL, places come in stretches."""
    rng = np.random.default_rng([seed, first])
    columns: dict[str, pa.Array] = {}
    for field in arrow.schema(dataset("user_features")):
        null = pa.array(rng.random(n) < 0.1) if field.nullable else None
        if field.name == "ordinal":
            values: pa.Array = pa.array(np.arange(first, first + n, dtype=np.uint32))
            null = None
        elif field.name == "user_id":
            values = pa.array([f"u{i}" for i in range(first, first + n)])
            null = None
        elif field.name in TEXTS:
            codes = rng.zipf(1.5, n) % TEXTS[field.name]
            if field.name in ("country", "province", "timezone"):
                codes = np.sort(codes)  # ordinals are given in this order
            names = pa.array([f"{field.name}_{i}" for i in range(TEXTS[field.name])])
            values = names.take(pa.array(codes))
        elif field.name in LISTS:
            sizes = rng.integers(0, 4, n)
            names = pa.array([f"{field.name}_{i}" for i in range(LISTS[field.name])])
            flat = names.take(pa.array(rng.integers(0, LISTS[field.name], sizes.sum())))
            values = pa.ListArray.from_arrays(pa.array(np.concatenate(([0], np.cumsum(sizes))).astype(np.int32)), flat)
            null = None
        elif pa.types.is_boolean(field.type):
            values = pa.array(rng.random(n) < 0.03)
        elif pa.types.is_floating(field.type):
            values = pa.array(np.round(rng.random(n) * (100 if field.name == "value_28d" else 1), 2))
        else:
            values = pa.array(np.minimum(rng.geometric(0.1, n), TOPS.get(field.name, 60)))
        if null is not None:
            values = pa.compute.if_else(null, pa.scalar(None, values.type), values)
        columns[field.name] = values
    return pa.table(columns)


def events(first: int, n: int, seed: int, day: int) -> pa.Table:
    """Return user_days rows of one day: five events a person over the window, in 34 pairs."""
    rng = np.random.default_rng([seed, first, day])
    size = round(n * 5 / DAYS)
    ordinals = np.sort(rng.integers(first, first + n, size)).astype(np.uint32)
    pair = rng.zipf(1.3, size) % 34
    items = pa.array([f"item_{i}" for i in range(34)])
    return pa.table(
        {
            "ordinal": ordinals,
            "event_type": pa.array(["view", "cart", "purchase", "open"]).take(pa.array(pair % 4)),
            "item": items.take(pa.array(pair)),
            "n_events": np.minimum(rng.geometric(0.7, size), 9).astype(np.int32),
            "value_sum": np.zeros(size),
            "hours": np.ones(size, np.int32),
        }
    )


def write_sources(lake: Lake, users: int, seed: int) -> Commit:
    """Write the index, features and days; return the features' commit."""
    spans = [(first, min(CHUNK, users - first)) for first in range(0, users, CHUNK)]
    ids = [pa.table({"user_id": [f"u{i}" for i in range(a, a + n)], "ordinal": pa.array(range(a, a + n), pa.uint32())}) for a, n in spans]
    index = lake.append_chain("user_index", ids, expected=None, shard_bits=SHARD_BITS)
    with lake.attempt("user_features", ds=DS) as attempt:
        for shard, (first, n) in enumerate(spans):
            attempt.write(features(first, n, seed), f"shard-{shard:05d}.parquet", shards=(shard, shard))
        commit = attempt.publish(inputs=[index])
    for day in range(DAYS):
        with lake.attempt("user_days", ds=(date.fromisoformat(DS) - timedelta(days=day)).isoformat()) as attempt:
            for shard, (first, n) in enumerate(spans):
                attempt.write(events(first, n, seed, day), f"shard-{shard:05d}.parquet", shards=(shard, shard))
            attempt.publish(inputs=[index])
    return commit


class PeakMemory(threading.Thread):
    """Samples the memory of a process and all below it, shared pages counted once (PSS), ten times a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak, self.over = pid, 0, threading.Event()

    def run(self) -> None:
        """Sample until told to stop."""
        while not self.over.wait(0.1):
            self.peak = max(self.peak, sum(_pss_kib(pid) for pid in _tree(self.pid)))


def _tree(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(path.name))
    found, stack = [], [root]
    while stack:
        found.append(stack.pop())
        stack += children.get(found[-1], [])
    return found


def _pss_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def run(command: Sequence[str], folder: Path) -> tuple[float, float, str]:
    """Run a command on the benchmark's lake and return (seconds, peak GiB, what it printed)."""
    settings = {"ANGELIA_HOME": str(folder), "ANGELIA_SHARD_BITS": str(SHARD_BITS), "ANGELIA_HISTORY_DAYS": str(DAYS)}
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    memory = PeakMemory(process.pid)
    memory.start()
    out, err = process.communicate()
    seconds = time.perf_counter() - began
    memory.over.set()
    memory.join()
    if process.returncode:
        raise AngeliaError(f"{' '.join(command[1:4])} failed: {err.strip().splitlines()[-1] if err.strip() else process.returncode}")
    return seconds, memory.peak / 2**20, out


def main(argv: Sequence[str]) -> dict[str, Any]:
    """Write the sources, build in turn with each, and clean up."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks index", description=__doc__, allow_abbrev=False)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--peers", default=",".join(PEERS), help="comma-separated, or empty for none")
    parser.add_argument("--folder", type=Path, default=None, help="where to put some 500 bytes a person; default: the system's temporary folder")
    args = parser.parse_args(argv)
    wanted = [name for name in args.peers.split(",") if name]
    if not 1 <= args.users <= 1 << 32 or args.runs < 1 or set(wanted) - set(PEERS):
        raise InvalidInput(f"--users is between 1 and 2^32, --runs at least 1, --peers some of {', '.join(PEERS)}")
    folder = Path(tempfile.mkdtemp(prefix="angelia-index-", dir=args.folder))
    found: dict[str, list[dict[str, float]]] = {}
    try:
        lake = Lake.open(str(folder / "lake"))
        write_sources(lake, args.users, args.seed)
        progress(f"index: sources of {args.users:,} users written")
        for _ in range(args.runs):
            seconds, peak, _ = run([sys.executable, "-m", "spark_jobs.build_bitmaps", "--ds", DS], folder)
            size = sum(entry.bytes for entry in lake.require("bitmap_index", ds=DS).files)
            found.setdefault("ours", []).append(_facts(args.users, seconds, peak, size))
            progress(f"index: ours {seconds:.1f} s")
            for name in wanted:
                seconds, peak, out = run([sys.executable, "-m", "benchmarks._index_peers", name, str(folder)], folder)
                found.setdefault(name, []).append(_facts(args.users, seconds, peak, json.loads(out.splitlines()[-1])["bytes"]))
                progress(f"index: {name} {seconds:.1f} s")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    medians = {name: {metric: sorted(one[metric] for one in runs)[len(runs) // 2] for metric in runs[0]} for name, runs in found.items()}
    return {"params": {"users": args.users, "seed": args.seed}, "ours": medians.pop("ours"), "peers": medians, "runs": args.runs}


def _facts(users: int, seconds: float, peak: float, size: int) -> dict[str, float]:
    return {
        "users_per_s": round(users / seconds),
        "bytes_per_user": round(size / users, 1),
        "peak_rss_gib": round(peak, 2),
        "seconds": round(seconds, 1),
    }
