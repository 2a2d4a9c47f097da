"""Train, calibrate, evaluate and register a p(open) model.

`python -m models.train --ds D [--cutoff C]` reads the lake (see `models.dataset`); writes one version to the
registry. It does not promote: `python -m models.promote` does. Deterministic: the same commits, seed and code
give the same bytes, and so the same version.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from angelia import logs
from angelia.config import load_settings
from angelia.errors import InvalidInput
from angelia.lake import Lake
from angelia.lake.attempt import code_version
from angelia.lake.configured import open_lake
from angelia.output import emit, exit_code, parse_ds, progress, speak_utf8
from models import logistic
from models.answering.standing import MaterialStanding, read_standing
from models.calibration import choose_calibration, sigmoid
from models.card import write_card
from models.dataset import Examples, read_examples
from models.features import CATEGORICAL, MAX_SENT, NAMES, SENT, Vocabulary, encode_rows, learn_vocabulary
from models.judging import BARS, evaluate, objections
from models.logistic import Logistic, Seen, choose
from models.prior import make_prior
from models.registry import Registry, to_json
from models.scorer import Scorer, features_json
from models.tiring.learn import learn
from models.tiring.refusing import read_kept

Floats = npt.NDArray[np.float64]
TRAIN_DAYS = 21  # three weeks see every weekday three times, and tastes have not moved far


@dataclass(frozen=True)
class Trained:
    """A registered version and its metrics."""

    version: str
    metrics: dict[str, Any]


def parameters(seed: int, n_train: int) -> dict[str, Any]:
    """Return LightGBM's parameters: few and small trees, repeatable training.

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


def boost(
    matrix: npt.NDArray[np.float32],
    label: Floats,
    weight: Floats,
    start: Floats,
    train: slice,
    later: slice | None,
    *,
    seed: int,
    trees: int,
) -> lgb.Booster | None:
    """Return trees on what the line (`start`, log-odds) leaves over, or None.

    They are stopped early by `later`; None if even the first ones make it no better there.
    """

    def data(part: slice, reference: lgb.Dataset | None = None) -> lgb.Dataset:
        return lgb.Dataset(
            matrix[part],
            label[part],
            weight=weight[part],
            init_score=start[part],
            reference=reference,
            feature_name=list(NAMES),
            categorical_feature=list(CATEGORICAL),
            params={"verbosity": -1},
        )

    if not trees:
        return None
    wanted = parameters(seed, train.stop - train.start)
    first = data(train)
    if later is None:
        return lgb.train(wanted, first, num_boost_round=trees)
    stop = lgb.early_stopping(20, verbose=False)
    booster = lgb.train(wanted, first, trees, valid_sets=[data(later, first)], callbacks=[stop])
    gained = np.asarray(booster.predict(matrix[later], raw_score=True, num_threads=2))
    z = np.stack([start[later], start[later] + gained])
    loss = (weight[later] * (np.logaddexp(0.0, z) - label[later] * z)).sum(axis=1)
    # A hair less loss on a few thousand pushes is luck; half a nat a tree is not.
    return booster if loss[0] - loss[1] > 0.5 * booster.best_iteration else None


@dataclass(frozen=True)
class Fitted:
    """A line, the trees on top of it if any help, and the strengths that were chosen."""

    line: Logistic
    booster: lgb.Booster | None
    strength: dict[str, float]
    trees: int
    doubt: dict[str, float]

    def raw(self, matrix: npt.NDArray[np.float32], vocabulary: Vocabulary) -> Floats:
        """Return log-odds at a mean hour, (n,)."""
        line = self.line.logit(matrix, vocabulary)
        if self.booster is None:
            return line
        trees = self.booster.predict(matrix, raw_score=True, num_threads=2)
        return line + np.asarray(trees, dtype=np.float64)


def fit(
    examples: Examples,
    matrix: npt.NDArray[np.float32],
    vocabulary: Vocabulary,
    *,
    seed: int,
    trees: int,
    standing: MaterialStanding,
) -> tuple[Fitted, Fitted]:
    """Return the model fitted on the training part, and the same refitted on all examples.

    `standing` is what is known of materials from pushes before all examples: these say how far it is wrong.
    """
    label, weight = examples.label, examples.weight
    known = standing.effects(vocabulary["material_id"])
    code = matrix[:, NAMES.index("material_id")]
    offset = examples.offset + np.append(known, 0.0)[np.nan_to_num(code, nan=-1.0).astype(np.int64)]
    part, later = examples.part("train"), examples.part("calibration")
    # A design takes as long as a dozen steps of the fit, so each is built once and handed on.
    seen = Seen.of(matrix[part], vocabulary)
    line, strength = choose(seen, vocabulary, label[part], weight[part], offset[part])
    start = offset + line.logit(matrix, vocabulary)
    booster = boost(matrix, label, weight, start, part, later, seed=seed, trees=trees)
    grown = booster.best_iteration if booster is not None else 0
    held = Fitted(logistic.moved(line, known, vocabulary), booster, strength, grown, {})
    # The newest pushes are the best teachers: what ships has seen them too, at the strengths chosen without.
    ridge, seen = logistic.by_column(strength, vocabulary), Seen.of(matrix, vocabulary)
    whole = logistic.fit(seen, label, weight, offset, ridge=ridge, near=line)
    start = offset + seen.logit(whole)
    more = boost(matrix, label, weight, start, slice(0, len(label)), None, seed=seed, trees=grown)
    sure = logistic.certainty(whole, seen, weight, offset, ridge)
    unknown = standing.variances(vocabulary["material_id"])
    doubt = logistic.doubts(sure, ridge, vocabulary, unknown, standing.spread)
    return held, Fitted(logistic.moved(whole, known, vocabulary), more, strength, grown, doubt)


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
    """Train on pushes of (cutoff, ds], register the version, and return it with its metrics.

    The default cutoff is `default_cutoff`.

    Raises:
        InvalidInput: too few pushes, or none was opened.
        NotFound: there are no features as of the cutoff.
    """
    cutoff = cutoff or default_cutoff(lake, ds)
    examples = read_examples(lake, ds=ds, cutoff=cutoff, max_rows=max_rows)
    logs.took([(commit.ref, commit.dataset, commit.rows) for commit in examples.inputs], examples.left_out)
    part = examples.part("train")
    label, weight = examples.label, examples.weight
    if label[part].min() == label[part].max():
        raise InvalidInput(
            f"all pushes of the training days have the same label (opened: {bool(label[0])})",
            fix="choose an earlier cutoff; where there is none, make a prior: --prior 0.05",
        )
    progress(f"train: {examples.rows.num_rows} pushes after {cutoff}, {label.mean():.4f} opened")
    # Of all days: names tell nothing of opens, and what ships is fitted on all of them.
    vocabulary = learn_vocabulary(examples.rows)
    for name in SENT:
        lost = len(set(examples.rows[name].to_pylist()) - {None, *vocabulary[name]})
        if lost:
            progress(f"train: {lost} values of {name} beyond {MAX_SENT} are scored as average ones")
    matrix = encode_rows(examples.rows, vocabulary)
    standing = read_standing(lake, last=cutoff)
    held, shipped = fit(examples, matrix, vocabulary, seed=seed, trees=trees, standing=standing)
    calibration = examples.part("calibration")
    raw, offset = held.raw(matrix, vocabulary), examples.offset
    chosen = choose_calibration(
        raw[calibration], label[calibration], weight[calibration], offset[calibration]
    )
    common = {
        "features.json": to_json(features_json(vocabulary)),
        "calibration.json": to_json(chosen.as_dict(calibration.stop - calibration.start)),
    }
    # Judged on rows it has not seen, yet as it would draw: with the doubt that is left after all rows.
    judged = replace(held, doubt=shipped.doubt)
    metrics = evaluate(
        examples,
        sigmoid(chosen.log_odds(raw) + offset),
        Scorer(common | model_files(judged, examples), threads=2),
        registry,
    )
    bend = "platt" if chosen.knots is None else "isotonic"
    metrics["chosen"] = {"strength": held.strength, "trees": held.trees, "calibration": bend}
    kept = read_kept(lake, ds=ds, most=max_rows)
    metrics["fatigue"] = learn(examples, kept)
    files = common | model_files(shipped, examples, metrics["fatigue"])
    files["metrics.json"] = to_json(metrics)
    lineage = {
        "ds": ds,
        "cutoff": cutoff,
        "inputs": sorted(
            {commit.citation() for commit in (*examples.inputs, *kept.inputs, *standing.inputs)}
        ),
        "code_version": code_version(),
        "seed": seed,
        "trees": trees,
        "max_rows": max_rows,
        "parameters": parameters(seed, part.stop),
        "left_out": examples.left_out,
        "lightgbm": lgb.__version__,
    }
    files["lineage.json"] = to_json(lineage)
    files["card.md"] = write_card(metrics, lineage, importance(shipped, matrix, vocabulary)).encode()
    return Trained(registry.add(ds, files), metrics)


def default_cutoff(lake: Lake, ds: str) -> str:
    """Return the newest day with features that leaves `TRAIN_DAYS` days of pushes.

    Else the oldest that leaves a week, else the day a week before ds.
    """
    known = [part["ds"] for part in lake.partitions("user_features")]
    wanted, least = ((date.fromisoformat(ds) - timedelta(days=back)).isoformat() for back in (TRAIN_DAYS, 7))
    oldest = (date.fromisoformat(ds) - timedelta(days=3 * TRAIN_DAYS)).isoformat()
    early = [day for day in known if oldest <= day <= wanted]
    late = [day for day in known if wanted < day <= least]
    return early[-1] if early else late[0] if late else least


def model_files(
    fitted: Fitted, examples: Examples, fatigue: Mapping[str, Any] | None = None
) -> dict[str, bytes]:
    """Return the files that hold a fitted model; `model.txt` is empty where trees did not help."""
    line = fitted.line.as_dict() | {
        "population": examples.population.as_dict(),
        "doubt": fitted.doubt,
        "fatigue": fatigue or {},
    }
    trees = fitted.booster.model_to_string().encode() if fitted.booster is not None else b""
    return {"logistic.json": to_json(line), "model.txt": trees}


def importance(fitted: Fitted, matrix: npt.NDArray[np.float32], vocabulary: Vocabulary) -> dict[str, float]:
    """Return how much each feature moves the line's log-odds.

    It is the standard deviation of the feature's part; crosses count for their second feature.
    """
    x = logistic.design(matrix, vocabulary, fitted.line.mean, fitted.line.scale)
    variances = dict.fromkeys(NAMES, 0.0)
    square = np.asarray(x.multiply(x).mean(axis=0)).ravel()
    spread = np.maximum(square - np.asarray(x.mean(axis=0)).ravel() ** 2, 0.0) * fitted.line.weights**2
    for name, variance in zip(logistic.columns(vocabulary), spread.tolist(), strict=True):
        variances[name.split(" x ")[-1].removesuffix(" unknown").split("=")[0]] += variance
    return {name: float(np.sqrt(variance)) for name, variance in variances.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m models.train", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--ds", required=True, metavar="YYYY-MM-DD", help="the closed UTC day D: pushes up to it are used"
    )
    parser.add_argument(
        "--cutoff",
        metavar="YYYY-MM-DD",
        help="features are as of this day, pushes come after it; default 21 days before --ds, or the "
        "oldest features at hand",
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--trees", type=int, default=100, help="more trees score slower")
    parser.add_argument(
        "--max-rows", type=int, default=2_000_000, help="of more pushes, a share of the users is drawn"
    )
    parser.add_argument(
        "--prior",
        type=float,
        metavar="RATE",
        help="where nothing has been pushed yet: make a model of this open rate and what people look at",
    )
    parser.add_argument(
        "--bar", choices=BARS, default=BARS[0], help="say what a promotion by this bar would object to"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    speak_utf8()
    args = parser.parse_args(argv)
    return exit_code(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    """Train, or make a prior, as the command line asks."""
    if args.trees < 1 or args.max_rows < 1:
        raise InvalidInput("--trees and --max-rows must be at least 1")
    settings = load_settings()
    lake = open_lake(settings=settings)
    cutoff = parse_ds(args.cutoff) if args.cutoff else None
    registry = Registry.configured(settings)
    # A first model without a single push of one's own: no training, so neither cutoff nor test.
    if args.prior is not None:
        if not 0.0 < args.prior < 1.0:
            raise InvalidInput("--prior must lie between 0 and 1", fix="0.05 is a usual open rate")
        version = make_prior(lake, registry, ds=parse_ds(args.ds), rate=args.prior)
        emit({"version": version, "metrics": {"prior": args.prior}}, [f"version   {version}"], args.json)
        return 0
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
    test = trained.metrics["test"]
    lines = [
        f"version   {trained.version}",
        f"test      auc {test['auc']:.4f}, log loss {test['logloss']:.4f} (base rate "
        f"{test['logloss_base_rate']:.4f}), "
        f"calibration error {test['calibration_error']:.4f}",
        f"promote   python -m models.promote --version {trained.version} --by NAME --reason WHY",
    ]
    refused = objections(trained.metrics, args.bar)
    lines += [f"refused   {line}" for line in refused]
    emit({"version": trained.version, "metrics": trained.metrics, "objections": refused}, lines, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
