"""Campaigns: where each stands and why, what it says; stopping it, and deciding its canary."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from fastapi import Form, Response

from angelia.catalog.canaries import decide_canary
from angelia.catalog.documents import Campaign
from angelia.catalog.preview import standing as standing_documents
from angelia.catalog.stops import set_stopped
from angelia.catalog.store import CatalogStore, generation_of
from angelia.console import states
from angelia.console.access import Role
from angelia.console.desk import Desk, DeskNow, Page
from angelia.console.dispatch import OUTCOMES
from angelia.console.engine import Engine
from angelia.console.people.person import features_of, id_of, lookup
from angelia.console.phones import Shown, shown
from angelia.contracts.outcomes import DECIDED, SENT
from angelia.delivery.canary.standing import canary_standing
from angelia.errors import InvalidInput, NotFound

PAGE = Page("campaigns", "Campaigns", order=20)
REASON_CHARS = 500
ACTIONS = ("stop", "resume")
CANARY_ACTIONS = {"canary-pass": "pass", "canary-fail": "fail"}


@PAGE.get()
def listing(desk: Desk) -> Response:
    """List all campaigns."""
    lake, store = desk.engine.lake(), desk.engine.store()
    night = states.night_of(desk.engine, lake)
    heads = [head for head in store.heads().values() if isinstance(head.document, Campaign)]
    rows = [states.standing_of(desk.engine, lake, head, night) for head in heads]
    counts = Counter(row.state for row in rows)
    return desk.show("campaigns.html", title="Campaigns", rows=rows, counts=counts, night=night)


@PAGE.get("/{name}")
def campaign(desk: Desk, name: str) -> Response:
    """Show one campaign: where it stands, what it says, its versions."""
    return _show(desk, name)


@PAGE.post("/{name}/for-person", role=Role.VIEWER)
def for_person(desk: Desk, name: str, user: Annotated[str, Form()] = "") -> Response:
    """Show what a campaign says to one person; the audit trail says who looked."""
    lake, store = desk.engine.lake(), desk.engine.store()
    campaign = store.get("campaign", name).document
    assert isinstance(campaign, Campaign)
    mine = lookup(lake, id_of(user))
    assert desk.visitor is not None
    store.record(
        "preview", "person", str(mine.ordinal), actor=desk.visitor.name, at=desk.engine.now(), detail=name
    )
    row = features_of(lake, mine)
    if row is None:
        raise NotFound(
            "the newest features have no row of this person",
            fix="they came later, or were erased; look at the messages of every language",
        )
    return _show(desk, name, shown(standing_documents(store), campaign, row))


def _show(desk: DeskNow, name: str, theirs: list[Shown] | None = None) -> Response:
    """Return a campaign's page, with every message or those of one person."""
    lake, store = desk.engine.lake(), desk.engine.store()
    head = store.get("campaign", name)
    night = states.night_of(desk.engine, lake)
    row = states.standing_of(desk.engine, lake, head, night)
    reasons = states.reasons_of(desk.engine, lake, night.plan).get(name, {}) if night.plan else {}
    dispatch = night.dispatch
    mine = [cell for cell in (dispatch.cells if dispatch else ()) if cell.campaign_id == name]
    return desk.show(
        "campaign.html",
        title=row.campaign.name,
        row=row,
        night=night,
        by_channel=dispatch.by("channel", mine) if dispatch else [],
        by_hour=dispatch.by("send_hour", mine) if dispatch else [],
        outcomes=OUTCOMES,
        reasons=sorted(reasons.items(), key=lambda pair: (pair[0] != SENT, -pair[1])),
        decided=DECIDED,
        paused=states.pauses_of(lake, name),
        canary=canary_standing(lake, name, None, desk.engine.now()),
        messages=_messages(desk.engine, store, row.campaign) if theirs is None else theirs,
        is_of_person=theirs is not None,
        history=list(reversed(store.history("campaign", name))),
        events=[entry for entry in reversed(store.audit("campaign", name)) if entry.version is None],
        reason_chars=REASON_CHARS,
    )


def _messages(engine: Engine, store: CatalogStore, campaign: Campaign) -> list[Shown]:
    """Return what a campaign says; kept until anything in the catalog changes."""
    key = ("shown", str(store.engine.url), generation_of(store.heads()), campaign.id)
    return engine.kept(key, lambda: shown(standing_documents(store), campaign))


@PAGE.post("/{name}/{action}", role=Role.OPERATOR)
def act(
    desk: Desk,
    name: str,
    action: str,
    reason: Annotated[str, Form()] = "",
    channel: Annotated[str, Form()] = "",
) -> Response:
    """Stop or resume a campaign or one channel, or decide its canary.

    Workers see it within ten seconds.
    """
    if action not in (*ACTIONS, *CANARY_ACTIONS):
        raise InvalidInput("a campaign is stopped or resumed", fix="go back, and press one of the buttons")
    words = " ".join(reason.split())
    if not words or len(words) > REASON_CHARS:
        raise InvalidInput(
            f"a reason has 1 to {REASON_CHARS} characters", fix="say why; it is kept in the audit trail"
        )
    assert desk.visitor is not None
    lake, store, now = desk.engine.lake(), desk.engine.store(), desk.engine.now()
    who = desk.visitor.name
    if action in CANARY_ACTIONS:
        standing = canary_standing(lake, name, None, now)
        if standing is None:
            raise InvalidInput("the newest night has no canary of it", fix="go back, and load the page again")
        done = CANARY_ACTIONS[action]
        decide_canary(lake, store, name, standing.ds, done, actor=who, at=now, reason=words)
    else:
        set_stopped(lake, store, name, action, actor=who, at=now, reason=words, channel=channel or None)
    return desk.go(f"/campaigns/{name}")
