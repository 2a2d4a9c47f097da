"""The mail of double opt-in, which asks the person to confirm.

Reads the newest `user_endpoints` and `registered_addresses`. Surprise: it goes out by the channel's own
provider, without plan or worker, since a person who refused e-mail must get no other mail; at most one per
person and channel in ten minutes.
"""

from __future__ import annotations

import asyncio
import secrets
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from angelia.catalog.documents import Channel
from angelia.contracts.devices.endpoints import NEWEST_BY
from angelia.delivery.channels import open_provider
from angelia.delivery.channels.base import ACCEPTED, Message, MessageRejected
from angelia.delivery.worker.plan_snapshot import channel_config
from angelia.lake import Lake
from angelia.transport.wire import Answer
from angelia.users.registered import addresses_of

MAILS = frozenset({"smtp", "ses_v2", "mandrill"})  # providers whose channels need a second word
AGAIN = timedelta(minutes=10)
_TIMEOUT_S = 10.0
TITLE, BODY = "Please confirm", "You asked for e-mail from us again. If that was you, say yes here: {link}"


class ConfirmationMails:
    """Asks people by mail, each at most once in ten minutes."""

    def __init__(self, lake: Lake, title: str = TITLE, body: str = BODY) -> None:
        self._lake, self._title, self._body = lake, title, body
        self._asked: dict[tuple[str, str, str | None], datetime] = {}

    async def ask(
        self, user: str, channel: Channel, link: str, now: datetime, given: str | None = None
    ) -> bool:
        """Send the link, to a person's newest address unless one is given.

        False = there is none, or the mail was not taken.
        """
        of = user, channel.id, given
        last = self._asked.get(of)
        if last is not None and now - last < AGAIN:
            return True  # the mail is on its way
        address = given or await asyncio.to_thread(self._address, user, channel.id)
        if address is None:
            return False
        self._asked = {key: at for key, at in self._asked.items() if now - at < AGAIN}
        self._asked[of] = now
        body = self._body.replace("{link}", link)
        message = Message(address, secrets.token_hex(16), self._title, body, None, None, 86_400, True)
        is_sent = await self._send(channel, message)
        if not is_sent:
            del self._asked[of]
        return is_sent

    async def _send(self, channel: Channel, message: Message) -> bool:
        config = channel_config(channel.id, channel.model_dump(), None)
        provider = open_provider(config)
        assert provider.open_transport is not None, "mail does not go over HTTP/2"
        transport = provider.open_transport(config, _TIMEOUT_S)
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def done(_tag: Any, answer: Answer) -> None:
            if not answered.done():
                answered.set_result(answer)

        try:
            header = provider.credentials.current() if provider.credentials else b""
            transport.submit(provider.adapter.build_request(message), header or b"", done, 0)
            answer = await asyncio.wait_for(answered, 2 * _TIMEOUT_S)
        except (TimeoutError, MessageRejected):  # no answer, or an address that takes no mail
            return False
        finally:
            await transport.close()
        return answer.status != 0 and provider.adapter.classify(answer).kind == ACCEPTED

    def _address(self, user: str, channel: str) -> str | None:
        rows = addresses_of(self._lake, user).to_pylist()
        mine = [row for row in rows if row["channel"] == channel and row["is_active"]]
        return str(max(mine, key=itemgetter(*NEWEST_BY))["address"]) if mine else None
