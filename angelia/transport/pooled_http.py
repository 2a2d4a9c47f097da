"""HTTP/1.1 with kept connections, for providers without documented HTTP/2.

httpx carries it. One request is one exchange: no redirects, no proxies, no cookies, no retries. Why httpx:
what decides between *not sent* and *unknown* is whether the head of a request began to leave, which its trace
tells. pyreqwest 0.15.1 calls a connection reset or silent after the request a failed connect, so a lost
answer would be sent again. Surprise: texts of errors hold whole URLs, and with them tokens; only their type
is passed on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import httpx

from angelia.transport.client import tls_context
from angelia.transport.wire import NOT_SENT, UNKNOWN, Answer, Request

ANSWER_LIMIT = 1 << 16
HEADER, QUERY, FORM = "header", "query", "form"


class TokenPlace(NamedTuple):
    """Where in a request the authorization travels, and under which name."""

    where: str = HEADER
    name: str = "authorization"


class PooledHttp:
    """A `Transport` to one base address; `token` is where its authorization travels."""

    def __init__(
        self,
        base_url: str,
        timeout_s: float,
        *,
        connections: int = 32,
        ca_file: Path | None = None,
        token: TokenPlace = TokenPlace(),
        answer_limit: int = ANSWER_LIMIT,
    ) -> None:
        self._base, self._place, self._timeout_s = base_url.rstrip("/"), token, timeout_s
        self._answer_limit = answer_limit
        tls = tls_context(ca_file)
        tls.set_alpn_protocols(["http/1.1"])
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._client = httpx.AsyncClient(
            verify=tls, http2=False, trust_env=False, follow_redirects=False, limits=limits, timeout=timeout_s
        )
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(
        self, request: Request, authorization: bytes, done: Callable[[Any, Answer], None], tag: Any
    ) -> None:
        """See `Transport.submit`."""

        async def run() -> None:
            done(tag, await self.exchange(request, authorization))

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def exchange(self, request: Request, authorization: bytes, method: str = "POST") -> Answer:
        """Send one request and return its answer."""
        path, content = request.path.decode("ascii"), request.body
        headers = [(k.decode(), v.decode("latin-1")) for k, v in (*request.headers, *request.extra)]
        where, name = self._place
        # WeChat, WeCom and DingTalk take the token in the address, OPPO among the fields of its form.
        if authorization and where == QUERY:
            path += f"{'&' if '?' in path else '?'}{name}={quote(authorization, safe='=')}"
        elif authorization and where == FORM:
            content += b"&" * bool(content) + urlencode({name: authorization.decode("latin-1")}).encode()
        elif authorization:
            headers.append((name, authorization.decode("latin-1")))
        begun: list[str] = []

        async def trace(event: str, _: Any) -> None:
            if event.endswith("send_request_headers.started"):
                begun.append(event)

        try:
            async with asyncio.timeout(self._timeout_s):
                call = self._client.stream(
                    method,
                    self._base + path,
                    headers=headers,
                    content=content,
                    extensions={"trace": trace},
                )
                async with call as response:
                    body = b""
                    async for chunk in response.aiter_bytes():
                        body += chunk
                        if len(body) > self._answer_limit:
                            return Answer(0, failure=UNKNOWN, detail="answer too long")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as error:
            # Once a byte of the request may have left, the message may have arrived: that is not sent again.
            return Answer(0, failure=UNKNOWN if begun else NOT_SENT, detail=type(error).__name__)
        pairs = tuple((name.lower(), value) for name, value in response.headers.raw)
        return Answer(response.status_code, body, pairs)

    async def close(self) -> None:
        """See `Transport.close`."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()
