"""`angelia plan` and `angelia why`: what a night decided, and why.

Reads decisions; `replay` writes a branch.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from angelia.config import load_settings
from angelia.lake import Lake
from angelia.lake.configured import open_lake
from angelia.output import DsOption, JsonFlag, days_between, emit, parse_ds

NightOption = typer.Option(
    "--ds",
    metavar="YYYY-MM-DD",
    help="The night; default: the newest with a plan.",
    callback=lambda value: parse_ds(value) if value else None,
)

app = typer.Typer(
    no_args_is_help=True, help="A night's joint decision: show, what-if, guard, replay, compare."
)


@app.command("show")
def show(ds: Annotated[str | None, NightOption] = None, as_json: JsonFlag = False) -> None:
    """Show volumes, value, gap, hours against capacity and prices, and reasons for not sending."""
    from angelia.asking import shown

    plan = shown.shown(open_lake(), ds)
    emit(plan.as_dict(), shown.lines(plan), as_json)


@app.command("guard")
def guard_command(ds: DsOption, as_json: JsonFlag = False) -> None:
    """Check the plan against bounds: volumes, audiences, scores, timezones, rendered samples.

    Out of bounds: ten times the median of the last seven nights or a tenth of it, twice the mean score or
    half of it, an empty audience, a message that cannot be rendered. The guard holds back the campaign, or
    the night, until the person in charge decides in Airflow.
    """
    from angelia.planning.guard import guard
    from angelia.planning.verdict import lines

    result = guard(open_lake(), ds)
    emit(result, lines(result), as_json)


@app.command("replay")
def replay_command(
    first: Annotated[str, typer.Option("--from", metavar="YYYY-MM-DD", help="First night (ds).")],
    last: Annotated[str, typer.Option("--to", metavar="YYYY-MM-DD", help="Last night (ds), included.")],
    changes: Annotated[
        str,
        typer.Option(
            "--changes",
            metavar="JSON",
            help="Fields by campaign, or of `policy`; default: no change.",
        ),
    ] = "",
    branch: Annotated[
        str,
        typer.Option(
            "--branch", help="Replay branch to write; default: a name derived from dates and changes."
        ),
    ] = "",
    as_json: JsonFlag = False,
) -> None:
    """Decide past nights again with changed settings, on a branch, and compare.

    Caps, budgets, values and windows can change. Nothing is sent, and main stays as it is.
    """
    from angelia.planning import replay

    days, parsed = days_between(first, last), replay.parse_changes(changes)
    where = _branch(branch or replay.branch_for(days, parsed))
    result = replay.replay(_branch("main"), where, days, parsed)
    emit(
        {"branch": where.branch, "changes": parsed, "days": result},
        [f"branch {where.branch}", *replay.lines(result)],
        as_json,
    )


@app.command("compare")
def compare_command(
    ds: DsOption,
    branch: Annotated[str, typer.Option("--branch", help="Replay branch to compare with main.")],
    as_json: JsonFlag = False,
) -> None:
    """Compare a replay's plan of a night with main's: messages, people, value and gap."""
    from angelia.planning import replay

    result = replay.compare(_branch("main"), _branch(branch), ds)
    emit(result, replay.lines([result]), as_json)


def _branch(name: str) -> Lake:
    settings = load_settings()
    return open_lake(name, settings)


@app.command("whatif")
def whatif_command(
    ds: Annotated[str | None, NightOption] = None,
    wanted: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A limit to change; may be given many times."),
    ] = None,
    named: Annotated[
        str, typer.Option("--settings", metavar="JSON", help="Limits as a JSON object, beside --set.")
    ] = "",
    kept: Annotated[
        bool, typer.Option("--keep", help="Also keep the answer, which the console shows.")
    ] = False,
    listed: Annotated[
        bool, typer.Option("--list", help="Only list the limits that can be set, with their values.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Solve a night again with other limits and show the difference; the plan stays as it is."""
    from angelia.asking import kept as answers
    from angelia.asking import settings, whatif, whatif_text

    lake = open_lake()
    # The list needs the night's catalog alone, so nothing is solved for it.
    if listed:
        known = whatif.known_settings(lake, ds)
        emit({"settings": [asdict(one) for one in known]}, whatif_text.setting_lines(known), as_json)
        return
    answer = whatif.what_if(lake, ds, settings.parse([*settings.texts_of(named), *(wanted or [])]))
    if kept:
        answers.keep(lake, answer)
    emit(answer.as_dict(), whatif_text.lines(answer), as_json)


def why(
    user: Annotated[str, typer.Option("--user", help="The person's id.")],
    ds: Annotated[str | None, NightOption] = None,
    campaign: Annotated[str | None, typer.Option("--campaign", help="Only this campaign.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Explain why a person got this message, at this time, and not another.

    For every campaign of the night it shows the part of the audience's condition that held or failed, the
    material's score with its features, the hours with worth and price, what was full, and what became of
    the message.
    """
    from angelia.asking import why as asking
    from angelia.asking import why_text
    from models.registry import Registry

    settings = load_settings()
    answer = asking.why(
        open_lake(settings=settings),
        user,
        ds,
        campaign=campaign,
        registry=Registry.configured(settings),
    )
    emit(answer.as_dict(), why_text.lines(answer), as_json)
