"""Count the pushes of a year for a model that is trained before any record of them exists.

Grain: user. Reads user_pushes a day at a time, so that a year of them is never in memory; writes nothing.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from angelia.lake import Commit, Lake
from models.taste import LOOKS_HALF_LIFE, PastLooks

YEAR = 365


def older_answers(
    lake: Lake, ordinal: npt.NDArray[np.int64], *, last: str
) -> tuple[PastLooks | None, list[Commit]]:
    """Return what a record of the year up to `last` would say of pushes, and the commits read.

    It knows no looks, and no categories. None if there were no pushes so early.

    Args:
        lake: where pushes are.
        ordinal: whose, ascending, (n,).
        last: the record's day.
    """
    n, end = len(ordinal), date.fromisoformat(last)
    counts = {"sent": np.zeros(n), "opened": np.zeros(n)}
    commits: list[Commit] = []
    for back in range(YEAR):
        commit = lake.head("user_pushes", ds=(end - timedelta(days=back)).isoformat())
        # Most shops have no year of pushes, and a day may lack them.
        if commit is None:
            continue
        commits.append(commit)
        table = lake.read(commit, ["ordinal", "kind"])
        for kind, total in counts.items():
            owner = table.filter(pc.equal(table["kind"], kind))["ordinal"].to_numpy().astype(np.int64)
            row = np.minimum(np.searchsorted(ordinal, owner), max(n - 1, 0))
            known = ordinal[row] == owner if n else np.zeros(len(owner), bool)
            total += 0.5 ** (back / LOOKS_HALF_LIFE) * np.bincount(row[known], minlength=n)
    # No record says something else than a record of nothing: the window then counts alone.
    if not commits:
        return None, []
    day = (end - date(1970, 1, 1)).days
    none = pa.chunked_array([pa.nulls(n, pa.string())])
    return PastLooks(day, np.arange(n), none, np.zeros(n), counts["sent"], counts["opened"]), commits
