"""`angelia plan` and `angelia why`: what a night decided, and why.

Reads decisions; `replay` writes a branch.
"""

from __future__ import annotations

from typing import Annotated, Any

import pyarrow.compute as pc
import typer

from angelia.config import load_settings
from angelia.contracts.certificate import limits_of
from angelia.contracts.outcomes import DECIDED, SENT
from angelia.errors import NotFound
from angelia.lake import Commit, Lake
from angelia.lake.configured import open_lake
from angelia.output import DsOption, JsonFlag, days_between, emit
from angelia.planning.guard import guard
from angelia.planning.verdict import lines

app = typer.Typer(no_args_is_help=True, help="A night's joint decision: show, guard, replay, compare.")


def _certificate(commit: Commit) -> dict[str, Any]:
    meta = commit.meta
    names = (
        "outcomes",
        "primal_micros",
        "bound_micros",
        "gap_pct",
        "n_explore",
        "by_campaign",
        "by_hour",
        "constraints",
        "start",
        "hours_passed",
    )
    return {"commit": commit.ref, **{name: meta[name] for name in names}}


@app.command("show")
def show(ds: DsOption, as_json: JsonFlag = False) -> None:
    """Show volumes, value, gap, scarce hours with their prices, and reasons for not sending."""
    shown = _certificate(open_lake().require("decisions", ds=ds))
    total = sum(shown["outcomes"].values())
    width = max(map(len, shown["outcomes"]), default=0)
    lines = [f"{shown['commit']}: 24 hours from {shown['start']}, {total:,} considered pairs"]
    lines += [
        f"  {name:<{width}}  {count:>12,}  {DECIDED.get(name, '')}"
        for name, count in sorted(shown["outcomes"].items(), key=lambda kv: -kv[1])
    ]
    value, bound = shown["primal_micros"] / 1e6, shown["bound_micros"] / 1e6
    lines.append(
        f"value {value:,.2f} of at most {bound:,.2f}: gap {shown['gap_pct']} %; "
        f"{shown['n_explore']:,} exploration messages beside it"
    )
    lines += [
        f"  {name}: {count:,}" for name, count in sorted(shown["by_campaign"].items(), key=lambda kv: -kv[1])
    ]
    priced = [limit for limit in limits_of(shown) if limit.price_micros]
    lines += [
        (
            f"  scarce: {limit.label}: {limit.used:,} of {limit.capacity:,} used, price "
            f"{limit.price_micros / 1e6:.4f}"
        )
        for limit in priced
    ]
    emit(shown, lines, as_json)


@app.command("guard")
def guard_command(ds: DsOption, as_json: JsonFlag = False) -> None:
    """Check the plan against bounds: volumes, audiences, scores, timezones, rendered samples.

    Out of bounds: ten times the median of the last seven nights or a tenth of it, twice the mean score or
    half of it, an empty audience, a message that cannot be rendered. The guard holds back the campaign, or
    the night, until the person in charge decides in Airflow.
    """
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

    Example: angelia plan replay --from 2026-11-10 --to 2026-11-12 --changes '{"price_drop": {"caps":
        [{"messages": 1, "days": 7}]}}'
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


def why(
    ds: DsOption,
    user: Annotated[str, typer.Option("--user", help="The person's id.")],
    campaign: Annotated[str | None, typer.Option("--campaign", help="Only this campaign.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Explain why a person got this message, at this time, and not another.

    Lists every campaign that considered the person, and its outcome.
    """
    lake = open_lake()
    commit = lake.require("decisions", ds=ds)
    choices: list[dict[str, Any]] = []
    for entry in commit.files:
        table = lake.read_file(entry, ["user_id", "choices"])
        mine = table.filter(pc.equal(table["user_id"], user))
        if mine.num_rows:
            choices = mine["choices"][0].as_py()
            break
    else:
        raise NotFound(
            f"no audience of {ds} names this user",
            fix="look up the id, and the audiences with `angelia audience explain`",
        )
    wanted = [choice for choice in choices if campaign in (None, choice["campaign_id"])]
    if not wanted:
        raise NotFound(
            f"campaign {campaign} did not consider this user on {ds}",
            fix="its audience does not contain them, or it did not run",
        )
    lines = []
    for choice in sorted(wanted, key=lambda one: (one["outcome"] != SENT, one["campaign_id"])):
        chance = (
            f"p(open) {choice['p_open']:.3f}, material {choice['material_id']}"
            if choice["material_id"]
            else "no material"
        )
        if choice["outcome"] == SENT:
            worth, price = choice["value_micros"] / 1e6, choice["price_micros"] / 1e6
            drawn = (
                ", slot drawn for exploration"
                if choice["is_explore"]
                else f", worth {worth:.4f} against a price of {price:.4f}"
            )
            lines.append(
                f"{choice['campaign_id']}: sent by {choice['channel']} at "
                f"{choice['slot']:%Y-%m-%d %H:00} UTC; {chance}{drawn}"
            )
        else:
            lines.append(
                f"{choice['campaign_id']}: {choice['outcome']}: "
                f"{DECIDED.get(choice['outcome'], '')}; {chance}"
            )
    emit({"ds": ds, "choices": wanted}, lines, as_json)
