"""`angelia world`: create a simulated population, and answer the messages sent to it.

`create` writes the source datasets and push_history; `respond` reads delivery_ledger and writes push_receipts
and the next day's sources.
"""

from __future__ import annotations

from typing import Annotated

import typer

from angelia.config import load_settings
from angelia.lake.configured import open_lake
from angelia.output import DsOption, JsonFlag, emit, parse_ds, progress

app = typer.Typer(no_args_is_help=True, help="A simulated population with a known truth.")


@app.command()
def create(
    users: Annotated[int, typer.Option(help="People on the last day.")] = 100_000,
    days: Annotated[int, typer.Option(help="Days of events and past pushes.")] = 28,
    seed: Annotated[
        int, typer.Option(help="Seed of the population; the same seed gives the same bytes.")
    ] = 7,
    ds: Annotated[
        str, typer.Option("--ds", metavar="YYYY-MM-DD", help="The last day.", callback=parse_ds)
    ] = "2026-11-14",
    processes: Annotated[
        int, typer.Option(min=1, help="Worker processes; the bytes do not depend on them.")
    ] = 2,
    as_json: JsonFlag = False,
) -> None:
    """Write the sources of a new population: profiles, endpoints, preferences, events, pushes."""
    from angelia.world.clock import day_number
    from angelia.world.create import create_world

    settings = load_settings()
    lake = open_lake(settings=settings)
    made = create_world(
        lake,
        settings.lake_url(),
        users=users,
        days=days,
        seed=seed,
        anchor_day=day_number(ds),
        processes=processes,
        endpoint=settings.s3_endpoint,
        note=progress,
    )
    lines = [f"world: {made['users']} users, {made['days'][0]} to {made['days'][1]}, seed {made['seed']}"]
    lines += [f"  {name}: {rows} rows" for name, rows in made["rows"].items()]
    lines.append(f"  {made['pushes_per_user_day']} pushes a user and day, open rate {made['open_rate']}")
    emit(made, lines, as_json)


@app.command()
def respond(
    ds: DsOption,
    next_day: Annotated[bool, typer.Option(help="Also write the sources of the day after.")] = True,
    processes: Annotated[
        int, typer.Option(min=1, help="Worker processes; the bytes do not depend on them.")
    ] = 2,
    as_json: JsonFlag = False,
) -> None:
    """Answer the messages of plan day D with receipts from the truth.

    A second run changes nothing.
    """
    from angelia.world.respond import respond as answer_plan

    settings = load_settings()
    lake = open_lake(settings=settings)
    done = answer_plan(
        lake,
        settings.lake_url(),
        ds,
        next_day=next_day,
        processes=processes,
        endpoint=settings.s3_endpoint,
        note=progress,
    )
    lines = [f"world: receipts for {ds}: " + ", ".join(f"{kind} {n}" for kind, n in done["receipts"].items())]
    if next_day:
        lines.append(
            f"  {done['next_day']['ds']}: "
            + ", ".join(f"{name} {n} rows" for name, n in done["next_day"]["rows"].items())
        )
    emit(done, lines, as_json)
