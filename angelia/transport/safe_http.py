"""HTTP to addresses that outsiders supplied: https only, and only to public addresses.

A name is looked up once a connection, which goes to exactly the addresses that were checked. No redirects, no
proxies, no cookies, nothing of an answer but its head, one total time limit. A name that resolves to anything
that is not public on the internet (private, loopback, link-local, shared, mapped, multicast …) is refused
whole: one bad address among good ones is an attack.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult

from angelia.transport.exchanges import Exchanges
from angelia.transport.pooled_http import NotPublicError, PooledHttp
from angelia.transport.wire import Answer, Done, Request
from angelia.users.addresses import ascii_url

REFUSED_ADDRESS = "address_refused"
PORTS = (443, 8443)
_HOST = re.compile(
    r"(?=.{1,253}$)([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?"
)
_NUMBERS = re.compile(r"[0-9.]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 section 5.5
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


class PublicResolver(AbstractResolver):
    """Looks names up, and refuses those that lead anywhere but to the public internet."""

    def __init__(self, look_up: Resolve, *, allow_private: bool) -> None:
        self._look_up, self._allow_private = look_up, allow_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses to connect to.

        Raises:
            NotPublicError: one of them is not public.
            OSError: there is none.
        """
        addresses = await self._look_up(host, port)
        if not addresses:
            raise OSError("no address")
        if not self._allow_private and not all(is_public(address) for address in addresses):
            raise NotPublicError
        return [
            ResolveResult(
                hostname=host, host=address, port=port, proto=0, flags=socket.AI_NUMERICHOST,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
            )
            for address in addresses
        ]  # fmt: skip

    async def close(self) -> None:
        """Close nothing: names are looked up by the system."""


class SafeHttp:
    """A `Transport` whose requests' path is the whole URL.

    Where receivers are many and each gets little, each request has a connection of its own; `keeps` is for
    few and busy ones.
    """

    def __init__(
        self,
        timeout_s: float,
        *,
        ca_file: Path | None = None,
        allow_private: bool = False,
        keeps: bool = False,
        resolver: Resolve = resolve,
    ) -> None:
        self._allow_private = allow_private
        self._http = PooledHttp(
            "", timeout_s, connections=0, ca_file=ca_file, answer_limit=0, keeps=keeps,
            resolver=PublicResolver(resolver, allow_private=allow_private),
        )  # fmt: skip
        self._exchanges = Exchanges()

    def submit(self, request: Request, authorization: bytes, done: Done, tag: Any) -> None:
        """See `Transport.submit`."""
        self._exchanges.begin(self._exchange(request), done, tag)

    async def _exchange(self, request: Request) -> Answer:
        refused = Answer(403, failure=REFUSED_ADDRESS)
        url = parse_url(request.path.decode("latin-1"))
        if url is None or (url.port not in PORTS and not self._allow_private):
            return refused
        # No adapter makes such a header; one from outside might.
        if any(_CONTROL.search(part) for pair in (*request.headers, *request.extra) for part in pair):
            return refused
        is_6 = ":" in url.host
        # An address is not looked up, so it is checked here.
        if (is_6 or _NUMBERS.fullmatch(url.host)) and not self._allow_private and not is_public(url.host):
            return refused
        host = f"[{url.host}]" if is_6 else url.host
        # Written anew from what was checked, so that no other reading of it counts.
        path = f"https://{host}:{url.port}{url.target}".encode("ascii")
        try:
            return await self._http.exchange(request._replace(path=path), b"")
        except NotPublicError:
            return refused

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._exchanges.cancel()
        await self._http.close()
