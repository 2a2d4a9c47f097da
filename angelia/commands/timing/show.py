"""`angelia timing show`: when a person responds, by what evidence, and what that shrank to.

Reads send_times and user_features of a night, and the person's rows of user_days and user_pushes. Surprise:
the output names nobody; a person is only ever an argument.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import typer

from angelia.config import load_settings
from angelia.errors import InvalidInput, NotFound
from angelia.lake import Commit, Lake
from angelia.lake.commit import in_shard
from angelia.lake.configured import open_lake
from angelia.output import DsOption, JsonFlag, emit
from angelia.timing.evidence import CELLS
from angelia.timing.habits import Clusters
from angelia.users.index import require_index

app = typer.Typer(no_args_is_help=True, help="When a person responds, and how that is known.")
BAR = 20
JUDGES = {
    "responses": "the responses to held-out pushes",
    "activity": "held-out activity, for want of responses",
    "nothing": "nobody's history: these are the defaults",
}


@app.callback()
def timing() -> None:
    """Explain response curves."""


@app.command("show")
def show(
    ds: DsOption,
    user: Annotated[str, typer.Option("--user", help="The person's id.")],
    as_json: JsonFlag = False,
) -> None:
    """Show a person's curve, its evidence, what it shrank to, and the chosen parameters."""
    lake = open_lake()
    commit = lake.require("send_times", ds=ds)
    if "habit" not in commit.meta:
        raise InvalidInput(
            f"{commit.ref} was written by an older version", fix=f"run build_send_times --ds {ds} again"
        )
    ordinal = ordinal_of(lake, lake.require("user_features", ds=ds), user)
    shard = ordinal >> int(require_index(lake).meta["shard_bits"])
    row = row_of(lake, commit, ordinal, shard)
    days = load_settings().history_days
    shown = {
        "ds": ds,
        "timezone": row["timezone"],
        "workday": [round(value, 4) for value in row["workday"]],
        "day_off": [round(value, 4) for value in row["day_off"]],
        "evidence": {
            "weighted_pushes": round(row["evidence"], 2),
            **history(lake, ds, days, ordinal, shard),
            "days": days,
        },
        "shrank_to": shrank_to(row["timezone"], row["cohort"], Clusters.of(commit.meta["clusters"])),
        "chosen": {
            "by": commit.meta["chosen_by"],
            "habit": commit.meta["habit"],
            "strength": commit.meta["strength"],
        },
    }
    emit(shown, lines(shown), as_json)


def ordinal_of(lake: Lake, features: Commit, user: str) -> int:
    """Return the ordinal of a person.

    Raises:
        NotFound: nobody of that night has this id.
    """
    for entry in features.files:
        table = lake.read_file(entry, ["user_id", "ordinal"])
        mine = table.filter(pc.equal(table["user_id"], user))
        if mine.num_rows:
            return int(mine["ordinal"][0].as_py())
    raise NotFound(
        f"user_features of {features.partition['ds']} has no such user",
        fix="look up the id; people who arrived later are in a later night",
    )


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


def shrank_to(timezone: str, cohort: str, clusters: Clusters) -> dict[str, Any]:
    """Return the likeliest cluster, how common it is in the timezone, and its best hours."""
    half = CELLS // 2
    zone = int(clusters.rows([timezone])[0])
    name = cohort.rpartition("|")[2]
    if not name.startswith("cluster-"):
        usual = clusters.usual()[zone]
        return {
            "cluster": None,
            "share": None,
            "workday_peak": int(usual[:half].argmax()),
            "day_off_peak": int(usual[half:].argmax()),
        }
    number = int(name.removeprefix("cluster-"))
    return {
        "cluster": number,
        "share": round(float(clusters.share[zone, number]), 4),
        "workday_peak": int(clusters.hours[number, :half].argmax()),
        "day_off_peak": int(clusters.hours[number, half:].argmax()),
    }


def lines(shown: dict[str, Any]) -> list[str]:
    """Return what a person reads."""
    seen, parent, chosen = shown["evidence"], shown["shrank_to"], shown["chosen"]
    top = max(*shown["workday"], *shown["day_off"])
    text = [f"response by local hour ({shown['timezone']}); 1 = the mean of the hours pushes were sent in"]
    text.append(f"hour  {'workday':<{BAR + 6}}  day off")
    for hour, pair in enumerate(zip(shown["workday"], shown["day_off"], strict=True)):
        bars = [f"{value:5.2f} {'█' * round(BAR * value / top):<{BAR}}" for value in pair]
        text.append(f"  {hour:02d}  {bars[0]}  {bars[1]}".rstrip())
    text.append(
        f"evidence: {seen['weighted_pushes']:g} pushes (faded, weighted); in {seen['days']} days "
        f"{seen['active_hours']} active hours on {seen['active_days']} days, {seen['pushes']} pushes, "
        f"{seen['opens']} opens"
    )
    peaks = (
        f"most active at {parent['workday_peak']:02d}:00 on workdays, "
        f"{parent['day_off_peak']:02d}:00 on days off"
    )
    if parent["cluster"] is None:
        text.append(f"shrank to: everybody of the timezone (too few active hours for a cluster), {peaks}")
    else:
        text.append(
            f"shrank to: a mixture of clusters, most of all {parent['cluster']} "
            f"({100 * parent['share']:.0f} % of the timezone's people), {peaks}"
        )
    text.append(f"parameters, chosen by {JUDGES[chosen['by']]}:")
    habit, strength = chosen["habit"], chosen["strength"]
    text += [
        f"  an active hour counts half after {habit['half_life_days']:g} days, and spreads over "
        f"{habit['width_h']:g} hours",
        f"  clusters weigh as {habit['workday']:g} active hours on workdays, {habit['day_off']:g} on days "
        f"off; the two lend each other {100 * habit['coupling']:.0f} %",
        f"  response follows activity to the power {strength['elasticity']:g}; each hour of waiting keeps "
        f"{100 * strength['waiting']:.0f} %; everybody's curve weighs as {strength['opens']:g} opens",
    ]
    return text
