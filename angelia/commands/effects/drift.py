"""`angelia effects drift`: which features and scores have moved since another night.

Reads user_features and material_scores of two nights; writes nothing.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from angelia.effects.drift.stability import ALARM, LOOK, compare_nights
from angelia.errors import GateClosed, InvalidInput
from angelia.lake.configured import open_lake
from angelia.output import DsOption, JsonFlag, emit, parse_ds, percent


def drift(
    ds: DsOption,
    against: Annotated[
        str, typer.Option("--against", metavar="YYYY-MM-DD", help="The night to compare with.")
    ],
    look: Annotated[float, typer.Option("--look", min=0, help="Index from which a column is shown.")] = LOOK,
    alarm: Annotated[float, typer.Option("--alarm", min=0, help="Index that raises an alarm.")] = ALARM,
    as_json: JsonFlag = False,
) -> None:
    """Compare a night's features and scores with another's by the population stability index.

    An alarm ends with exit code 2, after the figures.
    """
    if alarm < look:
        raise InvalidInput("--alarm is below --look", fix="give an index at least as high")
    before = parse_ds(against)
    shifts, left_out = compare_nights(open_lake(), before, ds)
    alarms = [f"{shift.dataset}.{shift.column}" for shift in shifts if shift.psi >= alarm]
    result = {
        "ds": ds,
        "against": before,
        "look": look,
        "alarm": alarm,
        "columns": [dataclasses.asdict(shift) for shift in shifts],
        "alarms": alarms,
        "left_out": left_out,
    }
    shown = [shift for shift in shifts if shift.psi >= look]
    lines = [
        f"{shift.dataset}.{shift.column}  PSI {shift.psi:.3f}  null {percent(shift.null_before_pct)} -> "
        f"{percent(shift.null_after_pct)}" + ("  ALARM" if shift.psi >= alarm else "")
        for shift in shown
    ]
    lines.append(f"{len(shifts) - len(shown)} of {len(shifts)} columns are below {look:g}")
    lines += [f"left out: {reason}" for reason in left_out]
    emit(result, lines, as_json)
    # Raised only here, after the figures are out: a night that alarms is the one to be looked at.
    if alarms:
        raise GateClosed(
            f"{', '.join(alarms)} moved by {alarm:g} or more since {before}",
            fix="look at the sources of these columns; train again if the change is here to stay",
        )
