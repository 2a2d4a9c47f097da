"""`angelia catalog canary`: show how a night's canary stands, pass it, or fail it.

Grain: campaign x night. Reads what the worker's guard reads; `--pass` and `--fail` write one entry of the log
canary_choices, which workers see within ten seconds.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from angelia.catalog.canaries import decide_canary
from angelia.catalog.documents import AnyDocument, Campaign
from angelia.catalog.store import CatalogStore
from angelia.commands.canary.actors import ActorOption, actor_name
from angelia.config import load_settings
from angelia.delivery.canary.standing import CanaryStanding, canary_standing
from angelia.errors import InvalidInput
from angelia.lake import Lake
from angelia.lake.configured import open_lake
from angelia.output import JsonFlag, emit, parse_ds


def canary(
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN")],
    is_pass: Annotated[bool, typer.Option("--pass", help="Let the rest of its people follow.")] = False,
    is_fail: Annotated[bool, typer.Option("--fail", help="Withhold what is left of it.")] = False,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; kept in the log.")] = None,
    ds: Annotated[
        str | None,
        typer.Option("--ds", metavar="YYYY-MM-DD", help="Night; default: the newest with manifests."),
    ] = None,
    actor: ActorOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show how a campaign's canary stands; pass it or fail it by hand.

    Workers obey within ten seconds. What they withheld before a pass stays unsent.
    """
    if is_pass and is_fail:
        raise InvalidInput("a canary is passed or failed, not both", fix="give --pass or --fail")
    if reason is not None and not (is_pass or is_fail):
        raise InvalidInput("a reason is for --pass or --fail", fix="add one of them, or leave the reason out")
    lake, now = open_lake(), datetime.now(UTC)
    standing = _standing(lake, campaign, parse_ds(ds) if ds else None, now)
    if is_pass or is_fail:
        store = CatalogStore.open(load_settings().catalog_url())
        action, who = "pass" if is_pass else "fail", actor_name(actor)
        decide_canary(lake, store, campaign, standing.ds, action, actor=who, at=now, reason=reason or "")
        # The answer shows how the canary stands with the choice just written, as workers will read it.
        standing = _standing(lake, campaign, standing.ds, now)
    facts = standing.facts
    lines = [
        f"{campaign}: {standing.line}",
        f"{facts.planned:,} messages planned, {facts.settled:,} settled; of {facts.answered:,} answers "
        f"{facts.rejected:,} were rejections; {facts.refused:,} people unsubscribed or complained, "
        f"{facts.opened:,} opened",
    ]
    state, says = standing.verdict
    emit(
        {"campaign": campaign, "ds": standing.ds, "state": state, "says": says, **asdict(facts)},
        lines,
        as_json,
    )


def canary_lines(document: AnyDocument) -> list[str]:
    """Return how a campaign's newest canary stands, as a comment; nothing without one."""
    if not isinstance(document, Campaign) or document.canary is None:
        return []
    standing = canary_standing(open_lake(), document.id, None, datetime.now(UTC))
    return [] if standing is None else [f"# {standing.line}"]


def _standing(lake: Lake, campaign: str, ds: str | None, now: datetime) -> CanaryStanding:
    standing = canary_standing(lake, campaign, ds, now)
    if standing is None:
        night = f"the night of {ds}" if ds else "the newest night"
        raise InvalidInput(
            f"{campaign} has no canary in {night}",
            fix="write `canary: 2 %` in its document; it holds from the next night on",
        )
    return standing
