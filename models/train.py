"""Train, calibrate, evaluate and register a p(open) model: `python -m models.train --ds D [--cutoff C]`.

Reads the lake (see `models.dataset`); writes one version to the registry. It does not promote: `python -m
models.promote` does. Deterministic: the same commits, seed and code give the same bytes, and so the same
version.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from angelia import logs
from angelia.config import load_settings
from angelia.errors import AngeliaError, InvalidInput
from angelia.lake import Lake
from angelia.lake.attempt import code_version
from angelia.lake.configured import open_lake
from angelia.output import emit, parse_ds, progress, speak_utf8
from models.calibration import fit_platt, sigmoid
from models.card import write_card
from models.dataset import Examples, read_examples
from models.evaluate import estimates_json, policy_value, ranking_metrics
from models.features import CATEGORICAL, NAMES, encode_rows, learn_vocabulary
from models.registry import Registry, to_json
from models.scorer import Scorer, features_json

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trained:
    """A registered version and its metrics."""

    version: str
    metrics: dict[str, Any]


def parameters(seed: int, n_train: int) -> dict[str, Any]:
    """Return LightGBM's parameters: few, small and shy trees, and everything that makes training repeatable.

    An open is one push in sixteen and mostly luck: 31 leaves fitted the training days (AUC .75) and lost on
    the next (.579 against .585).
    """
    return {
        "objective": "binary",
        "learning_rate": 0.05,
        "num_leaves": 15,
        "min_data_in_leaf": max(20, min(1000, n_train // 200)),
        "lambda_l2": 5.0,
        "cat_smooth": 100.0,
        "cat_l2": 100.0,
        "min_data_per_group": max(20, min(1000, n_train // 200)),
        "feature_fraction": 0.8,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 2,
        "verbosity": -1,
    }


def fit(
    matrix: npt.NDArray[np.float32], label: Floats, weight: Floats, *, seed: int, trees: int
) -> lgb.Booster:
    """Return a booster trained on (n, features) examples."""
    data = lgb.Dataset(
        matrix,
        label,
        weight=weight,
        feature_name=list(NAMES),
        categorical_feature=list(CATEGORICAL),
        params={"verbosity": -1},
    )
    return lgb.train(parameters(seed, len(label)), data, num_boost_round=trees)


def train(
    lake: Lake,
    registry: Registry,
    *,
    ds: str,
    cutoff: str | None = None,
    seed: int = 7,
    trees: int = 100,
    max_rows: int = 2_000_000,
) -> Trained:
    """Train on pushes of (cutoff, ds], register the version, and return it with its metrics; the default
    cutoff is seven days before ds.

    Raises:
        InvalidInput: too few pushes, or none was opened.
        NotFound: there are no features as of the cutoff.
    """
    cutoff = cutoff or (date.fromisoformat(ds) - timedelta(days=7)).isoformat()
    examples = read_examples(lake, ds=ds, cutoff=cutoff, max_rows=max_rows)
    logs.took([(commit.ref, commit.dataset, commit.rows) for commit in examples.inputs], examples.left_out)
    part = examples.part("train")
    label, weight = examples.label, examples.weight
    if label[part].min() == label[part].max():
        raise InvalidInput(
            f"all pushes of the training days have the same label (opened: {bool(label[0])})",
            fix="choose an earlier cutoff",
        )
    progress(f"train: {examples.rows.num_rows} pushes after {cutoff}, {label.mean():.4f} opened")
    vocabulary = learn_vocabulary(examples.rows.slice(0, part.stop))
    matrix = encode_rows(examples.rows, vocabulary)
    booster = fit(matrix[part], label[part], weight[part], seed=seed, trees=trees)
    calibration = examples.part("calibration")
    raw = np.asarray(booster.predict(matrix, raw_score=True, num_threads=2), dtype=np.float64)
    slope, offset = fit_platt(raw[calibration], label[calibration], weight[calibration])
    files = {
        "model.txt": booster.model_to_string().encode(),
        "features.json": to_json(features_json(vocabulary)),
        "calibration.json": to_json(
            {"method": "platt", "slope": slope, "offset": offset, "n": calibration.stop - calibration.start}
        ),
    }
    metrics = evaluate(examples, sigmoid(slope * raw + offset), Scorer(files, threads=2), registry)
    files["metrics.json"] = to_json(metrics)
    lineage = {
        "ds": ds,
        "cutoff": cutoff,
        "inputs": sorted(commit.citation() for commit in examples.inputs),
        "code_version": code_version(),
        "seed": seed,
        "trees": trees,
        "max_rows": max_rows,
        "parameters": parameters(seed, part.stop),
        "left_out": examples.left_out,
        "lightgbm": lgb.__version__,
    }
    files["lineage.json"] = to_json(lineage)
    gain = dict(zip(NAMES, booster.feature_importance("gain").tolist(), strict=True))
    files["card.md"] = write_card(metrics, lineage, gain).encode()
    return Trained(registry.add(ds, files), metrics)


def evaluate(examples: Examples, p: Floats, scorer: Scorer, registry: Registry) -> dict[str, Any]:
    """Return metrics of the last part in time: ranking, calibration, and the off-policy value beside the
    champion's on the same rounds.
    """
    test, seen = examples.part("test"), examples.part("train")
    label, weight = examples.label, examples.weight
    base = float(np.average(label[seen], weights=weight[seen]))
    rows = examples.rows.slice(test.start, test.stop - test.start)
    metrics: dict[str, Any] = {
        "n": {
            name: examples.part(name).stop - examples.part(name).start
            for name in ("train", "calibration", "test")
        },
        "base_rate": round(base, 6),
        "test": ranking_metrics(label[test], p[test], weight[test], base),
        "train": ranking_metrics(label[seen], p[seen], weight[seen], base),
    }
    user_rate = rows["open_rate_28d"].to_numpy().astype(np.float64)
    metrics["test_user_rate_alone"] = ranking_metrics(label[test], user_rate, weight[test], base)
    if examples.catalog is None:
        return metrics
    metrics["off_policy"] = estimates_json(policy_value(scorer, rows, label[test], examples.catalog))
    champion = registry.champion()
    if champion is not None:
        try:
            standing = Scorer(registry.load(champion.version), threads=2)
        except AngeliaError as error:
            metrics["champion"] = {"version": champion.version, "not_compared": error.message}
        else:
            theirs = policy_value(standing, rows, label[test], examples.catalog)
            metrics["champion"] = {"version": champion.version, "off_policy": estimates_json(theirs)}
    return metrics


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m models.train", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--ds", required=True, metavar="YYYY-MM-DD", help="the closed UTC day D: pushes up to it are used"
    )
    parser.add_argument(
        "--cutoff",
        metavar="YYYY-MM-DD",
        help="features are as of this day, pushes come after it; default seven days before --ds",
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--trees", type=int, default=100, help="more trees score slower")
    parser.add_argument(
        "--max-rows", type=int, default=2_000_000, help="of more pushes, a share of the users is drawn"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    speak_utf8()
    args = parser.parse_args(argv)
    try:
        if args.trees < 1 or args.max_rows < 1:
            raise InvalidInput("--trees and --max-rows must be at least 1")
        settings = load_settings()
        lake = open_lake(settings=settings)
        cutoff = parse_ds(args.cutoff) if args.cutoff else None
        registry = Registry.open(settings.models_dir())
        with logs.step("train", ["--ds", args.ds]) as step:
            trained = train(
                lake,
                registry,
                ds=parse_ds(args.ds),
                cutoff=cutoff,
                seed=args.seed,
                trees=args.trees,
                max_rows=args.max_rows,
            )
            step.facts["version"] = trained.version
    except AngeliaError as error:
        sys.stderr.write(f"error: {error.one_line()}\n")
        return 2
    test = trained.metrics["test"]
    lines = [
        f"version   {trained.version}",
        f"test      auc {test['auc']:.4f}, log loss {test['logloss']:.4f} (base rate "
        f"{test['logloss_base_rate']:.4f}), "
        f"calibration error {test['calibration_error']:.4f}",
        f"promote   python -m models.promote --version {trained.version} --by NAME --reason WHY",
    ]
    emit({"version": trained.version, "metrics": trained.metrics}, lines, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
