"""Byte identity: the same plan for every width of shards and type of processor.

A drawn night (`_plan_night`) is solved in shards of 2^12 and of 2^14 people; scores, and worth with the price
of fatigue, are computed for drawn people. All of it runs once in a process that uses everything this
processor offers, and once in a process whose NumPy and OpenBLAS take it for an old one (x86-64-v2, Nehalem).
A figure is 1 where the sha256 is the same, else 0. The notes hold the sums, and those before rounding, which
do differ.

Example: `python -m benchmarks identity --users 20000`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence

from angelia.errors import InvalidInput
from angelia.output import progress
from benchmarks.harness.result import Result

OLD = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Nehalem",
}
SHARD_BITS = (12, 14)
SMALL = 20_000  # people whose plan the old processor solves, too: it is slow


def sums(users: int, *, is_old: bool) -> dict[str, str]:
    """Return the sums of a process of its own."""
    env = {**os.environ, **(OLD if is_old else {})}
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.measured.identity", str(users)]
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    return {str(name): str(value) for name, value in json.loads(done.stdout).items()}


def main(argv: Sequence[str]) -> Result:
    """Run the benchmark; return its result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks identity", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--users", type=int, default=200_000, help="number of people")
    args = parser.parse_args(argv)
    if args.users < SMALL:
        raise InvalidInput(f"--users must be at least {SMALL}")
    large = sums(args.users, is_old=False)
    progress("identity: this processor, all people: done")
    here, old = sums(SMALL, is_old=False), sums(SMALL, is_old=True)
    narrow, wide = (f"plan_{bits}" for bits in SHARD_BITS)
    plain = [name for name in here if name.startswith("plain_")]
    ours = {
        "shards_same": int(large[narrow] == large[wide]),
        **{f"{name}_same": int(here[name] == old[name]) for name in here if name not in plain},
    }
    notes = {"all_people": large, "this_processor": here, "old_processor": old}
    return {"params": vars(args), "ours": ours, "peers": {}, "runs": 1, "notes": notes}
