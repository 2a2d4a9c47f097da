"""Why a person got a message: milliseconds an answer, by the number of people.

A night of few people (`--from`, or one made here) is repeated until there are `--users`, in shards of the
default width, with bitmaps and the audiences selected from it. Then randomly drawn people are asked about,
one after the other in one process. `warm` is the median answer, `cold` the first of a process, `lookup` the
part that finds an id among all, and `kept` an answer, with its look-up, while the night stays open as in the
console. The peer `scan` answers the same question by scanning every shard's decisions for the id, as the
command did before. Processor seconds are reported, too, because a busy machine stretches all other times.

Example: `python -m benchmarks why --users 100000 --people 10`.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow.compute as pc

from angelia.asking.fate import Openings
from angelia.asking.night import ResidentNight, open_night
from angelia.asking.why import why
from angelia.contracts.core import CHAIN
from angelia.errors import InvalidInput
from angelia.lake import Commit, Lake
from angelia.output import progress
from angelia.users.one_person import Footers, PersonLake, find_ordinal
from benchmarks.harness.result import Result
from benchmarks.night import DS, night
from benchmarks.nights.tiled_night import Tiled
from models.registry import Registry

BASE_USERS = 4_000


def main(argv: Sequence[str]) -> Result:
    """Run the benchmark; return its result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks why", description=__doc__, allow_abbrev=False)
    parser.add_argument("--users", type=int, default=1_000_000, help="number of people")
    parser.add_argument("--people", type=int, default=20, help="how many people are asked about")
    parser.add_argument("--shard-bits", type=int, default=18, help="log2 of users a shard")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything that is drawn")
    parser.add_argument(
        "--from", dest="base", type=Path, help="a home with a planned night; default: make one"
    )
    args = parser.parse_args(argv)
    if args.users < 1 or args.people < 1:
        raise InvalidInput("--users and --people are at least 1")
    folder = Path(tempfile.mkdtemp(prefix="angelia-why-"))
    try:
        base = args.base
        if base is None:
            base = folder / "base"
            night(base, BASE_USERS, 28, args.seed, 14)
        lake = Lake.open(str(folder / "tiled" / "lake"))
        Tiled(Lake.open(str(base / "lake")), lake, DS, args.users, args.shard_bits).write()
        progress(f"why: a night of {args.users:,} people written")
        ours, peer = measure(lake, Registry.open(base / "models"), args.people, args.seed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    params = {"users": args.users, "people": args.people, "shard_bits": args.shard_bits, "seed": args.seed}
    return {"params": params, "ours": ours, "peers": {"scan": peer}, "runs": 1}


def measure(
    lake: Lake, registry: Registry, people: int, seed: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the figures of answers about people drawn from all, and of scanning for them."""
    index = lake.require("user_index", chain=CHAIN)
    ids = lake.read(index, ["user_id"])["user_id"]
    drawn = np.random.default_rng(seed).choice(len(ids), people, replace=False)
    users = [str(ids[int(number)]) for number in drawn]
    answers = [_timed(lambda user=user: why(lake, user, DS, registry=registry)) for user in users]  # type: ignore[misc]
    lookups = [_timed(lambda user=user: find_ordinal(lake, index, user)) for user in users]  # type: ignore[misc]
    kept = _kept(lake, index, registry)
    for user in users:  # the first answers of a night that is kept open open it
        kept(user)
    open_nights = [_timed(lambda user=user: kept(user)) for user in users]  # type: ignore[misc]
    scans = [_timed(lambda user=user: _scan(lake, user)) for user in users[: max(1, people // 5)]]  # type: ignore[misc]
    warm = answers[1:] or answers
    ours = {
        "warm_ms": _ms(median(wall for wall, _ in warm)),
        "warm_cpu_ms": _ms(median(cpu for _, cpu in warm)),
        "worst_ms": _ms(max(wall for wall, _ in warm)),
        "cold_ms": _ms(answers[0][0]),
        "kept_ms": _ms(median(wall for wall, _ in open_nights)),
        "kept_cpu_ms": _ms(median(cpu for _, cpu in open_nights)),
        "lookup_ms": _ms(median(wall for wall, _ in lookups)),
    }
    peer = {"ms": _ms(median(wall for wall, _ in scans)), "cpu_ms": _ms(median(cpu for _, cpu in scans))}
    return ours, peer


def _kept(lake: Lake, index: Commit, registry: Registry) -> Callable[[str], object]:
    """Return what answers about a person with the night and the files' footers kept open."""
    night, footers = ResidentNight(open_night(lake, DS), Openings()), Footers()
    bits = int(index.meta["shard_bits"])

    def answer(user: str) -> object:
        person = PersonLake(lake, find_ordinal(lake, index, user), bits, footers)
        return why(lake, user, registry=registry, person=person, resident=night)

    return answer


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 1)


def _scan(lake: Lake, user: str) -> object:
    """Return a person's decisions, by reading one shard after the other."""
    for entry in lake.require("decisions", ds=DS).files:
        table = lake.read_file(entry, ["user_id", "choices"])
        mine = table.filter(pc.equal(table["user_id"], user))
        if mine.num_rows:
            return mine["choices"][0].as_py()
    return None
