"""People: one person looked up by their id, and closed, opened or erased on their wish.

Every look-up stands in the audit trail, under the person's number in the index and never their id. Surprise:
an id is always sent as a form, and no answer leads to an address that holds it, since Airflow and proxies
write addresses into their logs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, Any, NamedTuple
from zoneinfo import ZoneInfo

from fastapi import Form, Response

from angelia.asking.night import planned_nights
from angelia.asking.records import Why
from angelia.console.access import Role
from angelia.console.desk import Desk, DeskNow, Page
from angelia.console.people.erasing import Erasure, Erasures
from angelia.console.people.nights import Nights
from angelia.console.people.person import id_of, lookup, person_of
from angelia.contracts.outcomes import LEDGER
from angelia.contracts.sources import CHANNELS
from angelia.drawing.charts import Series, lines
from angelia.drawing.page import legend
from angelia.errors import AngeliaError, InvalidInput, NotFound, without_addresses
from angelia.lake import Lake
from angelia.users.one_person import Footers, PersonLake
from angelia.users.suppressions import close_person, open_person
from models.registry import Registry

PAGE = Page("people", "People", order=50)
REASON_CHARS = 500
FATES = {
    "held_back": "the guard held it back",
    "not_emitted": "not in the manifests",
    "not_sent_yet": "not sent yet",
    **LEDGER,
}


class PersonAsked(NamedTuple):
    """Whom a wish is about, and why it is granted."""

    user: str
    person: PersonLake
    reason: str


class Wish(NamedTuple):
    """One of a person's wishes: its name in the trail, and what the page says of it."""

    action: str
    terms: str
    done: str
    then: str
    already: str


OBEYED = "Workers obey within ten seconds."
CLOSE = Wish("suppress", "", "Suppressed", OBEYED, "suppressed already")
CLOSE_FOR_GOOD = CLOSE._replace(terms=", for good")
OPEN = Wish("open", "", "Open again", "The next night plans for them.", "open already")


class Logs:
    """A lake whose logs are read once; let go when somebody was erased, since it remembers ids."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n = -1
        self._lake: Lake | None = None

    def of(self, lake: Lake) -> Lake:
        """Return the lake that remembers."""
        n = lake.erasures()
        with self._lock:
            if self._lake is None or self._n != n:
                self._lake, self._n = lake, n
            return self._lake


@PAGE.get()
def form(desk: Desk) -> Response:
    """Ask for an id."""
    return _empty(desk)


@PAGE.post(role=Role.VIEWER)
def person(desk: Desk, user: Annotated[str, Form()] = "", ds: Annotated[str, Form()] = "") -> Response:
    """Show one person; the audit trail says who looked."""
    user = id_of(user)
    try:
        mine = _lookup(desk, user)
    except NotFound as error:
        _audit(desk, "look up", "nobody", None)
        return _empty(desk, error=error, user=user)
    _audit(desk, "look up", str(mine.ordinal), None)
    return _show(desk, user, mine, ds)


@PAGE.post("/close", role=Role.OPERATOR)
def close(
    desk: Desk,
    user: Annotated[str, Form()] = "",
    channel: Annotated[str, Form()] = "",
    how: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Suppress a person, on their wish or for good."""
    if how not in ("until", "good"):
        raise InvalidInput("say whether it can be opened again", fix="go back, and choose one of the two")
    act = partial(close_person, for_good=how == "good")
    return _wish(desk, _asked(desk, user, reason), channel, CLOSE_FOR_GOOD if how == "good" else CLOSE, act)


@PAGE.post("/open", role=Role.OPERATOR)
def open_(
    desk: Desk,
    user: Annotated[str, Form()] = "",
    channel: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Open what an unsubscription closed."""
    return _wish(desk, _asked(desk, user, reason), channel, OPEN, open_person)


@PAGE.post("/erase", role=Role.OPERATOR)
def erase(
    desk: Desk,
    user: Annotated[str, Form()] = "",
    again: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Begin to erase a person, once the id was typed again."""
    asked = _asked(desk, user, reason)
    user = asked.user
    if again.strip() != user:
        raise InvalidInput(
            "the id typed again is another; nobody was erased", fix="go back, and type the person's id again"
        )
    assert desk.visitor is not None
    actor, number, engine = desk.visitor.name, str(asked.person.ordinal), desk.engine
    store = engine.store()
    # Closed at once: the process looks through the whole lake before it would.
    close_person(engine.lake(), user, None, for_good=True, at=engine.now())
    _audit(desk, "erase", number, f"begun: {asked.reason}")

    def ended(erasure: Erasure) -> None:
        detail = f"{erasure.state}: {erasure.says}"
        store.record("erase", "person", number, actor=actor, at=engine.now(), detail=detail)

    _erasures(desk).begin(user, actor, engine.now(), ended)
    return desk.go("/people")


def _wish(desk: DeskNow, asked: PersonAsked, channel: str, wish: Wish, act: Callable[..., bool]) -> Response:
    """Close or open a person as they wish; the trail keeps it where it changed anything."""
    if channel and channel not in CHANNELS:
        raise InvalidInput("there is no such channel", fix="go back, and choose one of the list")
    where = channel or "all channels"
    changed = act(desk.engine.lake(), asked.user, channel or None, at=desk.engine.now())
    if changed:
        _audit(desk, wish.action, str(asked.person.ordinal), f"{where}{wish.terms}: {asked.reason}")
    says = f"{wish.done}: {where}. {wish.then}" if changed else f"{where}: {wish.already}."
    return _show(desk, asked.user, asked.person, "", says)


def _asked(desk: DeskNow, user: str, reason: str) -> PersonAsked:
    """Return who is asked about, and the reason as the trail may keep it."""
    words = " ".join(reason.split())
    if not words or len(words) > REASON_CHARS:
        raise InvalidInput(
            f"a reason has 1 to {REASON_CHARS} characters", fix="say why; it is kept in the audit trail"
        )
    user = id_of(user)
    # Whoever pastes the id or an address into the reason would keep it beyond an erasure.
    return PersonAsked(user, _lookup(desk, user), without_addresses(words.replace(user, "…")))


def _lookup(desk: DeskNow, user: str) -> PersonLake:
    lake = desk.engine.lake()
    return lookup(lake, user, desk.engine.kept(("footers", lake.store.url), Footers))


def _audit(desk: DeskNow, action: str, number: str, detail: str | None) -> None:
    assert desk.visitor is not None
    actor, at = desk.visitor.name, desk.engine.now()
    desk.engine.store().record(action, "person", number, actor=actor, at=at, detail=detail)


def _erasures(desk: DeskNow) -> Erasures:
    return desk.engine.kept(("erasures", desk.engine.lake().store.url), Erasures)


def _empty(desk: DeskNow, error: AngeliaError | None = None, user: str = "") -> Response:
    return desk.show(
        "people.html",
        status=404 if error else 200,
        title="People",
        user=user,
        error=error,
        erasures=_erasures(desk).begun,
    )


def _show(desk: DeskNow, user: str, mine: PersonLake, ds: str, says: str = "") -> Response:
    engine, lake = desk.engine, desk.engine.lake()
    logs = engine.kept(("logs", lake.store.url), Logs).of(lake)
    person = person_of(lake, logs, mine, user, _kept_nights(desk).openings)
    if ds and ds not in planned_nights(lake):
        raise InvalidInput("this night has no plan", fix="choose one of the nights shown")
    # Taken apart only where it is asked for: that costs as much as all the rest.
    answer, problem = _why(desk, lake, mine, user, ds) if ds else (None, "")
    # The night has put a known zone in the place of one that does not exist.
    zone = ZoneInfo(person.timezone) if person.timezone else None

    def local(moment: datetime | None) -> str:
        return f"{moment.astimezone(zone):%a %H:%M}" if moment and zone else ""

    return desk.show(
        "person.html",
        title="One person",
        user=user,
        person=person,
        says=says,
        answer=answer,
        problem=problem,
        chart=_chart(person.curve) if person.curve else "",
        key=legend([("s2", "workday"), ("s3", "day off")]),
        local=local,
        fates=FATES,
        channels=CHANNELS,
        reason_chars=REASON_CHARS,
    )


def _kept_nights(desk: DeskNow) -> Nights:
    return desk.engine.kept(("nights", desk.engine.lake().store.url), Nights)


def _why(desk: DeskNow, lake: Lake, mine: PersonLake, user: str, ds: str) -> tuple[Why | None, str]:
    """Return one night in full, or why it cannot be explained."""
    try:
        return _kept_nights(desk).why(lake, user, ds, mine, Registry.configured(desk.engine.settings)), ""
    except AngeliaError as error:
        return None, error.one_line()


def _chart(curve: Mapping[str, Any]) -> str:
    series = [Series("workday", curve["workday"], "s2"), Series("day off", curve["day_off"], "s3")]
    labels = [f"{hour:02d}" for hour in range(24)]
    return lines(labels, series, f"Response by local hour in {curve['timezone']}; 1 is the mean hour")
