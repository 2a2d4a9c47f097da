"""One peer of the score benchmark, in `.venv-peers`: `python score_peer.py NAME FOLDER`.

Reads FOLDER/model.txt and rows.npy; prints one JSON object: processor seconds for all rows on one thread, and
the largest difference from FOLDER/expected.npy. What it makes of the model is kept in FOLDER and made once.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np

FEATURES = 40


def tl2cgen_trees(folder: Path, rows: np.ndarray) -> Callable[[], np.ndarray]:
    """Return trees as C, compiled by gcc."""
    import tl2cgen
    import treelite

    library = folder / "trees.so"
    if not library.exists():
        model = treelite.frontend.load_lightgbm_model(str(folder / "model.txt"))
        tl2cgen.export_lib(model, toolchain="gcc", libpath=library, params={"parallel_comp": 8}, nthread=1)
    predictor = tl2cgen.Predictor(library, nthread=1)
    matrix = tl2cgen.DMatrix(rows.astype(np.float64), dtype="float64")
    return lambda: predictor.predict(matrix, pred_margin=True).ravel()


def onnxruntime_trees(folder: Path, rows: np.ndarray) -> Callable[[], np.ndarray]:
    """Return trees as an ONNX graph, in float32.

    Categories become chains of comparisons, since ONNX knows no sets.
    """
    import lightgbm as lgb
    import onnxruntime
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    stored = folder / "trees.onnx"
    if not stored.exists():
        booster = lgb.Booster(model_file=str(folder / "model.txt"))
        inputs = [("rows", FloatTensorType([None, FEATURES]))]
        graph = convert_lightgbm(booster, initial_types=inputs, zipmap=False)
        stored.write_bytes(graph.SerializeToString())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(stored), options, providers=["CPUExecutionProvider"])

    def raw_scores() -> np.ndarray:
        p = np.asarray(session.run(None, {"rows": rows})[1], np.float64)
        return np.log(p[:, 1] / p[:, 0])

    return raw_scores


PEERS = {"tl2cgen": tl2cgen_trees, "onnxruntime": onnxruntime_trees}


def main(name: str, folder: Path) -> None:
    """Measure once, after a warm-up of a tenth."""
    rows, expected = np.load(folder / "rows.npy"), np.load(folder / "expected.npy")
    predict = PEERS[name](folder, rows)
    predict()
    began = time.process_time()
    scores = predict()
    spent = time.process_time() - began
    difference = float(np.abs(scores - expected).max())
    print(json.dumps({"cpu_s": spent, "max_difference": difference, "version": metadata.version(name)}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
