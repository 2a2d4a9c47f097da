"""`angelia effects experiment`: arms of an imported experiment against its control."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from angelia.commands.effects.mart import connected
from angelia.commands.report import (
    Conversion,
    DayCap,
    Planned,
    comparison,
    comparison_lines,
    require_cap,
    require_conversion,
)
from angelia.contracts.sources import NAME
from angelia.days import parse_day
from angelia.effects.over import PLANNED_NIGHTS, effects, ratios
from angelia.effects.trials.imported import read_experiment
from angelia.errors import GateClosed, InvalidInput
from angelia.lake.configured import open_lake
from angelia.output import JsonFlag, emit


def experiment(
    name: Annotated[str, typer.Option("--name", help="The experiment, as it was imported.")],
    control: Annotated[str, typer.Option("--control", help="The arm that the others are compared with.")],
    until: Annotated[
        str | None,
        typer.Option("--to", metavar="YYYY-MM-DD", help="Last day of events; default: the newest."),
    ] = None,
    control_pct: Annotated[
        float | None,
        typer.Option("--control-pct", help="Share that the control should have; tests the sides' sizes."),
    ] = None,
    conversion: Conversion = "purchase",
    cap: DayCap = None,
    planned: Planned = PLANNED_NIGHTS,
    as_json: JsonFlag = False,
) -> None:
    """Compare the arms of an imported experiment with its control, in conversions and money.

    An alarm about the sides' sizes ends with exit code 2, after the figures.
    """
    require_conversion(conversion)
    for option, value in (("--name", name), ("--control", control)):
        if not re.fullmatch(NAME, value):
            raise InvalidInput(
                f"{option} is not a name", fix=f"give one as it was imported; it matches {NAME}"
            )
    if control_pct is not None and not 0 < control_pct < 100:
        raise InvalidInput("--control-pct is not between 0 and 100", fix="give a share such as 50")
    require_cap(cap)
    with connected() as connection:
        trial = read_experiment(
            connection,
            open_lake(),
            name,
            control,
            conversion=conversion,
            until=parse_day("--to", until).isoformat() if until else None,
            control_pct=control_pct,
            cap=cap,
        )
    panel = trial.panel
    rows, tests = effects(panel, planned), ratios(panel)
    result = {
        "experiment": name,
        "control": control,
        "arms": trial.arms,
        "first_day": panel.nights[0].ds,
        **comparison(panel, rows, tests, conversion, planned),
    }
    shares = ", ".join(f"{arm} {n:,}" for arm, n in trial.arms.items())
    head = f"experiment {name}: arms {shares}; each compared with {control} (below: held out)"
    emit(result, [head, *comparison_lines(panel, rows, tests)], as_json)
    # After the figures: whoever looks for the cause of an alarm needs them.
    alarms = [test.scope for test in tests if test.alarm]
    if alarms:
        raise GateClosed(
            f"{', '.join(alarms)} and {control} are not as large as --control-pct says",
            fix="trust no difference of these arms; look for what loses people on one side",
        )
