"""Score users x materials with a registered model.

Grain: user x campaign x material. Reads a model version's files; writes nothing. Refuses a model whose
    feature list is not the declared one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from angelia.errors import Corrupt, InvalidInput
from models.calibration import sigmoid
from models.features import (
    FEATURES,
    NAMES,
    USER_COLUMNS,
    VERSION,
    Context,
    EncodedUsers,
    Matrix,
    encode_pairs,
    encode_users,
)

Floats = npt.NDArray[np.float64]
COLUMNS = (*USER_COLUMNS, "tags")


class Scorer:
    """A calibrated p(open) model in memory."""

    def __init__(self, files: Mapping[str, bytes], threads: int = 1) -> None:
        """Load from a registry version's files.

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
        calibration = json.loads(files["calibration.json"])
        self.slope, self.offset = float(calibration["slope"]), float(calibration["offset"])
        self.threads = threads
        try:
            self.booster = lgb.Booster(model_str=files["model.txt"].decode())
        except lgb.basic.LightGBMError as error:
            raise Corrupt(f"model.txt: {error}") from None
        if tuple(self.booster.feature_name()) != NAMES:
            raise InvalidInput(
                "model.txt has other features than its features.json",
                fix="train again with `python -m models.train`",
            )

    def encode_users(self, users: pa.Table) -> EncodedUsers:
        """Return rows of user_features (at least `COLUMNS`) ready for `predict`."""
        return encode_users(users, self.vocabulary)

    def predict_matrix(self, matrix: Matrix) -> Floats:
        """Return calibrated p(open) of encoded pairs, shape (n,)."""
        if not len(matrix):
            return np.zeros(0)
        raw = self.booster.predict(matrix, raw_score=True, num_threads=self.threads)
        return sigmoid(self.slope * np.asarray(raw, dtype=np.float64) + self.offset)

    def predict(
        self, users: EncodedUsers, contexts: Sequence[Context], rows: npt.NDArray[np.int64] | None = None
    ) -> Floats:
        """Return calibrated p(open), (rows, contexts), of the given users (all if None) for each material."""
        chosen = np.arange(len(users)) if rows is None else rows
        scores = np.empty((len(chosen), len(contexts)))
        for position, context in enumerate(contexts):
            scores[:, position] = self.predict_matrix(encode_pairs(users, chosen, context, self.vocabulary))
        return scores


def features_json(vocabulary: Mapping[str, Sequence[str]] | None = None) -> dict[str, object]:
    """Return what features.json holds: version, declared features in order, and the vocabulary."""
    listed = [{"name": feature.name, "kind": feature.kind, "of": feature.of} for feature in FEATURES]
    return {
        "version": VERSION,
        "features": listed,
        "vocabulary": {name: list(values) for name, values in (vocabulary or {}).items()},
    }
