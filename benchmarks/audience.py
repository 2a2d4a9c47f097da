"""How long a count over a billion people takes: our engine, and peers on the same sets.

Peers are ClickHouse, DuckDB and NumPy. The sets are synthetic (random bits, which are the hardest case
because they have no runs) and written through the lake as `build_bitmaps` writes them;
`angelia.audience.Audience.measure` is timed, planning included. *Hot*: one resident audience that has
answered before. *Warm*: files in the page cache; the call opens lake, commit, files and sets. Every engine is
a process of its own; the engines answer in turn, round after round, and must give the same count. Peers
answer `A AND B AND NOT C` only. Building is timed separately (`build_s`). ClickHouse (chdb) lives in
`.venv-peers` (`make bench-peers`); a missing peer is skipped and reported.

Example: `python -m benchmarks audience --users 10000000 --peers duckdb`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from angelia.audience.bitmaps.bitmaps import EVERYONE, block_bits_for, blocks_a_file
from angelia.audience.bitmaps.blobs import BitmapRow, write_rows
from angelia.audience.bitmaps.sets import Dense, Set, of_flags
from angelia.errors import InvalidInput
from angelia.lake import Lake
from angelia.output import progress
from benchmarks.harness.result import Result

ROOT = Path(__file__).parent.parent
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
DS = "2026-11-14"
N_TAGS = 30
PEER_TAGS = ("t00", "t01", "t02")
RANGE_BITS = 7
SHARD_BITS = 18
PRECISION_BITS = 10
U64 = npt.NDArray[np.uint64]
THREE = "tag = 't00' AND tag = 't01' AND NOT tag = 't02'"
QUERIES = {
    "count_3_leaves": THREE,
    "count_range": "tag = 't00' AND NOT tag = 't02' AND age_years >= 37",
    "count_10_leaves": "(tag = 't00' OR tag = 't01' OR tag = 't02' OR tag = 't03') AND (tag = 't04' OR "
    "tag = 't05' "
    "OR tag = 't06')"
    " AND NOT (tag = 't07' OR tag = 't08' OR tag = 't09')",
    "count_30_leaves": " AND ".join(
        ["(" + " OR ".join(f"tag = 't{i:02d}'" for i in range(first, first + 12)) + ")" for first in (0, 12)]
        + [f"NOT tag = 't{i:02d}'" for i in range(24, 30)]
    ),
}


def random_words(rng: np.random.Generator, n_words: int, density: float) -> U64:
    """Return words whose bits are 1 with probability `density`, to 1/1024.

    The binary fraction is read from its lowest digit: AND for a 0, OR for a 1.
    """
    digits = round(density * (1 << PRECISION_BITS))
    mixed = np.zeros(n_words, np.uint64)
    started = False
    for bit in range(PRECISION_BITS):
        digit = digits >> bit & 1
        if not (digit or started):
            continue
        started = True
        more = rng.integers(0, 1 << 64, n_words, dtype=np.uint64)
        mixed = mixed | more if digit else mixed & more
    return mixed


def block_set(words: U64, n: int) -> Set:
    """Return the first n bits of packed words as a set, in the form that the index stores."""
    bits = words.view(np.uint8)
    if n < len(bits) * 8:
        bits = bits.copy()
        bits[(n + 7) >> 3 :] = 0
        if n & 7:
            bits[n >> 3] &= (1 << (n & 7)) - 1
    return (
        of_flags(np.unpackbits(bits, bitorder="little").view(bool))
        if np.bitwise_count(words[:1024]).sum() < 1024 * 2
        else Dense(bits)
    )


def build(lake: Lake, raw: Path, users: int, density: float, seed: int) -> dict[str, Any]:
    """Write the index of `users` people, and the peers' three sets as plain words.

    The index has tags of the given density and a 7-bit number.
    """
    block_bits = block_bits_for(users, SHARD_BITS)
    width = 1 << block_bits
    raw.mkdir()
    files = {tag: (raw / f"{tag}.bits").open("wb") for tag in PEER_TAGS}
    n_blocks = -(-users // width)
    together, rows = blocks_a_file(n_blocks), list[BitmapRow]()
    with lake.attempt("bitmap_index", ds=DS) as attempt:
        for block in range(n_blocks):
            n = min(width, users - block * width)
            everyone = np.zeros(max(64, width), bool)
            everyone[:n] = True
            rows.append(BitmapRow(block, EVERYONE, "known", of_flags(everyone)))
            for i in range(N_TAGS):
                words = random_words(
                    np.random.Generator(np.random.SFC64([seed, block, i])), max(1, width >> 6), density
                )
                members = block_set(words, n)
                rows.append(BitmapRow(block, "tag", "value", members, f"t{i:02d}"))
                # Peers read the same bits, always as plain words.
                if (tag := f"t{i:02d}") in files:
                    plain = block_set(words, n) if isinstance(members, Dense) else None
                    (plain.bits if plain is not None else _packed(members, width)).tofile(files[tag])
            for bit in range(RANGE_BITS):
                words = random_words(
                    np.random.Generator(np.random.SFC64([seed, block, N_TAGS + bit])), max(1, width >> 6), 0.5
                )
                rows.append(BitmapRow(block, "age_years", "slice", block_set(words, n), bit=bit, offset=0))
            # A file holds several blocks, as in the job.
            if (block + 1) % together == 0 or block == n_blocks - 1:
                blocks = range(block // together * together, block + 1)
                shards = (
                    blocks.start << (block_bits - SHARD_BITS),
                    (blocks.stop << (block_bits - SHARD_BITS)) - 1,
                )
                attempt.add(
                    write_rows(lake, "bitmap_index", attempt.folder, rows, blocks=blocks, shards=shards)
                )
                rows = []
            if block % 16 == 0:
                progress(f"audience: built {min(users, (block + 1) * width):,} of {users:,} users")
        meta = {
            "shard_bits": SHARD_BITS,
            "block_bits": block_bits,
            "n_ordinals": users,
            "n_users": users,
            "history_days": 28,
        }
        commit = attempt.publish(meta=meta)
    for file in files.values():
        file.close()
    (raw / "facts.json").write_text(json.dumps({"users": users, "width": width}))
    return {"index_bytes": sum(entry.bytes for entry in commit.files), "files": len(commit.files)}


def _packed(members: Set, width: int) -> npt.NDArray[np.uint8]:
    from angelia.audience.bitmaps.sets import to_dense

    return to_dense(members, width).bits


class EngineProcess:
    """One engine in a process of its own, asked by lines of JSON."""

    def __init__(self, name: str, command: Sequence[str], folder: Path) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [*command, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        self.ready = self._answer()

    def ask(self, **question: Any) -> dict[str, Any]:
        """Return the answer to a question."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def stop(self) -> dict[str, Any]:
        """End the process and return its last words (memory)."""
        try:
            return self.ask(stop=True)
        finally:
            self.process.kill()
            self.process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} died")
        answer: dict[str, Any] = json.loads(line)
        return answer


def peers_there(wanted: Sequence[str]) -> dict[str, list[str]]:
    """Return the command of each peer that can run here; say which cannot."""
    commands = {
        name: [sys.executable, "-m", "benchmarks.peers.audience_engines", name]
        for name in ("numpy_bits", "duckdb")
    }
    runnable = {name: commands[name] for name in wanted if name in commands}
    if "clickhouse" in wanted:
        has_it = (
            PEERS_PYTHON.exists()
            and subprocess.run(
                [PEERS_PYTHON, "-c", "import chdb"], capture_output=True, check=False
            ).returncode
            == 0
        )
        if has_it:
            runnable["clickhouse"] = [
                str(PEERS_PYTHON),
                str(ROOT / "benchmarks" / "peers" / "audience_clickhouse.py"),
            ]
        else:
            progress("audience: clickhouse skipped: chdb is not installed; `make bench-peers` installs it")
    return runnable


def measure(folder: Path, repeats: int, wanted: Sequence[str]) -> dict[str, Any]:
    """Ask every engine in turn and return medians."""
    engines = {
        "ours": EngineProcess(
            "ours", [sys.executable, "-m", "benchmarks.peers.audience_engines", "ours"], folder
        )
    }
    skipped = []
    for name, command in peers_there(wanted).items():
        progress(f"audience: {name} loads its sets")
        engines[name] = EngineProcess(name, command, folder)
    skipped = [name for name in wanted if name not in engines]
    times: dict[tuple[str, str], list[float]] = {}
    counts: dict[str, dict[str, int]] = {name: {} for name in QUERIES}
    memory: dict[str, float] = {}
    try:
        for turn in range(repeats + 1):  # the first round warms up and is not counted
            for name, engine in engines.items():
                for query, text in QUERIES.items():
                    for state in (
                        ("warm", "hot")
                        if name == "ours"
                        else engine.ready["states"]
                        if query == "count_3_leaves"
                        else ()
                    ):
                        answer = engine.ask(state=state, text=text)
                        counts[query][f"{name}, {state}"] = answer["count"]
                        if turn:
                            times.setdefault((name, f"{query}_{state}_ms"), []).append(answer["ms"])
            progress(f"audience: round {turn} of {repeats}")
        facts = {name: engine.ready for name, engine in engines.items()}
    finally:
        memory = {name: engine.stop()["peak_rss_gib"] for name, engine in engines.items()}
    for query, by_engine in counts.items():
        if len(set(by_engine.values())) != 1:
            raise InvalidInput(f"{query}: the engines disagree: {by_engine}")
    result: dict[str, dict[str, Any]] = {name: {} for name in engines}
    for (name, metric), values in sorted(times.items()):
        result[name][metric] = round(statistics.median(values), 2)
    for name in engines:
        result[name]["peak_rss_gib"] = memory[name]
        result[name] |= {key: value for key, value in facts[name].items() if key.endswith("_s")}
    return {
        "ours": result.pop("ours"),
        "peers": result,
        "skipped": skipped,
        "counts": {query: next(iter(by_engine.values())) for query, by_engine in counts.items()},
    }


def main(argv: Sequence[str]) -> Result:
    """Build the sets, measure, and clean up."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks audience", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--users", type=int, default=1_000_000_000, help="number of people")
    parser.add_argument("--density", type=float, default=0.1, help="share of the people in each set")
    parser.add_argument("--runs", type=int, default=7, help="how often each is measured")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything that is drawn")
    parser.add_argument(
        "--peers", default="clickhouse,duckdb,numpy_bits", help="comma-separated, or empty for none"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=None,
        help="where to put some 6 GB for a billion users; default: the system's temporary folder",
    )
    args = parser.parse_args(argv)
    if not 1 <= args.users <= 1 << 32 or not 1 / 1024 <= args.density <= 1 or args.runs < 1:
        raise InvalidInput("--users is between 1 and 2^32, --density between 1/1024 and 1, --runs at least 1")
    # A fresh folder each time, removed even after a failure: a billion users take 6 GB.
    folder = Path(tempfile.mkdtemp(prefix="angelia-audience-", dir=args.folder))
    try:
        began = time.perf_counter()
        built = build(Lake.open(str(folder / "lake")), folder / "raw", args.users, args.density, args.seed)
        built_s = time.perf_counter() - began
        result = measure(folder, args.runs, [name for name in args.peers.split(",") if name])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result["ours"] |= {
        "build_s": round(built_s, 1),
        "index_bytes": built["index_bytes"],
        "files": built["files"],
    }
    return {
        "params": {"users": args.users, "density": args.density, "seed": args.seed},
        "ours": result["ours"],
        "peers": result["peers"],
        "runs": args.runs,
        "notes": {"skipped": result["skipped"], "counts": result["counts"]},
    }
