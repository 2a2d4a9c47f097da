"""The preferences page over HTTP.

`POST /preferences/link` (a person's token, as for the inbox) makes a link; `GET /preferences?t=…` shows what
the person takes, `POST /preferences` keeps it; `/preferences/confirm` is where the mail of double opt-in
leads. Surprises: a GET changes nothing, for mail scanners follow links; an e-mail channel that was refused
opens only by the link mailed to it, so nobody else can open it; RFC 8058's one click stays at `/unsubscribe`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from angelia.catalog.snapshot import Catalog, nearest_catalog
from angelia.errors import AngeliaError, NotFound
from angelia.lake import Lake
from angelia.receive.inbox.tokens import person_of
from angelia.receive.preferences.addresses import take_address
from angelia.receive.preferences.links import ADDRESS, CONFIRM, PAGE, Links
from angelia.receive.preferences.mailing import MAILS, ConfirmationMails
from angelia.receive.preferences.page import OwnChoices, plain_name, render
from angelia.timing.own_hours import parse_span
from angelia.users.choices import (
    CHOICES,
    LANGUAGE,
    Choice,
    changed,
    choose,
    chosen,
    openness,
    words_of,
)
from angelia.users.person_log import PersonLog
from angelia.users.since_plan.new_choices import QUIET_HOURS


@dataclass(frozen=True)
class PreferencesTrust:
    """The secret of links, the one of people's tokens, and where the page is."""

    secret: str
    person_secret: str
    url: str


class Preferences:
    """What the page shows and keeps.

    All methods but `ask` read or write the lake: call them in a thread.
    """

    def __init__(self, lake: Lake, trust: PreferencesTrust) -> None:
        self._lake, self._trust = lake, trust
        self._links, self._mails = Links(trust.secret), ConfirmationMails(lake)
        self._choices, self._suppressions = PersonLog(lake, CHOICES), PersonLog(lake, "suppressions")

    def link_for(self, authorization: str, now: datetime) -> str | None:
        """Return the address of a person's page, None without their token."""
        person = person_of(authorization, self._trust.person_secret, now)
        return None if person is None else f"{self._trust.url}?t={self._links.make(PAGE, [person], now)}"

    def person(self, token: str, now: datetime) -> str | None:
        """Return whose page a link's token opens."""
        words = self._links.open(PAGE, token, now)
        return words[0] if words else None

    def show(self, user: str, token: str, now: datetime, notes: tuple[str, ...] = ()) -> str:
        """Return a person's page."""
        words = words_of(self._lake, user, self._choices)
        own, catalog = self._own(now, words), self._catalog(now)

        def title(kind: str, name: str) -> str:
            return title_of(catalog, kind, name, own.language)

        return render(token, self._rows(user, now, words), notes, own=own, title=title)

    def keep(self, user: str, body: bytes, now: datetime) -> tuple[list[str], tuple[str, ...]]:
        """Keep what a form says; return channels to be confirmed by mail, and notes for the page.

        Raises:
            ValueError: it is no such form.
        """
        fields = fields_of_form(body)
        words = words_of(self._lake, user, self._choices)
        news: dict[Choice, bool] = {}
        for kind, names in self._rows(user, now, words).items():
            for name, was in names.items():
                if (f"{kind}.{name}" in fields) is not was:
                    news[kind, name] = not was
        language = fields.get("language")
        # A form of an older page has no such field, and says nothing about it.
        if language is not None and language in ("", *self._own(now, words).languages):
            news |= changed(words, LANGUAGE, language or None)
        hours = f"{fields.get('quiet_from', '')}-{fields.get('quiet_until', '')}"
        problems: tuple[str, ...] = ()
        if hours == "-" and "quiet_from" in fields:
            news |= changed(words, QUIET_HOURS, None)
        elif parse_span(hours):
            news |= changed(words, QUIET_HOURS, hours)
        elif "quiet_from" in fields:
            problems = ("Quiet hours need two hours that differ: from and until.",)
        catalog = self._catalog(now)
        asked = [
            name
            for (kind, name), is_yes in news.items()
            if kind == "channel" and is_yes and catalog.channels[name].provider in MAILS
        ]
        for name in asked:
            del news["channel", name]
        refused = choose(self._lake, user, news, now)
        language = fields.get("language", chosen(words, LANGUAGE))
        notes = tuple(
            f"{title_of(catalog, kind, name, language)} was closed for good and stays closed."
            for kind, name in sorted(refused)
        )
        # Who changed nothing learns that their choices stand, too; a question by mail has its own note.
        is_kept = bool(news) or not (problems or asked)
        return asked, ((("Kept.",) if is_kept else ()) + problems + notes)

    async def ask(self, user: str, channel: str, now: datetime) -> str:
        """Ask by mail whether a channel may be opened; return a note for the page."""
        link = f"{self._trust.url}/confirm?t={self._links.make(CONFIRM, [user, channel], now)}"
        document = self._catalog(now).channels[channel]
        name = await asyncio.to_thread(self._called, user, channel, now)
        try:
            is_sent = await self._mails.ask(user, document, link, now)
        except AngeliaError:
            is_sent = False
        return (
            f"{name}: please say yes in the mail we sent." if is_sent else f"{name}: no mail could be sent."
        )

    def question(self, token: str, now: datetime) -> str | None:
        """Return the page that asks to confirm, None if the link has expired."""
        if self._links.open(ADDRESS, token, now):
            return render(token, question="Shall we write to you at the address this mail went to?")
        words = self._links.open(CONFIRM, token, now)
        if words is None:
            return None
        name = self._called(words[0], words[1], now)
        return render(token, question=f"Shall we write to you by {name} again?")

    def confirm(self, token: str, now: datetime) -> str | None:
        """Open the channel, or take the address, of a mailed link; None if the link has expired."""
        if words := self._links.open(ADDRESS, token, now):
            is_taken = take_address(self._lake, *words, at=now)
            return render(notes=("Kept.",) if is_taken else ("It was closed for good and stays closed.",))
        words = self._links.open(CONFIRM, token, now)
        if words is None:
            return None
        refused = choose(self._lake, words[0], {("channel", words[1]): True}, now)
        return render(notes=("It was closed for good and stays closed.",) if refused else ("Kept.",))

    def _catalog(self, now: datetime) -> Catalog:
        catalog = nearest_catalog(self._lake, now.date().isoformat())
        if catalog is None:
            raise NotFound(
                "no night has taken a catalog yet", fix="run a night, or `angelia catalog snapshot`"
            )
        return catalog

    def _called(self, user: str, channel: str, now: datetime) -> str:
        """Return what a person reads for a channel."""
        language = chosen(words_of(self._lake, user, self._choices), LANGUAGE)
        return title_of(self._catalog(now), "channel", channel, language)

    def _own(self, now: datetime, words: Mapping[Choice, bool]) -> OwnChoices:
        """Return the languages of templates, and a person's own language and hours."""
        templates = self._catalog(now).templates.values()
        languages = tuple(sorted({name for template in templates for name in template.variants}))
        quiet = parse_span(chosen(words, QUIET_HOURS) or "") or (None, None)
        return OwnChoices(languages, chosen(words, LANGUAGE), quiet)

    def _rows(self, user: str, now: datetime, words: Mapping[Choice, bool]) -> dict[str, dict[str, bool]]:
        catalog = self._catalog(now)
        topics = sorted({campaign.topic for campaign in catalog.campaigns.values()})
        channels = [name for name, channel in catalog.channels.items() if channel.enabled]
        return {
            "topic": {name: words.get(("topic", name), True) for name in topics},
            "channel": openness(self._lake, user, channels, words, self._suppressions),
        }


def title_of(catalog: Catalog, kind: str, name: str, language: str | None) -> str:
    """Return what people read for a topic or channel.

    That is its title, or its id where the catalog has none. The title is in the person's own language, else
    in the page's (English), else in the first that is given.
    """
    if kind == "channel":
        titles = catalog.channels[name].titles if name in catalog.channels else None
    else:
        titles = (catalog.policy.topics or {}).get(name)
    if not titles:
        return plain_name(kind, name)
    return titles.get(language or "") or titles.get("en") or next(iter(titles.values()))


def fields_of_form(body: bytes) -> dict[str, Any]:
    """Return the fields of a form, the last of each name. Raises: ValueError."""
    return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=500))
