"""HTTP/1.1 with kept connections, for providers without documented HTTP/2.

aiohttp carries it. One request is one exchange: no redirects, no proxies, no cookies, no retries of a POST.
Why aiohttp: what decides between *not sent* and *unknown* is whether the head of a request began to leave,
which its trace tells, and it costs the least of what tells it. Surprise: texts of errors hold whole URLs, and
with them tokens; only their type is passed on.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from string import printable
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from angelia.transport.client import tls_context
from angelia.transport.exchanges import Exchanges, log_error
from angelia.transport.wire import NOT_SENT, UNKNOWN, Answer, Done, Request

ANSWER_LIMIT = 1 << 16
_KEPT_S = 4.0  # an idle connection; servers of the field keep theirs for five seconds and more
_AS_IT_STANDS = "".join(letter for letter in printable if letter.isprintable() and letter != " ")
# Adapters name the headers that their provider wants.
_LEFT_OUT = ("accept", "accept-encoding", "content-type")
HEADER, QUERY, FORM = "header", "query", "form"


class TokenPlace(NamedTuple):
    """Where in a request the authorization travels, and under which name."""

    where: str = HEADER
    name: str = "authorization"


class NotPublicError(Exception):
    """A name leads to an address that is not public: what looks names up refuses it."""


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
        keeps: bool = True,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            base_url: what a request's path is added to.
            timeout_s: for a whole exchange.
            connections: at most so many requests are under way; 0 is no limit.
            ca_file: authorities that replace the system's.
            token: where the authorization travels.
            answer_limit: bytes of an answer; 0 leaves its body unread.
            keeps: whether a connection serves other requests, too.
            resolver: what looks names up; None is the system.
        """
        self._base, self._place, self._timeout_s = base_url.rstrip("/"), token, timeout_s
        self._answer_limit, self._connections = answer_limit, connections
        self._keeps, self._resolver = keeps, resolver
        self._tls = tls_context(ca_file)
        self._tls.set_alpn_protocols(["http/1.1"])
        self._session: aiohttp.ClientSession | None = None  # made by the first request: it belongs to a loop
        self._exchanges = Exchanges()

    def submit(self, request: Request, authorization: bytes, done: Done, tag: Any) -> None:
        """See `Transport.submit`."""
        self._exchanges.begin(self.exchange(request, authorization), done, tag)

    async def exchange(self, request: Request, authorization: bytes, method: str = "POST") -> Answer:
        """Send one request and return its answer.

        Raises:
            NotPublicError: what looks names up refuses the address; nothing was sent.
        """
        begun: list[bool] = []
        try:
            url, headers, content = self._written(request, authorization)
            async with asyncio.timeout(self._timeout_s):
                call = self._opened().request(
                    method, url, headers=headers, data=content, allow_redirects=False, trace_request_ctx=begun
                )
                async with call as response:
                    body = b""
                    while self._answer_limit and (chunk := await response.content.readany()):
                        body += chunk
                        if len(body) > self._answer_limit:
                            return Answer(0, failure=UNKNOWN, detail="answer too long")
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            # Once a byte of the request may have left, the message may have arrived: that is not sent again.
            return Answer(0, failure=UNKNOWN if begun else NOT_SENT, detail=type(error).__name__)
        except NotPublicError:
            raise
        except Exception as error:  # noqa: BLE001 - a defect met by one message is its answer, and stops no other
            name = log_error("an exchange", error)
            return Answer(0, failure=UNKNOWN if begun else NOT_SENT, detail=name)
        pairs = tuple((name.lower(), value) for name, value in response.raw_headers)
        return Answer(response.status, body, pairs)

    def _written(self, request: Request, authorization: bytes) -> tuple[URL, list[tuple[str, str]], bytes]:
        """Return a request's address, headers and body, the authorization in its place."""
        path, content = request.path.decode("ascii"), request.body
        headers = [(k.decode(), v.decode()) for k, v in (*request.headers, *request.extra)]
        where, name = self._place
        # WeChat, WeCom and DingTalk take the token in the address, OPPO among the fields of its form.
        if authorization and where == QUERY:
            path += f"{'&' if '?' in path else '?'}{name}={quote(authorization, safe='=')}"
        elif authorization and where == FORM:
            content += b"&" * bool(content) + urlencode({name: authorization.decode("latin-1")}).encode()
        elif authorization:
            headers.append((name, authorization.decode()))
        return URL(self._base + quote(path, safe=_AS_IT_STANDS), encoded=True), headers, content

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_request_headers_sent.append(_note)  # it is called just before the first byte leaves
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    ssl=self._tls,
                    limit=self._connections,
                    force_close=not self._keeps,
                    keepalive_timeout=_KEPT_S if self._keeps else None,
                    resolver=self._resolver,
                    use_dns_cache=self._resolver is None,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=_LEFT_OUT,
                timeout=aiohttp.ClientTimeout(),  # one of its own would end an exchange before ours
                trace_configs=[trace],
            )
        return self._session

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._exchanges.cancel()
        if self._session is not None:
            await self._session.close()


async def _note(_: aiohttp.ClientSession, context: Any, __: aiohttp.TraceRequestHeadersSentParams) -> None:
    context.trace_request_ctx.append(True)
