"""People: one person looked up by their id, and closed, opened or erased on their wish.

Every look-up stands in the audit trail, under the person's number in the index and never their id. Surprise:
an id is always sent as a form, and no answer leads to an address that holds it, since Airflow and proxies
write addresses into their logs.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import Form, Response

from angelia.asking.night import planned_nights
from angelia.asking.records import Why
from angelia.asking.why import why
from angelia.console.access import Role
from angelia.console.desk import Desk, DeskNow, Page
from angelia.console.people.erasing import Erasure, Erasures
from angelia.console.people.person import ID_CHARS_AT_MOST, lookup, person_of
from angelia.contracts.outcomes import LEDGER
from angelia.contracts.sources import CHANNELS
from angelia.drawing.charts import Series, lines
from angelia.drawing.page import legend
from angelia.errors import AngeliaError, InvalidInput, NotFound, without_addresses
from angelia.lake import Lake
from angelia.users.one_person import PersonLake
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


class Logs:
    """A lake whose logs are read once; let go when somebody was erased, since it remembers ids."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n = -1
        self._lake: Lake | None = None

    def of(self, lake: Lake) -> Lake:
        """Return the lake that remembers."""
        n = len(list(lake.store.children("erasures")))
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
    user = _id(user)
    try:
        mine = lookup(desk.engine.lake(), user)
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
    user, mine, words = _asked(desk, user, reason)
    lake, for_good = desk.engine.lake(), how == "good"
    changed = close_person(lake, user, channel or None, for_good=for_good, at=desk.engine.now())
    where = channel or "all channels"
    if changed:
        _audit(desk, "suppress", str(mine.ordinal), f"{where}{', for good' if for_good else ''}: {words}")
    says = f"Closed: {where}. Workers obey within ten seconds." if changed else f"{where}: closed already."
    return _show(desk, user, mine, "", says)


@PAGE.post("/open", role=Role.OPERATOR)
def open_(
    desk: Desk,
    user: Annotated[str, Form()] = "",
    channel: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Open what an unsubscription closed."""
    user, mine, words = _asked(desk, user, reason)
    changed = open_person(desk.engine.lake(), user, channel or None, at=desk.engine.now())
    where = channel or "all channels"
    if changed:
        _audit(desk, "open", str(mine.ordinal), f"{where}: {words}")
    says = f"Open again: {where}. The next night plans for them." if changed else f"{where}: open already."
    return _show(desk, user, mine, "", says)


@PAGE.post("/erase", role=Role.OPERATOR)
def erase(
    desk: Desk,
    user: Annotated[str, Form()] = "",
    again: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Begin to erase a person, once the id was typed again."""
    user, mine, words = _asked(desk, user, reason)
    if again.strip() != user:
        raise InvalidInput(
            "the id typed again is another; nobody was erased", fix="go back, and type the person's id again"
        )
    assert desk.visitor is not None
    actor, number, engine = desk.visitor.name, str(mine.ordinal), desk.engine
    store = engine.store()
    # Closed at once: the process looks through the whole lake before it would.
    close_person(engine.lake(), user, None, for_good=True, at=engine.now())
    _audit(desk, "erase", number, f"begun: {words}")

    def ended(erasure: Erasure) -> None:
        detail = f"{erasure.state}: {erasure.says}"
        store.record("erase", "person", number, actor=actor, at=engine.now(), detail=detail)

    _erasures(desk).begin(user, actor, engine.now(), ended)
    return desk.go("/people")


def _asked(desk: DeskNow, user: str, reason: str) -> tuple[str, PersonLake, str]:
    """Return the id, the person, and the reason as the trail may keep it."""
    words = " ".join(reason.split())
    if not words or len(words) > REASON_CHARS:
        raise InvalidInput(
            f"a reason has 1 to {REASON_CHARS} characters", fix="say why; it is kept in the audit trail"
        )
    user = _id(user)
    # Whoever pastes the id or an address into the reason would keep it beyond an erasure.
    return user, lookup(desk.engine.lake(), user), without_addresses(words.replace(user, "…"))


def _id(user: str) -> str:
    user = user.strip()
    if not user or len(user) > ID_CHARS_AT_MOST:
        raise InvalidInput("there is no id", fix="type the person's id as the sources write it")
    return user


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
    person = person_of(lake, logs, mine, user)
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


def _why(desk: DeskNow, lake: Lake, mine: PersonLake, user: str, ds: str) -> tuple[Why | None, str]:
    """Return one night in full, or why it cannot be explained."""
    try:
        registry = Registry.configured(desk.engine.settings)
        return why(lake, user, ds, registry=registry, person=mine), ""
    except AngeliaError as error:
        return None, error.one_line()


def _chart(curve: Mapping[str, Any]) -> str:
    series = [Series("workday", curve["workday"], "s2"), Series("day off", curve["day_off"], "s3")]
    labels = [f"{hour:02d}" for hour in range(24)]
    return lines(labels, series, f"Response by local hour in {curve['timezone']}; 1 is the mean hour")
