"""What is measured of a version before a person promotes it.

Reads and writes nothing. Everything is measured on the last part in time, which the version has not seen; the
champion's figures stand beside its own, on the same pushes and the same rounds.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import norm

from angelia.errors import AngeliaError
from models.calibration import fit_platt, sigmoid
from models.dataset import Examples
from models.evaluate import estimates_json, losses, paired, paired_bootstrap, play, ranking_metrics
from models.features import encode_rows
from models.registry import Registry
from models.scorer import Scorer

Floats = npt.NDArray[np.float64]
SEGMENTS = ("campaign_id", "category", "gender", "country", "device_vendor", "membership_level")
SEGMENT_PUSHES = 200  # fewer say nothing of a segment
BINS = 10


def evaluate(examples: Examples, p: Floats, scorer: Scorer, registry: Registry) -> dict[str, Any]:
    """Return metrics of the last part in time: ranking, calibration, off-policy value.

    The champion's stand beside them, on the same rounds.
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
    metrics["test"]["calibration_noise"] = round(calibration_noise(p[test], weight[test]), 6)
    user = examples.rows["ordinal"].to_numpy()
    plain = hour_alone(examples)
    against, before = "the base rate and the hour", plain[test]
    metrics["test"]["gain_over_base"] = paired(
        losses(label[test], plain[test]) - losses(label[test], p[test]), user[test]
    )
    user_rate = rows["open_rate_28d"].to_numpy().astype(np.float64)
    metrics["test_user_rate_alone"] = ranking_metrics(label[test], user_rate, weight[test], base)
    rounds = examples.rounds
    ours = play(scorer, rounds, examples.catalog)
    judged, even = rounds.rows["ordinal"].to_numpy(), ~np.isnan(ours.even)
    metrics["rounds"] = {
        "n": int(even.sum()),
        "unsent": rounds.n_unsent,
        "unplanned": int((even & (rounds.chosen_from < 0)).sum()),
        "left_out": dict(Counter(rounds.left_out) + Counter(ours.left_out)),
        # 1 where the log holds all that was drawn, and what it was drawn from
        "even_weight": paired(ours.even[even], judged[even]),
    }
    metrics["off_policy"] = estimates_json(ours.estimates())
    champion = registry.champion()
    if champion is not None:
        try:
            files = registry.load(champion.version)
            standing = Scorer(files, threads=2)
        except AngeliaError as error:
            metrics["champion"] = {"version": champion.version, "not_compared": error.message}
        else:
            theirs = play(standing, rounds, examples.catalog)
            encoded = encode_rows(examples.rows, standing.vocabulary)
            against, before = "the champion", standing.calibrated(encoded, examples.offset)[test]
            gain = losses(label[test], before) - losses(label[test], p[test])
            more = ours.terms - theirs.terms
            known = ~np.isnan(more)
            metrics["champion"] = {
                "version": champion.version,
                "is_prior": "prior" in json.loads(files.get("metrics.json", b"{}")),
                "off_policy": estimates_json(theirs.estimates()),
                "off_policy_gain": paired_bootstrap(more[known], judged[known], seed=7),
                "gain_over_champion": paired(gain, user[test])
                | {"loss": round(float(losses(label[test], before).mean()), 7)},
            }
    metrics["segments"] = {"against": against} | segments(rows, label[test], p[test], before)
    return metrics


def hour_alone(examples: Examples) -> Floats:
    """Return p(open) of a model that knows the base rate and the hour of sending, (n,)."""
    seen = examples.part("train")
    no_score, zero = np.zeros(len(examples.label)), examples.offset
    slope, shift = fit_platt(no_score[seen], examples.label[seen], examples.weight[seen], known=zero[seen])
    return sigmoid(slope * no_score + shift + zero)


def calibration_noise(p: Floats, weight: Floats) -> float:
    """Return the calibration error that chance alone gives true probabilities.

    The mean of a half-normal in each bin of `models.evaluate.calibration_error`.
    """
    total = 0.0
    for part in np.array_split(np.argsort(p, kind="stable"), BINS):
        total += float(np.sqrt((weight[part] ** 2 * p[part] * (1.0 - p[part])).sum()))
    return total * float(np.sqrt(2.0 / np.pi)) / float(weight.sum())


def segments(rows: pa.Table, label: Floats, p: Floats, before: Floats) -> dict[str, Any]:
    """Return how many segments are judged, and what the worst gained over `before`.

    A segment is a value of a column of `SEGMENTS` with at least `SEGMENT_PUSHES` pushes. Intervals are 95 %
    for all segments together (Bonferroni), a person counting once; the worst has the lowest upper end.
    """
    gain, user = losses(label, before) - losses(label, p), rows["ordinal"].to_numpy()
    judged = []
    for column in SEGMENTS:
        if column not in rows.column_names:
            continue
        codes = pc.fill_null(rows[column].cast(pa.string()), "none").combine_chunks().dictionary_encode()
        index = codes.indices.to_numpy()
        for code, name in enumerate(codes.dictionary.to_pylist()):
            here = np.flatnonzero(index == code)
            if SEGMENT_PUSHES <= len(here) < len(index):
                loss = float(losses(label[here], before[here]).mean())
                judged.append((f"{column}={name}", len(here), loss, paired(gain[here], user[here])))
    if not judged:
        return {"n": 0}
    wider = float(norm.ppf(1.0 - 0.025 / len(judged)) / norm.ppf(0.975))

    def upper(segment: tuple[str, int, float, dict[str, float]]) -> float:
        return segment[3]["value"] + wider * (segment[3]["high"] - segment[3]["value"])

    worst = min(judged, key=lambda segment: upper(segment) / segment[2])
    name, n, loss, its = worst
    worst_loss = {"value": its["value"], "high": round(upper(worst), 7), "loss": round(loss, 7)}
    return {"n": len(judged), "worst": {"segment": name, "pushes": n} | worst_loss}
