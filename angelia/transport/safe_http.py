"""HTTP to addresses that outsiders supplied: https only, and only to public addresses.

A name is looked up once, and the connection goes to exactly the address that was checked. No redirects, no
proxies, no cookies, at most 64 KiB of an answer, one total time limit. A name that resolves to anything that
is not public on the internet (private, loopback, link-local, shared, mapped, multicast …) is refused whole:
one bad address among good ones is an attack.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from angelia.transport.client import tls_context
from angelia.transport.wire import NOT_SENT, UNKNOWN, Answer, Request
from angelia.users.addresses import ascii_url

REFUSED_ADDRESS = "address_refused"
PORTS = (443, 8443)
_ANSWER_LIMIT = 1 << 16
_HOST = re.compile(
    r"(?=.{1,253}$)([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?"
)
_PRINTABLE = re.compile(r"[\x21-\x7e]{1,2048}")
# Of IPv6 only global unicast is public: mapped, translated and old compatible addresses are outside it. What
# releases of Python do not know yet is spelled out. Source: IANA special-purpose address registries for IPv4
# and IPv6, written down 2026-11-21.
_UNICAST_6 = ipaddress.ip_network("2000::/3")
_SPECIAL = tuple(
    map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2001:db8::/32", "3fff::/20"))
)
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class Url(NamedTuple):
    """The parts of an address that may be called."""

    host: str
    port: int
    target: str


def parse_url(text: str) -> Url | None:
    """Return the parts of an https URL, or None for everything else.

    Else means other schemes, user names, odd notations of addresses, control characters. A host in Unicode
    becomes what DNS has, before anything is checked or looked up.
    """
    text = ascii_url(text) or ""
    if not _PRINTABLE.fullmatch(text) or "\\" in text:
        return None
    try:
        parts = urlsplit(text)
        port = parts.port or 443
    except ValueError:
        return None
    host = parts.hostname or ""
    if parts.scheme != "https" or parts.username is not None or parts.password is not None:
        return None
    # A host is a name, or an address in its one canonical form: 2130706433, 0x7f.1 and 0177.0.0.1 are
    # neither.
    if not _HOST.fullmatch(host):
        try:
            if "%" in host or str(ipaddress.ip_address(host)) != host:
                return None
        except ValueError:
            return None
    return Url(host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def is_public(address: str) -> bool:
    """Return whether an address belongs to the public internet.

    Addresses that wrap another (mapped, 6to4, NAT64, Teredo) do not.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed not in _UNICAST_6 or parsed.sixtofour or parsed.teredo:
            return False
    elif parsed.is_reserved:
        return False
    return (
        parsed.is_global
        and not parsed.is_multicast
        and not any(parsed in network for network in _SPECIAL if network.version == parsed.version)
    )


async def resolve(host: str, port: int) -> Sequence[str]:
    """Return a name's addresses, each once."""
    entries = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(item[4][0]) for item in entries))


class SafeHttp:
    """A `Transport` with one connection per request; the request's path is the whole URL.

    Receivers are many and each gets little.
    """

    def __init__(
        self,
        timeout_s: float,
        *,
        ca_file: Path | None = None,
        allow_private: bool = False,
        resolver: Resolve = resolve,
    ) -> None:
        self._timeout_s, self._allow_private, self._resolve = timeout_s, allow_private, resolver
        self._tls = tls_context(ca_file)
        self._tls.set_alpn_protocols(["http/1.1"])
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(
        self, request: Request, authorization: bytes, done: Callable[[Any, Answer], None], tag: Any
    ) -> None:
        """See `Transport.submit`."""
        task = asyncio.get_running_loop().create_task(self._run(request, done, tag))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, request: Request, done: Callable[[Any, Answer], None], tag: Any) -> None:
        sent = [False]
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._exchange(request, sent)
        except (
            OSError,
            TimeoutError,
            ssl.SSLError,
            ValueError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
        ) as error:
            answer = Answer(0, failure=UNKNOWN if sent[0] else NOT_SENT, detail=type(error).__name__)
        done(tag, answer)

    async def _exchange(self, request: Request, sent: list[bool]) -> Answer:
        url = parse_url(request.path.decode("latin-1"))
        if url is None or (url.port not in PORTS and not self._allow_private):
            return Answer(403, failure=REFUSED_ADDRESS)
        addresses = await self._resolve(url.host, url.port)
        if not addresses:
            return Answer(0, failure=NOT_SENT, detail="no address")
        if not self._allow_private and not all(is_public(address) for address in addresses):
            return Answer(403, failure=REFUSED_ADDRESS)
        # Connect to the address that was checked, never to the name again: a second look-up could answer
        # another.
        reader, writer = await asyncio.open_connection(
            addresses[0], url.port, ssl=self._tls, server_hostname=url.host.rstrip("."), limit=_ANSWER_LIMIT
        )
        try:
            host = (f"[{url.host}]" if ":" in url.host else url.host) + (
                "" if url.port == 443 else f":{url.port}"
            )
            head = (
                f"POST {url.target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: "
                f"{len(request.body)}\r\n"
            ).encode("ascii")
            lines = b"".join(b"%b: %b\r\n" % pair for pair in (*request.headers, *request.extra))
            if (
                lines.count(b"\n") != len(request.headers) + len(request.extra)
                or lines.count(b"\r") != lines.count(b"\n")
                or b"\0" in lines
            ):
                # No adapter makes such a header; one from outside might.
                return Answer(403, failure=REFUSED_ADDRESS)
            sent[0] = True
            writer.write(head + lines + b"\r\n" + request.body)
            await writer.drain()
            while True:
                status, headers = _head(await reader.readuntil(b"\r\n\r\n"))
                if status >= 200:
                    return Answer(status, b"", headers)
        finally:
            writer.transport.abort()

    async def close(self) -> None:
        """See `Transport.close`."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _head(data: bytes) -> tuple[int, tuple[tuple[bytes, bytes], ...]]:
    """Return status and headers. Raises: ValueError."""
    first, *rest = data[:-4].split(b"\r\n")
    words = first.split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or len(words[1]) != 3 or not words[1].isdigit():
        raise ValueError("no HTTP answer")
    pairs = (line.partition(b":") for line in rest)
    return int(words[1]), tuple((name.strip().lower(), value.strip()) for name, _, value in pairs)
