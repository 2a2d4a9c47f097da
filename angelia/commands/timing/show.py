"""`angelia timing show`: when a person responds, by what evidence, and what that shrank to.

Reads send_times and user_features of a night, and the person's rows of user_days and user_pushes. Surprise:
the output names nobody; a person is only ever an argument.
"""

from __future__ import annotations

from typing import Annotated, Any

import pyarrow.compute as pc
import typer

from angelia.asking.response_curve import curve_of
from angelia.config import load_settings
from angelia.errors import NotFound
from angelia.lake import Commit, Lake
from angelia.lake.configured import open_lake
from angelia.output import DsOption, JsonFlag, emit
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
    ordinal = ordinal_of(lake, lake.require("user_features", ds=ds), user)
    shard = ordinal >> int(require_index(lake).meta["shard_bits"])
    shown = {"ds": ds, **curve_of(lake, commit, ordinal, shard, load_settings().history_days)}
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
    text.append(f"parameters, chosen on {chosen['on']} by {JUDGES[chosen['by']]}:")
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
