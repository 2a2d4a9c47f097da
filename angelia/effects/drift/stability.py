"""The population stability index of each feature and of the scores, between two nights.

Grain: column. Numbers fall into tenths of the reference night, categories into its twenty most frequent
values; what is null has a bin of its own. Source: Siddiqi (2006), Credit Risk Scorecards, chapter 9, whose
thresholds (.1: look, .25: act) are the defaults. Surprise: an index says that something moved, not that it
hurts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts import dataset
from angelia.errors import NotFound
from angelia.lake import Commit, Lake

Counts = npt.NDArray[np.int64]
LOOK, ALARM = 0.1, 0.25
TOP, BINS = 20, 10
_NO_FEATURES = ("ordinal", "user_id")


@dataclass(frozen=True)
class Shift:
    """A column's index, and the share that is null on both nights."""

    dataset: str
    column: str
    psi: float
    null_before_pct: float
    null_after_pct: float


def compare_nights(lake: Lake, before: str, after: str) -> tuple[list[Shift], list[str]]:
    """Return the columns, most moved first, and those that have no bins (lists).

    Raises:
        NotFound: a night has no features.
    """
    shifts, left_out = [], []
    for name in ("user_features", "material_scores"):
        commits = [lake.head(name, ds=ds) for ds in (before, after)]
        missing = [ds for ds, commit in zip((before, after), commits, strict=True) if commit is None]
        if missing:
            if name == "material_scores":
                left_out.append(f"{name}: none of {missing[0]}")
                continue
            raise NotFound(
                f"there are no {name} of {missing[0]}", fix=f"name days that `angelia lake log {name}` lists"
            )
        for column in dataset(name).columns:
            if column.name in _NO_FEATURES or (name == "material_scores" and column.name != "p_open"):
                continue
            if pa.types.is_list(column.type):
                left_out.append(f"{name}.{column.name}: a list")
                continue
            first, second = (_column(lake, commit, column.name) for commit in commits if commit)
            counts = binned(first, second)
            nulls = [100 * values.null_count / max(len(values), 1) for values in (first, second)]
            shifts.append(Shift(name, column.name, psi(*counts), *nulls))
    return sorted(shifts, key=lambda shift: (-shift.psi, shift.dataset, shift.column)), left_out


def psi(before: Counts, after: Counts) -> float:
    """Return the index of two nights' counts by bin; an empty bin counts as half a person."""
    if not before.sum() or not after.sum():
        return 0.0
    # Bins that are empty on both nights say nothing.
    kept = (before + after) > 0
    p, q = (np.maximum(counts[kept], 0.5) / counts.sum() for counts in (before, after))
    return float(((q - p) * np.log(q / p)).sum())


def binned(before: pa.ChunkedArray, after: pa.ChunkedArray) -> tuple[Counts, Counts]:
    """Return both nights' counts in the bins of the first; the last bin is null."""
    if pa.types.is_string(before.type) or pa.types.is_boolean(before.type):
        return _by_value(before.cast(pa.string()), after.cast(pa.string()))
    known = _numbers(before)
    # Equal edges are one, so a number that most people have is a bin of its own.
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1])) if len(known) else np.zeros(0)

    def count(values: pa.ChunkedArray) -> Counts:
        places = np.searchsorted(edges, _numbers(values), side="left")
        return np.append(np.bincount(places, minlength=len(edges) + 1), values.null_count)

    return count(before), count(after)


def _by_value(before: pa.ChunkedArray, after: pa.ChunkedArray) -> tuple[Counts, Counts]:
    counted = pc.value_counts(before.drop_null())
    counts, values = counted.field("counts").to_numpy(), counted.field("values").to_pylist()
    frequent = [values[i] for i in sorted(range(len(values)), key=lambda i: (-counts[i], values[i]))[:TOP]]

    def count(column: pa.ChunkedArray) -> Counts:
        places = pc.index_in(column.drop_null(), value_set=pa.array(frequent, pa.string()))
        rest = np.asarray(places.fill_null(len(frequent)).to_numpy())
        return np.append(np.bincount(rest, minlength=len(frequent) + 1), column.null_count)

    return count(before), count(after)


def _numbers(values: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    return np.asarray(values.drop_null().cast(pa.float64()).to_numpy())


def _column(lake: Lake, commit: Commit, name: str) -> pa.ChunkedArray:
    if commit.dataset == "user_features":  # the night before may be of an earlier release
        return lake.read(commit, [name])[name]
    return lake.read(commit, [name])[name]
