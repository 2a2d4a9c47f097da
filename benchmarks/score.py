"""Scoring trees: rows per processor second of compiled trees, LightGBM's own and peers.

300 trees of 63 leaves on 40 features, once all numeric and once with 8 categories of 4 to 250 values (a
twentieth of all values missing), are trained on rows that are drawn here. Ours is the output of
`models.promote --compile`, as the scorer loads it. Each run measures LightGBM's Booster, ours and the peers
in turn, on one thread and the same rows, by processor time, so that other work on the machine does not count.
tl2cgen (C by gcc) and ONNX Runtime (float32) live in `.venv-peers` (`make bench-peers`); a peer that is
missing or fails is named in the notes.

Example: `python -m benchmarks score --rows 5000 --runs 1 --peers ""`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import lightgbm as lgb
import numpy as np

from angelia.errors import InvalidInput
from angelia.output import progress
from benchmarks.harness.result import Result
from models.compiled import CompiledTrees, compile_trees

ROOT = Path(__file__).parent.parent
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
PEERS = ("tl2cgen", "onnxruntime")
TREES, LEAVES, FEATURES, TRAINED_ON = 300, 63, 40, 20_000
CATEGORIES = (4, 8, 16, 32, 64, 128, 200, 250)  # values of each of the last eight features
MODELS = ("numeric", "categorical")
PEER_TIMEOUT_S = 1800


def main(argv: Sequence[str]) -> Result:
    """Run the benchmark; return its result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks score", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--rows", type=int, default=100_000, help="rows to score")
    parser.add_argument("--runs", type=int, default=5, help="how often each is measured")
    parser.add_argument("--trees", type=int, default=TREES, help="trees of each model")
    parser.add_argument("--peers", default=",".join(PEERS), help="comma-separated, or empty for none")
    args = parser.parse_args(argv)
    if args.rows < 1000 or args.runs < 1 or args.trees < 1:
        raise InvalidInput("--rows must be at least 1,000, --runs and --trees at least 1")
    names = [name for name in args.peers.split(",") if name]
    # Refused before anything is measured: a peer misspelt would otherwise be missing from the line.
    if unknown := set(names) - set(PEERS):
        raise InvalidInput(f"no peer {sorted(unknown)[0]!r}", fix=f"peers: {', '.join(PEERS)}")
    ours: dict[str, float] = {}
    peers: dict[str, dict[str, Any]] = defaultdict(dict)
    notes: dict[str, str] = {}
    for model in MODELS:
        with tempfile.TemporaryDirectory(prefix="angelia-score-") as folder:
            figures, compiled = measure(Path(folder), model, args, names, notes)
        for name, (rate, difference) in figures.items():
            into = ours if name == "ours" else peers[name]
            into[f"{model}_rows_per_cpu_s"] = round(rate)
            into[f"{model}_max_difference"] = difference
        ours[f"{model}_speedup"] = round(figures["ours"][0] / figures["lightgbm"][0], 2)
        ours[f"{model}_compile_cpu_s"], ours[f"{model}_code_bytes"] = compiled
    shape = {"trees": args.trees, "leaves": LEAVES, "features": FEATURES, "categories": list(CATEGORIES)}
    return {
        "params": {"rows": args.rows, **shape},
        "ours": ours,
        "peers": dict(peers),
        "runs": args.runs,
        "notes": notes,
    }


def draw_rows(model: str, n: int, seed: int) -> np.ndarray:
    """Return rows of features, a twentieth of the values missing."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, FEATURES)).astype(np.float32)
    if model == "categorical":
        for place, size in enumerate(CATEGORIES):
            rows[:, FEATURES - len(CATEGORIES) + place] = rng.integers(0, size, n)
    rows[rng.random(rows.shape) < 0.05] = np.nan
    return rows


def grow(model: str, trees: int) -> lgb.Booster:
    """Return trees that were trained on drawn rows."""
    rows = draw_rows(model, TRAINED_ON, seed=1)
    known = np.nan_to_num(rows)
    z = 0.3 * known[:, :8].sum(axis=1) + 0.1 * (known[:, FEATURES - 1] % 7) - 2.0
    label = (np.random.default_rng(2).random(len(rows)) < 1 / (1 + np.exp(-z))).astype(float)
    first = FEATURES - len(CATEGORIES)
    categories = list(range(first, FEATURES)) if model == "categorical" else []
    options = {"objective": "binary", "num_leaves": LEAVES, "learning_rate": 0.05, "num_threads": 1}
    options |= {"verbosity": -1, "seed": 1, "deterministic": True, "force_row_wise": True}
    return lgb.train(options, lgb.Dataset(rows, label, categorical_feature=categories), trees)


def measure(
    folder: Path, model: str, args: argparse.Namespace, names: Sequence[str], notes: dict[str, str]
) -> tuple[dict[str, tuple[float, float]], tuple[float, int]]:
    """Return rows per processor second, and the largest difference from LightGBM's, by name.

    Beside it stand the seconds that compiling took, and the bytes of the code.
    """
    progress(f"score: {model}: growing {args.trees} trees")
    booster, rows = grow(model, args.trees), draw_rows(model, args.rows, seed=3)
    text = booster.model_to_string().encode()
    (folder / "model.txt").write_bytes(text)
    progress(f"score: {model}: compiling")
    began = time.process_time()
    code = compile_trees(text)
    spent = round(time.process_time() - began, 1)
    compiled = CompiledTrees(text, code)
    expected = np.asarray(booster.predict(rows, raw_score=True, num_threads=1))
    np.save(folder / "rows.npy", rows)
    np.save(folder / "expected.npy", expected)
    seconds: dict[str, list[float]] = defaultdict(list)
    differences: dict[str, float] = {"lightgbm": 0.0}
    for run in range(args.runs):
        began = time.process_time()
        booster.predict(rows, raw_score=True, num_threads=1)
        seconds["lightgbm"].append(time.process_time() - began)
        began = time.process_time()
        scores = compiled.predict(rows)
        seconds["ours"].append(time.process_time() - began)
        differences["ours"] = float(np.abs(scores - expected).max())
        # A peer that failed once is not asked again: it may have tried for half an hour.
        for name in (name for name in names if f"{name}, {model}" not in notes):
            answer = ask(name, folder)
            if isinstance(answer, str):
                notes[f"{name}, {model}"] = answer
                continue
            seconds[name].append(answer["cpu_s"])
            differences[name], notes[f"{name}_version"] = answer["max_difference"], answer["version"]
        progress(f"score: {model}: run {run + 1} of {args.runs}")
    figures = {name: (args.rows / median(values), differences[name]) for name, values in seconds.items()}
    return figures, (spent, len(code))


def ask(name: str, folder: Path) -> dict[str, Any] | str:
    """Return what a peer measured, or why it could not."""
    if not PEERS_PYTHON.exists():
        return "not installed; `make bench-peers` installs it"
    command = [str(PEERS_PYTHON), str(Path(__file__).parent / "peers" / "score_peer.py"), name, str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PEER_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer within {PEER_TIMEOUT_S} s"
    if done.returncode:
        sys.stderr.write(done.stderr[-2000:])
        return (done.stderr.strip().splitlines() or ["no message"])[-1][:200]
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer
