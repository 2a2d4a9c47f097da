"""Score users x materials with a registered model.

Grain: user x campaign x material. Reads a model version's files; writes nothing. Refuses a model whose
    feature list is not the declared one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from angelia.errors import Corrupt, InvalidInput
from models.behaviour import Behaviour, Population
from models.calibration import Calibration, sigmoid
from models.compiled import CompiledTrees
from models.features import (
    FEATURES,
    N_USER,
    NAMES,
    USER_COLUMNS,
    VERSION,
    Context,
    EncodedUsers,
    Matrix,
    encode_context,
    encode_pairs,
    encode_users,
)
from models.logistic import Logistic, part_names

if TYPE_CHECKING:  # a model without trees needs none of it, and it takes half a second to load
    import lightgbm as lgb

Floats = npt.NDArray[np.float64]
COLUMNS = (*USER_COLUMNS, "tags")


class Scorer:
    """A calibrated p(open) model in memory."""

    def __init__(self, files: Mapping[str, bytes], threads: int = 1) -> None:
        """Load from a registry version's files; compiled trees among them score where they fit.

        Raises:
            InvalidInput: the model was trained on other features than this code declares.
        """
        declared = json.loads(files["features.json"])
        if declared["version"] != VERSION or declared["features"] != features_json()["features"]:
            raise InvalidInput(
                (
                    f"the model was trained on feature list version {declared['version']}, this code "
                    f"has version {VERSION} ({len(FEATURES)} features)"
                ),
                fix="train again with `python -m models.train`, or run the code version in the model's card",
            )
        self.vocabulary: dict[str, list[str]] = declared["vocabulary"]
        self.calibration = Calibration.from_dict(json.loads(files["calibration.json"]))
        self.threads = threads
        line = json.loads(files["logistic.json"])
        self.logistic = Logistic.from_dict(line)
        self.population = Population.from_dict(line["population"])
        self.doubt: dict[str, float] = line.get("doubt") or {}
        self.fatigue: dict[str, Any] = line.get("fatigue") or {}
        self.booster = _booster(files["model.txt"]) if files["model.txt"] else None
        self.compiled = CompiledTrees.of(files)

    def encode_users(self, users: pa.Table, behaviour: Behaviour) -> EncodedUsers:
        """Return user_features (at least `COLUMNS`) and behaviour ready for `predict`."""
        encoded = encode_users(users, self.vocabulary, behaviour)
        # What the line says of people alone is summed once, for a shop's many materials.
        start = np.full(len(encoded), self.logistic.intercept)
        own = self.logistic.added(
            start, lambda p: encoded.matrix[:, p], self.vocabulary, range(N_USER), crosses=False
        )
        return replace(encoded, begun=own)

    def predict_matrix(self, matrix: Matrix) -> Floats:
        """Return calibrated p(open) of encoded pairs, shape (n,)."""
        if not len(matrix):
            return np.zeros(0)
        return sigmoid(self.calibration.log_odds(self.raw(matrix)))

    def calibrated(self, matrix: Matrix, offset: Floats) -> Floats:
        """Return p(open) of encoded pairs at hours that add `offset` to the log-odds, both (n,)."""
        return sigmoid(self.calibration.log_odds(self.raw(matrix)) + offset)

    def raw(self, matrix: Matrix) -> Floats:
        """Return log-odds before calibration, (n,): the line's, and the trees' where there are any."""
        line = self.logistic.logit(matrix, self.vocabulary)
        if self.booster is None:
            return line
        if self.compiled is not None:
            return line + self.compiled.predict(matrix, self.threads)
        trees = self.booster.predict(matrix, raw_score=True, num_threads=self.threads)
        return line + np.asarray(trees, dtype=np.float64)

    def parts(self, matrix: Matrix) -> tuple[list[str], Floats]:
        """Return what features add to the calibrated log-odds: their names, and (n, names).

        The trees' share by feature is LightGBM's own (SHAP values of the path). What is missing to the
        log-odds is the same for every example, but for the bend of a calibration that has one.
        """
        names, values = part_names(), self.logistic.parts(matrix, self.vocabulary)
        if self.booster is not None:
            trees = np.asarray(
                self.booster.predict(matrix, pred_contrib=True, num_threads=self.threads), np.float64
            )
            values[:, : len(NAMES)] += trees[:, : len(NAMES)]
        return names, self.calibration.slope * values

    def predict(
        self, users: EncodedUsers, contexts: Sequence[Context], rows: npt.NDArray[np.int64] | None = None
    ) -> Floats:
        """Return calibrated p(open), (rows, contexts), of the given users (all if None)."""
        chosen = np.arange(len(users)) if rows is None else rows
        scores = np.empty((len(chosen), len(contexts)))
        for position, context in enumerate(contexts):
            if self.booster is None:
                scores[:, position] = sigmoid(self.calibration.log_odds(self._line(users, context, chosen)))
            else:
                matrix = encode_pairs(users, chosen, context, self.vocabulary)
                scores[:, position] = self.predict_matrix(matrix)
        return scores

    def _line(self, users: EncodedUsers, context: Context, rows: npt.NDArray[np.int64]) -> Floats:
        """Return what `raw` does of these users and one material, without a matrix of all features."""
        assert users.begun is not None
        pairs, others = encode_context(users, rows, context, self.vocabulary), range(N_USER, len(FEATURES))

        def column(position: int) -> Matrix:
            return users.matrix[rows, position] if position < N_USER else pairs[:, position - N_USER]

        return self.logistic.added(users.begun[rows], column, self.vocabulary, others)


def _booster(data: bytes) -> lgb.Booster:
    import lightgbm as lgb

    try:
        booster = lgb.Booster(model_str=data.decode())
    except lgb.basic.LightGBMError as error:
        raise Corrupt(f"model.txt: {error}") from None
    if tuple(booster.feature_name()) != NAMES:
        raise InvalidInput(
            "model.txt has other features than its features.json",
            fix="train again with `python -m models.train`",
        )
    return booster


def features_json(vocabulary: Mapping[str, Sequence[str]] | None = None) -> dict[str, object]:
    """Return what features.json holds: version, declared features in order, and the vocabulary."""
    listed = [{"name": feature.name, "kind": feature.kind, "of": feature.of} for feature in FEATURES]
    return {
        "version": VERSION,
        "features": listed,
        "vocabulary": {name: list(values) for name, values in (vocabulary or {}).items()},
    }
