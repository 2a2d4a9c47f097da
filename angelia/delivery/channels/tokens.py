"""Authorizations of providers: one that never changes, and one asked for by secret."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from angelia.delivery.channels.base import (
    Adapter,
    ChannelConfig,
    Message,
    MessageRejected,
    Provider,
    load_credentials,
)
from angelia.errors import AngeliaError, InvalidInput
from angelia.transport.gathered import WAIT_S, GatheredHttp, Gatherer
from angelia.transport.pooled_http import ANSWER_LIMIT, QUERY, PooledHttp, TokenPlace
from angelia.transport.wire import Answer, Request, Transport

_EARLY_S = 300.0
_TIMEOUT_S = 10.0
_LIFE_S = 3600.0
_ROW_OF_ANSWER = 512  # bytes; what an answer may say of one row of many
# It becomes part of a query or a header as it is: nothing in it may end either. Honor's are base64 with `=`.
_TOKEN = re.compile(r"[A-Za-z0-9._~=/+-]{1,4096}")


class FixedToken:
    """An authorization header that holds until somebody changes the account."""

    def __init__(self, header: str, what: str) -> None:
        self._header, self._what = header.encode("latin-1"), what

    def current(self) -> bytes | None:
        """See `Credentials.current`."""
        return self._header

    async def refresh(self, stale: bytes | None) -> None:
        """See `Credentials.refresh`. There is no other one.

        Raises:
            AngeliaError: always.
        """
        raise AngeliaError(f"{self._what} refuses the account", fix="check the channel's credentials file")


class SignedToken:
    """A token that an adapter signs on this machine, and keeps until it is `kept_s` old."""

    kept_s: float

    def __init__(self, account: Mapping[str, Any], now: Callable[[], float] = time.time) -> None:
        self._account, self._now = account, now
        self._header: bytes | None = None
        self._made = 0.0

    def current(self) -> bytes | None:
        """See `Credentials.current`."""
        return self._header if 0 <= self._now() - self._made < self.kept_s else None


class Issued(NamedTuple):
    """What a token endpoint's answer holds; `refusal` says that it does not know the app."""

    token: object
    life_s: object
    refusal: object = None


Ask = Callable[[float], tuple[str, Request]]  # Unix time -> method and request: some sign the time
Read = Callable[[dict[str, object]], Issued]


class IssuedToken:
    """An access token that an endpoint gives out for some hours.

    Surprise: every provider here either gives everybody the same token until it ends, or lets several live at
    once, so workers asking do not invalidate each other's.
    """

    def __init__(
        self,
        base_url: str,
        ask: Ask,
        read: Read,
        *,
        prefix: str = "",
        ca_file: Path | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Take how the token is asked for.

        Args:
            base_url: of the endpoint.
            ask: makes the question.
            read: finds the token in the answer's document.
            prefix: stands before the token in the authorization.
            ca_file: authorities to trust instead of the system's.
            now: Unix time.
        """
        self._base, self.ask, self.read = base_url, ask, read
        self._prefix, self._ca_file, self._now = prefix.encode(), ca_file, now
        self._token: bytes | None = None
        self._refresh_at = 0.0

    def current(self) -> bytes | None:
        """See `Credentials.current`."""
        return self._token if self._now() < self._refresh_at else None

    async def refresh(self, stale: bytes | None) -> None:
        """See `Credentials.refresh`."""
        method, request = self.ask(self._now())
        client = PooledHttp(self._base, _TIMEOUT_S, connections=1, ca_file=self._ca_file)
        try:
            answer = await client.exchange(request, b"", method)
        finally:
            await client.close()
        issued = self.read(json_object(answer))
        if issued.refusal:
            raise InvalidInput(
                f"the token endpoint refused the app (errcode {str(issued.refusal)[:32]})",
                fix="check the credentials file",
            )
        token = issued.token
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise AngeliaError(
                f"the token endpoint gives no token ({answer.detail or f'HTTP {answer.status}'})",
                fix="check the network, then rerun",
            )
        life_s = _seconds(issued.life_s)
        self._token = self._prefix + token.encode()
        self._refresh_at = self._now() + max(life_s - _EARLY_S, life_s / 2)


class AppToken(IssuedToken):
    """A token that `GET path?…` gives out for the app's secrets; it travels in the query."""

    def __init__(
        self,
        base_url: str,
        path: str,
        secrets: dict[str, str],
        ca_file: Path | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        request = Request(f"{path}?{urlencode(secrets)}".encode(), (), b"")
        super().__init__(base_url, lambda _: ("GET", request), errcode_token, ca_file=ca_file, now=now)


def errcode_token(document: dict[str, object]) -> Issued:
    """Read the answer of a token endpoint whose failures are an `errcode`; -1 is a busy server."""
    code = document.get("errcode")
    return Issued(document.get("access_token"), document.get("expires_in"), None if code == -1 else code)


def _seconds(life: object) -> float:
    """Return for how long a token holds; an hour if the answer does not say."""
    try:
        given = float(life) if isinstance(life, int | float | str) else _LIFE_S
    except ValueError:
        return _LIFE_S
    return given if 0 < given < math.inf else _LIFE_S


def json_object(answer: Answer) -> dict[str, object]:
    """Return an answer's JSON object; empty where it holds none."""
    try:
        document = json.loads(answer.body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def plain_text(message: Message) -> str:
    """Return title, body and link as lines, for channels whose messages are one text."""
    return "\n".join(part for part in (message.title, message.body, message.link) if part)


def require_id(pattern: re.Pattern[str], address: str) -> str:
    """Return an address of the form a provider gives out.

    Raises:
        MessageRejected: bad_address.
    """
    if not pattern.fullmatch(address):
        raise MessageRejected("bad_address")
    return address


def open_application(
    config: ChannelConfig,
    adapter: Callable[[int], Adapter],
    base_url: str,
    token_path: str,
    secrets: Mapping[str, str],
) -> Provider:
    """Return an application of an organisation that is known by its agent's number.

    Args:
        config: of the channel; its file has `agent_id` and the names in `secrets`.
        adapter: makes the channel's adapter for an agent.
        base_url: the provider's own address; the configuration's comes first.
        token_path: where the token is given out.
        secrets: name in the token's address -> name in the file.

    Raises:
        InvalidInput: the file lacks a name, or the agent's id is no number.
    """
    account = load_credentials(config, (*secrets.values(), "agent_id"))
    if not str(account["agent_id"]).isdecimal():
        raise InvalidInput(
            f"the agent_id of channel {config.channel} is not a number",
            fix="copy it from the application's page",
        )
    url = config.base_url or base_url
    named = {name: str(account[key]) for name, key in secrets.items()}
    return Provider(
        adapter(int(account["agent_id"])),
        url,
        AppToken(url, token_path, named, config.ca_file),
        concurrency=16,
        open_transport=pooled(url, TokenPlace(QUERY, "access_token")),
    )


def pooled(base_url: str, place: TokenPlace | None = None) -> Callable[[ChannelConfig, float], Transport]:
    """Return what opens HTTP/1.1 to a base address (`Provider.open_transport`)."""

    def transport(config: ChannelConfig, timeout_s: float) -> Transport:
        return PooledHttp(base_url, timeout_s, ca_file=config.ca_file, token=place or TokenPlace())

    return transport


def gathered(
    base_url: str, place: TokenPlace, gatherer: Gatherer, most: int, wait_s: float = WAIT_S
) -> Callable[[ChannelConfig, float], Transport]:
    """Return what opens HTTP/1.1 whose requests hold up to `most` rows."""

    def transport(config: ChannelConfig, timeout_s: float) -> Transport:
        # An answer may name each of its rows.
        limit = ANSWER_LIMIT + most * _ROW_OF_ANSWER
        inner = PooledHttp(base_url, timeout_s, ca_file=config.ca_file, token=place, answer_limit=limit)
        return GatheredHttp(inner, gatherer, most, wait_s)

    return transport


def per_request(config: ChannelConfig, account: Mapping[str, Any], most: int, usual: int = 1) -> int:
    """Return how many messages an account's file lets a request have.

    Raises:
        InvalidInput: not a number from 1 to the provider's most.
    """
    given = account.get("per_request", usual)
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= most:
        raise InvalidInput(
            f"per_request of channel {config.channel} is out of range",
            fix=f"write a number from 1 to {most:,}",
        )
    return given


def under_way(most: int) -> int:
    """Return how many rows suit a provider that takes `most` a request: four requests of them."""
    return max(32, 4 * most)
