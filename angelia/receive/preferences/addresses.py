"""Double opt-in for a mail address that a client gave: a mail, then the person's yes.

Reads the newest catalog and `suppressions`; writes `registered_addresses`. Surprise: the link holds the
address, encrypted, so the yes needs nothing of the intake's database.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from starlette.concurrency import run_in_threadpool

from angelia.catalog.documents import Channel
from angelia.catalog.snapshot import nearest_catalog
from angelia.errors import AngeliaError
from angelia.intake.people.addresses import is_closed
from angelia.intake.people.addresses_api import MailQuestions
from angelia.lake import Lake
from angelia.receive.preferences.links import ADDRESS, Links
from angelia.receive.preferences.mailing import MAILS, TITLE, ConfirmationMails
from angelia.users.addresses import same_address
from angelia.users.registered import addresses_of, register

BODY = "Somebody gave us this address as yours. If that was you, say yes here: {link}"


class AddressQuestions(MailQuestions):
    """Asks people by mail whether an address is theirs."""

    def __init__(self, lake: Lake, secret: str, url: str, clock: Callable[[], datetime]) -> None:
        self._lake, self._url, self._clock = lake, url, clock
        self._links, self._mails = Links(secret), ConfirmationMails(lake, TITLE, BODY)

    def offers(self, channel: str) -> bool:
        """Say whether the newest catalog sends mails through a channel."""
        return self._channel(channel) is not None

    async def ask(self, user: str, channel: str, address: str) -> bool:
        """Mail the question to the address; False = it was not taken."""
        try:
            document = await run_in_threadpool(self._channel, channel)
            if document is None:
                return False
            now = self._clock()
            link = f"{self._url}/confirm?t={self._links.make(ADDRESS, [user, channel, address], now)}"
            return await self._mails.ask(user, document, link, now, address)
        except AngeliaError:
            return False

    def _channel(self, name: str) -> Channel | None:
        catalog = nearest_catalog(self._lake, self._clock().date().isoformat())
        channel = catalog.channels.get(name) if catalog is not None else None
        return channel if channel is not None and channel.enabled and channel.provider in MAILS else None


def take_address(lake: Lake, user: str, channel: str, address: str, *, at: datetime) -> bool:
    """Make an address a person's at their own word; False = it was closed and stays so."""
    if is_closed(lake, user, channel, address):
        return False
    rows = addresses_of(lake, user).to_pylist()
    known = {
        same_address(channel, row["address"])
        for row in rows
        if row["channel"] == channel and row["is_active"]
    }
    if same_address(channel, address) not in known:
        names = ("user_id", "channel", "address", "registered_ts", "is_active")
        register(lake, [dict(zip(names, (user, channel, address, at, True), strict=True))])
    return True
