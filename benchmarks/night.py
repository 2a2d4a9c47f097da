"""A whole night of a simulated population: seconds a step, peak memory, bytes a user.

World, catalog and bootstrap come first and are reported separately. The night consists of the commands that
`nightly_personalization` runs, in its order, each in a process of its own, as Airflow starts them; Airflow's
own seconds (about three a task) are not included. No other program does a night's whole work, so there is no
peer; compare a step's cost per user between sizes. With `--lake s3://bucket/prefix` every step runs on the
local disk and then in the bucket, from the same world and model, and the local disk is the peer.

Example: `python -m benchmarks night --users 5000 --days 28`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from angelia.commands.loop import environment
from angelia.errors import AngeliaError, InvalidInput
from angelia.lake import Lake
from angelia.lake.opening import open_store
from angelia.output import progress
from angelia.users.index import require_index
from benchmarks.harness.result import Result
from benchmarks.harness.watch import Watch
from spark_jobs import LONG_JVM

ROOT = Path(__file__).parent.parent
MANY = 2_000_000  # people from which on JVMs are set up as operators are told to
DS = "2026-11-14"
NIGHT = (
    ("check_sources", ("angelia", "quality", "check", "--gate", "sources")),
    ("snapshot_catalog", ("angelia", "catalog", "snapshot")),
    ("index_users", ()),
    ("aggregate_days", ()),
    ("build_features", ()),
    ("build_send_times", ()),
    ("check_features", ("angelia", "quality", "check", "--gate", "features")),
    ("build_bitmaps", ()),
    ("select_audiences", ()),
    ("score_materials", ()),
    ("plan_dispatch", ()),
    ("check_plan", ("angelia", "quality", "check", "--gate", "plan")),
    ("plan_guard", ("angelia", "plan", "guard")),
    ("emit_manifests", ()),
)
WRITTEN = (
    *(
        "user_index",
        "user_days",
        "user_pushes",
        "user_features",
        "send_times",
        "bitmap_index",
        "audience_members",
    ),
    *("material_scores", "decisions", "dispatch_manifest"),
)


def run(words: Sequence[str], env: dict[str, str], log: Path) -> tuple[float, float, float]:
    """Run one command; return seconds, processor seconds and peak memory in GiB of its tree.

    Raises:
        AngeliaError: it failed.
    """
    began = time.perf_counter()
    with log.open("a") as file:
        process = subprocess.Popen(
            words, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd=ROOT
        )
        watch = Watch(process.pid)
        watch.start()
        code = process.wait()
    watch.over.set()
    watch.join()
    if code:
        raise AngeliaError(
            f"{' '.join(words[1:])} ended with exit code {code}",
            fix=f"see {log.name} in the home (keep it with --home)",
        )
    return time.perf_counter() - began, watch.cpu_s, watch.peak_kib / 2**20


def words_of(step: str, command: Sequence[str]) -> list[str]:
    """Return the command of a step of the night."""
    if command:
        return [sys.executable, "-m", "angelia.cli", *command[1:], "--ds", DS]
    return [sys.executable, "-m", f"spark_jobs.{step}", "--ds", DS]


def main(argv: Sequence[str]) -> Result:
    """Run the benchmark; return its result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks night", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--users", type=int, default=1_000_000, help="number of people")
    parser.add_argument("--days", type=int, default=28, help="days of history")
    parser.add_argument("--seed", type=int, default=7, help="seed of everything that is drawn")
    parser.add_argument("--shard-bits", type=int, default=17, help="log2 of users a shard")
    parser.add_argument(
        "--home",
        type=Path,
        help=(
            "folder to work in, which is kept: empty, or with a world from which to continue; default: a "
            "temporary one"
        ),
    )
    parser.add_argument(
        "--lake",
        help="an empty s3://bucket/prefix to run every step in, too (with ANGELIA_S3_ENDPOINT and AWS_*)",
    )
    args = parser.parse_args(argv)
    if args.users < 1000:
        raise InvalidInput("--users must be at least 1000")
    if args.lake is not None and not args.lake.startswith("s3://"):
        raise InvalidInput(f"--lake {args.lake!r} is no bucket", fix="write it as s3://bucket/prefix")
    home = (args.home or Path(tempfile.mkdtemp(prefix="angelia-night-"))).absolute()
    try:
        sides = night(home, args.users, args.days, args.seed, args.shard_bits, args.lake)
    finally:
        if args.home is None:
            shutil.rmtree(home, ignore_errors=True)
    params = {"users": args.users, "days": args.days, "seed": args.seed, "shard_bits": args.shard_bits}
    # A bucket has the disk of the same run to be compared with; the disk has nobody.
    if args.lake is None:
        return {"params": params, "ours": sides["local"], "peers": {}, "runs": 1}
    bucket, local = sides["bucket"], sides["local"]
    bucket["of_local"] = round(bucket["total_s"] / local["total_s"], 2)
    bucket["cpu_of_local"] = round(bucket["total_cpu_s"] / local["total_cpu_s"], 2)
    return {"params": params, "ours": bucket, "peers": {"local": local}, "runs": 1}


def night(
    home: Path, users: int, days: int, seed: int, shard_bits: int, bucket: str | None = None
) -> dict[str, dict[str, float]]:
    """Make world and first model unless they stand, run the night; return each lake's figures."""
    env = {**os.environ, **environment(home), "ANGELIA_SHARD_BITS": str(shard_bits)}
    # What the shell names is the other side's.
    env = {name: value for name, value in env.items() if name not in ("ANGELIA_LAKE", "ANGELIA_MODELS")}
    if users >= MANY:
        env["SPARK_SUBMIT_OPTS"] = os.environ.get("SPARK_SUBMIT_OPTS", LONG_JVM)
    home.mkdir(parents=True, exist_ok=True)
    log, lake = home / "night.log", Lake.open(str(home / "lake"))
    figures: dict[str, dict[str, float]] = {"local": prepare(home, env, log, users, days, seed)}
    envs = {"local": env}
    if bucket is not None:
        copied(home, bucket, os.environ.get("ANGELIA_S3_ENDPOINT"))
        envs["bucket"] = {**env, "ANGELIA_LAKE": f"{bucket}/lake", "ANGELIA_MODELS": f"{bucket}/models"}
        figures["bucket"] = {}
    totals = {side: [0.0, 0.0, 0.0] for side in envs}
    for step, command in NIGHT:
        # One side after the other, step by step: what else the machine does meets both.
        for side, its_env in envs.items():
            seconds, cpu, peak = run(words_of(step, command), its_env, log)
            figures[side] |= {
                f"{step}_s": round(seconds, 1),
                f"{step}_cpu_s": round(cpu, 1),
                f"{step}_peak_rss_gib": round(peak, 2),
            }
            total, total_cpu, most = totals[side]
            totals[side] = [total + seconds, total_cpu + cpu, max(most, peak)]
            where = "" if bucket is None else f" ({side})"
            progress(f"{step}{where}: {seconds:.1f} s, {cpu:.1f} CPU s, {peak:.2f} GiB")
    for side, (total, total_cpu, most) in totals.items():
        figures[side] |= {
            "total_s": round(total, 1),
            "total_cpu_s": round(total_cpu, 1),
            "peak_rss_gib": round(most, 2),
        }
    figures["local"] |= sizes(lake)
    return figures


def prepare(home: Path, env: dict[str, str], log: Path, users: int, days: int, seed: int) -> dict[str, float]:
    """Make what the home lacks of world, catalog and first model; return the seconds of each."""
    before: list[tuple[str, list[str]]] = []
    # A kept home goes on from where it stands, so a second run measures the night alone.
    if Lake.open(str(home / "lake")).head("user_profiles", ds=DS) is None:
        size = ["--users", str(users), "--days", str(days), "--seed", str(seed), "--ds", DS]
        before = [
            ("world", ["world", "create", *size]),
            ("catalog", ["catalog", "apply", str(ROOT / "campaigns"), "--actor", "benchmark"]),
        ]
    if not (home / "models").is_dir():
        before.append(("bootstrap", ["bootstrap", "--ds", DS]))
    took: dict[str, float] = {}
    for name, words in before:
        seconds, cpu, peak = run([sys.executable, "-m", "angelia.cli", *words], env, log)
        took[f"before_{name}_s"], took[f"before_{name}_cpu_s"] = round(seconds, 1), round(cpu, 1)
        progress(f"{name}: {seconds:.1f} s, {cpu:.1f} CPU s, {peak:.2f} GiB")
    return took


def copied(home: Path, bucket: str, endpoint: str | None) -> None:
    """Put what the bucket lacks of the home's lake and models into it."""
    for name in ("models", "lake"):
        store, root = open_store(f"{bucket}/{name}", endpoint), home / name
        files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
        # Nothing reads meanwhile, so the order of files and commits is free.
        for key in sorted(files - set(store.list(""))):
            store.put(key, (root / key).read_bytes())


def sizes(lake: Lake) -> dict[str, float]:
    """Return people, and bytes a person, that were written and that were read first."""
    n_users = int(require_index(lake).meta["n_users"])
    heads = [lake.head(name, **leaf) for name in WRITTEN for leaf in lake.partitions(name)]
    size = sum(entry.bytes for head in heads if head is not None for entry in head.files)
    sources = sum(
        entry.bytes
        for name in ("user_profiles", "user_endpoints", "user_preferences", "user_events", "push_history")
        for leaf in lake.partitions(name)
        for entry in lake.require(name, **leaf).files
    )
    return {
        "users": n_users,
        "bytes_per_user": round(size / n_users, 1),
        "source_bytes_per_user": round(sources / n_users, 1),
    }
