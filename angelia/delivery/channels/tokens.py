"""Authorizations of providers: one that never changes, and one asked for by secret."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
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
from angelia.transport.pooled_http import PooledHttp
from angelia.transport.wire import Answer, Request, Transport

_EARLY_S = 300.0
_TIMEOUT_S = 10.0
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{1,1024}")  # it becomes part of a query as it is


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


class AppToken:
    """An access token that `GET path?…` gives out for some hours; it travels in the query.

    Surprise: both providers that have it give everybody the same token until it ends, so several workers
    asking do not invalidate each other's.
    """

    def __init__(
        self,
        base_url: str,
        path: str,
        secrets: dict[str, str],
        ca_file: Path | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._base, self._ca_file, self._now = base_url, ca_file, now
        self._request = Request(f"{path}?{urlencode(secrets)}".encode(), (), b"")
        self._token: bytes | None = None
        self._refresh_at = 0.0

    def current(self) -> bytes | None:
        """See `Credentials.current`."""
        return self._token if self._now() < self._refresh_at else None

    async def refresh(self, stale: bytes | None) -> None:
        """See `Credentials.refresh`."""
        client = PooledHttp(self._base, _TIMEOUT_S, connections=1, ca_file=self._ca_file)
        try:
            answer = await client.exchange(self._request, b"", "GET")
        finally:
            await client.close()
        document = json_object(answer)
        code, token = document.get("errcode"), document.get("access_token")
        if code and code != -1:
            raise InvalidInput(
                f"the token endpoint refused the app (errcode {str(code)[:16]})",
                fix="check the credentials file",
            )
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise AngeliaError(
                f"the token endpoint gives no token ({answer.detail or f'HTTP {answer.status}'})",
                fix="check the network, then rerun",
            )
        life = document.get("expires_in")
        life_s = float(life) if isinstance(life, int | float) else 7200.0
        self._token, self._refresh_at = token.encode(), self._now() + max(life_s - _EARLY_S, life_s / 2)


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
            f"the agent_id of channel {config.channel} is no number",
            fix="copy it from the application's page",
        )
    url = config.base_url or base_url
    named = {name: str(account[key]) for name, key in secrets.items()}
    return Provider(
        adapter(int(account["agent_id"])),
        url,
        AppToken(url, token_path, named, config.ca_file),
        concurrency=16,
        open_transport=pooled(url, "access_token"),
    )


def pooled(base_url: str, token_parameter: str | None = None) -> Callable[[ChannelConfig, float], Transport]:
    """Return what opens HTTP/1.1 to a base address (`Provider.open_transport`)."""

    def transport(config: ChannelConfig, timeout_s: float) -> Transport:
        return PooledHttp(base_url, timeout_s, ca_file=config.ca_file, token_parameter=token_parameter)

    return transport
