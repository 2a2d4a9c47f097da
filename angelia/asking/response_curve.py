"""A person's response curve: its hours, the evidence behind it, and what it shrank to.

Grain: person. Reads send_times of a night, and the person's rows of user_days and user_pushes; writes
nothing. `angelia timing show` prints it, the console draws it. Surprise: handed a `PersonLake`, it reads the
person's row groups only.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from angelia.errors import InvalidInput, NotFound
from angelia.lake import Commit, Lake
from angelia.lake.commit import in_shard
from angelia.timing.choosing import CHOSEN_ON
from angelia.timing.evidence import CELLS
from angelia.timing.habits import Clusters


def curve_of(lake: Lake, commit: Commit, ordinal: int, shard: int, days: int | None) -> dict[str, Any]:
    """Return a person's curve, its evidence, what it shrank to, and the parameters.

    Args:
        days: count what these last days hold of the person, which reads two files a day; None = do not.

    Raises:
        NotFound: they have none.
        InvalidInput: an older version wrote the commit.
    """
    ds, row = commit.partition["ds"], row_of(lake, commit, ordinal, shard)
    # An older commit lacks the parameters that shaped the curve, or names the cluster inside a text.
    if "habit" not in commit.meta or "cluster" not in row:
        raise InvalidInput(
            f"{commit.ref} was written by an older version", fix=f"run build_send_times --ds {ds} again"
        )
    return {
        "timezone": row["timezone"],
        "workday": [round(value, 4) for value in row["workday"]],
        "day_off": [round(value, 4) for value in row["day_off"]],
        "evidence": {
            "weighted_pushes": round(row["evidence"], 2),
            **({} if days is None else {**history(lake, ds, days, ordinal, shard), "days": days}),
        },
        "shrank_to": shrank_to(row["timezone"], row["cluster"], Clusters.of(commit.meta["clusters"])),
        "chosen": {
            "by": commit.meta["chosen_by"],
            "on": commit.meta.get(CHOSEN_ON, commit.partition["ds"]),
            "habit": commit.meta["habit"],
            "strength": commit.meta["strength"],
        },
    }


def row_of(lake: Lake, commit: Commit, ordinal: int, shard: int) -> dict[str, Any]:
    """Return a person's row of send_times.

    Raises:
        NotFound: they have none.
    """
    table = lake.read(commit, where=in_shard(shard))
    mine = table.filter(pc.equal(table["ordinal"], ordinal)).to_pylist()
    if not mine:
        raise NotFound(
            f"{commit.ref} has no curve for this user",
            fix="run build_send_times for that night again: it was made before the user's features",
        )
    return dict(mine[0])


def history(lake: Lake, ds: str, days: int, ordinal: int, shard: int) -> dict[str, int]:
    """Return what the window holds of a person: active hours and days, pushes and opens."""
    hours = active_days = sent = opened = 0
    for back in range(days):
        day = (date.fromisoformat(ds) - timedelta(days=back)).isoformat()
        masks = column_of(lake, "user_days", day, "hours", ordinal, shard)
        if masks:
            union = int(np.bitwise_or.reduce(np.array(masks, dtype=np.int64)))
            hours, active_days = hours + union.bit_count(), active_days + 1
        kinds = column_of(lake, "user_pushes", day, "kind", ordinal, shard)
        sent, opened = sent + kinds.count("sent"), opened + kinds.count("opened")
    return {"active_hours": hours, "active_days": active_days, "pushes": sent, "opens": opened}


def column_of(lake: Lake, name: str, ds: str, column: str, ordinal: int, shard: int) -> list[Any]:
    """Return one column of a person's rows of a day."""
    commit = lake.head(name, ds=ds)
    if commit is None:
        return []
    table = lake.read(commit, ["ordinal", column], where=in_shard(shard))
    mine: pa.Table = table.filter(pc.equal(table["ordinal"], ordinal))
    values: list[Any] = mine[column].to_pylist()
    return values


def cohort_of(curves: dict[str, Any]) -> str:
    """Name the habits that a row of send_times leans on; older commits hold the name itself."""
    if "cohort" in curves:
        return str(curves["cohort"])
    return "sparse" if curves["cluster"] is None else f"cluster-{curves['cluster']:02d}"


def shrank_to(timezone: str, number: int | None, clusters: Clusters) -> dict[str, Any]:
    """Return the likeliest cluster, how common it is in the timezone, and its best hours.

    Without a cluster they are the hours that are usual in the timezone.
    """
    half = CELLS // 2
    zone = int(clusters.rows([timezone])[0])
    if number is None:
        usual = clusters.usual()[zone]
        return {
            "cluster": None,
            "share": None,
            "workday_peak": int(usual[:half].argmax()),
            "day_off_peak": int(usual[half:].argmax()),
        }
    return {
        "cluster": number,
        "share": round(float(clusters.share[zone, number]), 4),
        "workday_peak": int(clusters.hours[number, :half].argmax()),
        "day_off_peak": int(clusters.hours[number, half:].argmax()),
    }
