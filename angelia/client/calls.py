"""Carry the client's requests: keys, time limits, second tries, refusals as exceptions.

Reads and writes the intake's REST interface. A message without an idempotency key gets one before it is
first sent, so that a second try after a lost answer cannot make a second message. Surprise: httpx's own
client would log each URL, and some hold a person's id; so requests go through its transport, which logs none.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from angelia.errors import AngeliaError

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 10.0
_KEY = "idempotency_key"


class IntakeRefused(AngeliaError):
    """The intake's answer is a refusal; `code` stays the same from release to release."""

    def __init__(self, status: int, error: Mapping[str, Any], retry_after_s: float | None) -> None:
        self.status = status
        self.code, self.field, self.reason = (
            str(error.get(name, "")) for name in ("code", "field", "reason")
        )
        self.retry_after_s = retry_after_s
        about = f" ({self.field})" if self.field else ""
        super().__init__(f"the intake refused with {status} {self.code}{about}: {self.reason}")


class IntakeUnreachable(AngeliaError):
    """No answer came; whether the intake kept anything is unknown."""


class Calls:
    """One connection pool to an intake, with one API key; safe to use from several threads."""

    def __init__(
        self,
        address: str,
        key: str,
        *,
        timeout_s: float = 10.0,
        patience_s: float = 60.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take where the intake is and the key it knows this client by.

        Args:
            address: as https://intake.example; redirects and proxies of the environment are not followed.
            timeout_s: for each step of one try: to connect, to write, to read.
            patience_s: no further try begins later than this after the first; 0 = one try.
        """
        self._address, self._key = address.rstrip("/"), key
        self._timeout, self._patience_s, self._sleep = httpx.Timeout(timeout_s), patience_s, sleep
        self._transport = transport if transport is not None else httpx.HTTPTransport()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({httpx.URL(self._address).host})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        repeatable: bool = True,
    ) -> Any:
        """Return the answer's document.

        Args:
            repeatable: the request may be sent again though its first answer was lost.

        Raises:
            IntakeRefused: the intake refused, and trying again does not help or took too long.
            IntakeUnreachable: no answer came.
        """
        request = self._request(method, path, query or {}, body)
        end, wait_s = time.monotonic() + self._patience_s, _FIRST_WAIT_S
        while True:
            refusal: IntakeRefused | None = None
            is_safe = repeatable
            try:
                status, headers, content = self._exchange(request)
            except httpx.TransportError as error:
                problem = type(error).__name__
                # Where there was no connection, nothing was sent.
                is_safe = is_safe or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            else:
                if status < 300:
                    return json.loads(content)
                refusal = _refusal(status, headers, content)
                # 429 took nothing. After any other error it is unknown what was kept.
                is_safe = status == 429 or (repeatable and status == 503)
            # Spread, so that clients which failed together do not come back together.
            pause_s = wait_s * (0.5 + random.random())
            if refusal is not None and refusal.retry_after_s is not None:
                pause_s = max(pause_s, refusal.retry_after_s)
            if is_safe and time.monotonic() + pause_s < end:
                self._sleep(pause_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
                continue
            if refusal is not None:
                raise refusal
            raise IntakeUnreachable(
                f"no answer from the intake ({problem})",
                fix="send the request again with its idempotency key",
            )

    def _request(self, method: str, path: str, query: Mapping[str, Any], body: Any) -> httpx.Request:
        asked = {name: _text(value) for name, value in query.items() if value is not None}
        headers = {"authorization": f"Bearer {self._key}", "accept": "application/json"}
        content = None
        if body is not None:
            content = json.dumps(body, default=_text, allow_nan=False).encode()
            headers["content-type"] = "application/json"
        url = httpx.URL(self._address + path).copy_merge_params(asked)
        kept = {"timeout": self._timeout.as_dict()}
        return httpx.Request(method, url, headers=headers, content=content, extensions=kept)

    def _exchange(self, request: httpx.Request) -> tuple[int, httpx.Headers, bytes]:
        response = self._transport.handle_request(request)
        try:
            return response.status_code, response.headers, response.read()
        finally:
            response.close()


def keyed(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message with an idempotency key: its own, or a new one."""
    return {**message, _KEY: message.get(_KEY) or uuid.uuid4().hex}


def keyed_each(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return messages that have an idempotency key each."""
    return [keyed(message) for message in messages]


def in_path(value: str) -> str:
    """Return a value as a part of a path."""
    return quote(value, safe="")


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a time needs a time zone: datetime.now(UTC), not datetime.now()")
        return value.isoformat()
    if isinstance(value, str | int):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no value of JSON")


def _refusal(status: int, headers: httpx.Headers, content: bytes) -> IntakeRefused:
    try:
        error = json.loads(content)["error"]
    except (ValueError, KeyError, TypeError):
        # Not the intake's words but those of a proxy in front, which may quote the URL.
        error = {"code": "no_json_answer", "reason": "the answer is none of the intake's"}
    after = headers.get("retry-after", "")
    return IntakeRefused(status, error, float(after) if after.isdigit() else None)
