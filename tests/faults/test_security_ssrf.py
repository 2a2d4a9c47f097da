"""No notation, name, redirect or second look-up leads a webhook to a machine inside.

Addresses come from outside. Connections are watched where asyncio makes them, below all of our code; names
are answered by a resolver that lies (`socket.getaddrinfo`).
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import random
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from angelia.delivery.channels.base import Message, MessageRejected
from angelia.delivery.channels.webhook import WebhookAdapter
from angelia.sandbox import keys
from angelia.transport import safe_http
from angelia.transport.safe_http import SafeHttp
from angelia.transport.wire import Answer, Request

INSIDE = [
    "127.0.0.1", "127.255.255.254", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255",
    "192.168.0.1", "169.254.169.254", "169.254.170.2",
    "100.64.0.1", "100.100.100.200", "0.0.0.0", "0.0.0.1", "192.0.0.192", "192.0.2.1", "198.18.0.1",
    "198.51.100.7", "203.0.113.9", "224.0.0.1",
    "240.0.0.1", "255.255.255.255",
]  # fmt: skip
INSIDE_6 = [
    "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1", "100::1",
    "64:ff9b:1::1", "2001::1", "2001:10::1",
    "2001:20::1", "3fff::1", "5f00::1",
]  # fmt: skip
NAMES = [
    "localhost", "LOCALHOST", "localhost.", "a.localhost", "metadata.google.internal", "inside.evil.example",
    "xn--localhost-x.example",
]  # fmt: skip


def notations(address: str) -> Iterator[str]:
    """Yield spellings of an IPv4 address that some resolver, browser or library takes for it."""
    number = int(ipaddress.IPv4Address(address))
    a, b, c, d = (int(byte) for byte in address.split("."))
    dotted = [
        address, f"{a}.{b}.{c}.{d}.",
        f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}",
        f"{a:03d}.{b:03d}.{c:03d}.{d:03d}", f"0X{a:X}.{b}.0{c:o}.{d}", f"{a}.{b}.{c * 256 + d}",
        f"{a}.{number & 0xFFFFFF}", f"{a}.0x{number & 0xFFFFFF:x}", f"{a + 256}.{b}.{c}.{d}",
    ]  # fmt: skip
    whole = [
        str(number), f"0x{number:x}", f"0X{number:08X}", f"0{number:o}", f"000{number:o}", f"{number}.",
        f"0x{number:x}.", str(number + 2**32),
    ]  # fmt: skip
    unicode = [
        "".join(chr(0xFF10 + int(x)) if x.isdigit() else x for x in address),
        *(address.replace(".", dot) for dot in ("\u3002", "\uff0e", "\uff61", "%2e")),
        "".join(chr(0x245F + int(x)) if x in "123456789" else x for x in address),
    ]
    high, low = number >> 16, number & 0xFFFF
    six = [
        f"::ffff:{address}", f"::ffff:{high:x}:{low:x}", f"::{address}", f"0:0:0:0:0:ffff:{high:x}:{low:x}",
        f"::ffff:0:{high:x}:{low:x}", f"64:ff9b::{high:x}:{low:x}", f"64:ff9b::{address}",
        f"2002:{high:x}:{low:x}::1", f"2001:0:4136:e378:8000:63bf:{high ^ 0xFFFF:x}:{low ^ 0xFFFF:x}",
        f"::FFFF:{high:X}:{low:X}", f"::ffff:{high:x}:{low:x}%25lo", f"::ffff:{high:x}:{low:x}%lo",
        f"fe80::5efe:{high:x}:{low:x}",
    ]  # fmt: skip
    yield from dotted + whole + unicode + [f"[{text}]" for text in six] + [f"[{address}]", f"[v1.{address}]"]


def tricks(host: str) -> Iterator[str]:
    """Yield URLs that lead to a host, some only if a parser can be fooled."""
    yield f"https://{host}/"
    yield f"https://{host}:8443/x?y=z"


def fooling(host: str) -> Iterator[str]:
    """Yield URLs in which one parser sees another host than the next."""
    yield from (
        f"https://example.com@{host}/",
        f"https://{host}#@example.com/",
        f"https://{host}\\@example.com/",
        f"https://example.com\\@{host}/",
        f"https://{host}?@example.com/",
        f"https:{host}/",
        f"https:///{host}/",
        f"http://{host}/",
        f"https://{host}%00.example.com/",
        f"https://{host}\t.example.com/",
        f"https://{host}\n/",
        f" https://{host}/",
        f"https://{host} /",
        f"https://example.com:443@{host}/",
        f"HTTPS://{host}/",
        f"https://{host}%23.example.com/",
        f"https://[{host}]@example.com/",
        f"https://{host}&@example.com/",
        f"//{host}/",
    )


CORPUS = [url for address in INSIDE for text in notations(address) for url in tricks(text)]
CORPUS += [
    url
    for address in INSIDE_6
    for text in (f"[{address}]", f"[{address}%25eth0]", f"[{address}%eth0]")
    for url in tricks(text)
]
CORPUS += [url for name in NAMES for url in tricks(name)]
CORPUS += [
    url
    for host in ("127.0.0.1", "169.254.169.254", "[::1]", "2130706433", "localhost")
    for url in fooling(host)
]
CORPUS = list(dict.fromkeys(CORPUS))
real_getaddrinfo = socket.getaddrinfo


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Return the list of addresses that asyncio connects sockets to; nothing is connected."""
    seen: list[tuple[Any, ...]] = []

    async def sock_connect(self: Any, sock: socket.socket, address: tuple[Any, ...]) -> None:
        seen.append(address)
        raise ConnectionRefusedError

    def getaddrinfo(host: str, port: Any, *args: Any, **kwargs: Any) -> Any:
        """Know numbers in every notation the C library knows, and lead all names inside."""
        try:
            return real_getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except OSError:
            return real_getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)

    monkeypatch.setattr("asyncio.selector_events.BaseSelectorEventLoop.sock_connect", sock_connect)
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return seen


def post(urls: Sequence[str]) -> list[str]:
    """Send to every URL as the worker does, adapter first; return how each ended."""
    adapter = WebhookAdapter(b"secret")

    async def main() -> list[str]:
        client, ends = SafeHttp(5.0), ["" for _ in urls]
        for i, url in enumerate(urls):
            try:
                request = adapter.build_request(Message(url, "ab" * 16, "t", "b", None, None, 60, False))
            except (MessageRejected, UnicodeEncodeError):
                ends[i] = "rejected"
                continue
            done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            client.submit(request, b"", lambda _, answer, done=done: done.set_result(answer), None)
            ends[i] = (await done).failure or "answered"
        await client.close()
        return ends

    return asyncio.run(main())


def test_no_notation_leads_inside(watched: list[tuple[Any, ...]]) -> None:
    ends = post(CORPUS)
    assert watched == []
    assert set(ends) == {"rejected", "address_refused"}
    assert len(CORPUS) > 1_800


def test_the_watch_sees_what_goes_outside(watched: list[tuple[Any, ...]]) -> None:
    assert post(["https://93.184.216.34/", "https://[2606:4700::1111]:8443/"]) == ["not_sent", "not_sent"]
    assert [address[:2] for address in watched] == [("93.184.216.34", 443), ("2606:4700::1111", 8443)]


def test_random_bytes_around_an_inner_address(watched: list[tuple[Any, ...]]) -> None:
    draw = random.Random(3)
    alphabet = "0123456789abcdefx.:[]@/\\#?%&;, \t\r\n-_~\x00\u3002\uff11"
    urls = []
    for _ in range(3_000):
        host = list(draw.choice(["127.0.0.1", "[::1]", "localhost", "169.254.169.254", "0x7f.1"]))
        for _ in range(draw.randrange(1, 4)):
            host.insert(draw.randrange(len(host) + 1), draw.choice(alphabet))
        urls.append(f"https://{''.join(host)}/")
    post(urls)
    assert [address for address in watched if not ipaddress.ip_address(address[0]).is_global] == []


# ---- servers that answer


class Servers:
    """TLS servers at several loopback addresses, on one port.

    `served` lists which server was asked, under which TLS name, for which host.
    """

    def __init__(self, tls: ssl.SSLContext, answer: bytes) -> None:
        self._tls, self._answer = tls, answer
        self.served: list[tuple[str, str | None, bytes]] = []
        self.port = 0
        self._names: dict[int, str] = {}
        tls.sni_callback = self._named

    def _named(self, tls_object: Any, name: str | None, _: Any) -> None:
        self._names[id(tls_object)] = name or ""

    async def listen(self, addresses: Sequence[str]) -> list[asyncio.Server]:
        """Listen at all addresses, on a port that no other program holds at any of them."""
        while True:
            self.port, listening = 0, list[asyncio.Server]()
            try:
                for address in addresses:
                    listening.append(await self._listen(address))
                return listening
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                for server in listening:
                    server.close()

    async def _listen(self, address: str) -> asyncio.Server:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            self.served.append((address, self._names.get(id(writer.get_extra_info("ssl_object"))), head))
            writer.write(self._answer)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, address, self.port, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        return server


def converse(
    folder: Path,
    answer: bytes,
    use: Callable[[SafeHttp, Servers], Awaitable[Any]],
    hosts: Sequence[str],
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Any, Servers]:
    """Run `use` with servers at these loopback addresses; 127.0.0.2 counts as public."""
    tls = keys.make_tls(folder, ("rebind.example", "127.0.0.2"))
    public = safe_http.is_public
    monkeypatch.setattr(safe_http, "is_public", lambda address: address == "127.0.0.2" or public(address))

    async def main() -> tuple[Any, Servers]:
        servers = Servers(tls, answer)
        listening = await servers.listen(hosts)
        monkeypatch.setattr(safe_http, "PORTS", (servers.port,))
        client = SafeHttp(5.0, ca_file=folder / "ca.pem")
        value = await use(client, servers)
        await client.close()
        for server in listening:
            server.close()
            await server.wait_closed()
        return value, servers

    return asyncio.run(main())


async def send(client: SafeHttp, url: str) -> Answer:
    done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    client.submit(Request(url.encode(), (), b"{}"), b"", lambda _, answer: done.set_result(answer), None)
    return await done


def test_a_port_that_another_program_holds_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, held = asyncio.start_server, list[socket.socket]()

    async def starting(serve: Any, address: str, port: int, **options: Any) -> asyncio.Server:
        server = await start(serve, address, port, **options)
        if not held:  # another program takes the first server's port at the second address
            held.append(socket.create_server(("127.0.0.1", server.sockets[0].getsockname()[1])))
        return server

    async def use(client: SafeHttp, servers: Servers) -> Answer:
        return await send(client, f"https://127.0.0.2:{servers.port}/x")

    monkeypatch.setattr(asyncio, "start_server", starting)
    _, servers = converse(tmp_path, b"HTTP/1.1 200 -\r\n\r\n", use, ["127.0.0.2", "127.0.0.1"], monkeypatch)
    with held[0]:
        assert servers.port != held[0].getsockname()[1]
    assert [where for where, _, _ in servers.served] == ["127.0.0.2"]


def test_the_address_looked_at_is_the_address_connected_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that alternates between a public and an inside address."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "rebind.example":
            asked.append(host)
            host = "127.0.0.2" if len(asked) % 2 else "127.0.0.1"
        return real_getaddrinfo(host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    async def use(client: SafeHttp, servers: Servers) -> list[Answer]:
        return [await send(client, f"https://rebind.example:{servers.port}/x") for _ in range(20)]

    answers, servers = converse(
        tmp_path, b"HTTP/1.1 204 -\r\n\r\n", use, ["127.0.0.2", "127.0.0.1"], monkeypatch
    )
    assert len(asked) == 20  # once a message
    assert [answer.status for answer in answers] == [
        204,
        403,
    ] * 10  # every second look-up says inside, and is refused
    assert {(where, name) for where, name, _ in servers.served} == {("127.0.0.2", "rebind.example")}
    assert all(b"host: rebind.example:" in head.lower() for _, _, head in servers.served)


@pytest.mark.parametrize(
    "order", [["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "::1"]]
)
def test_one_inner_address_among_several_is_enough_to_refuse(
    order: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getaddrinfo(host: str, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host != "rebind.example":
            return real_getaddrinfo(host, port, *args, **kwargs)
        return [entry for address in order for entry in real_getaddrinfo(address, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    async def use(client: SafeHttp, servers: Servers) -> Answer:
        return await send(client, f"https://rebind.example:{servers.port}/x")

    answer, servers = converse(
        tmp_path, b"HTTP/1.1 204 -\r\n\r\n", use, ["127.0.0.2", "127.0.0.1"], monkeypatch
    )
    assert answer.failure == "address_refused"
    assert servers.served == []


REDIRECTS = [
    b"HTTP/1.1 %d -\r\nlocation: %b\r\n\r\n" % (status, to)
    for status in (300, 301, 302, 303, 307, 308)
    for to in (
        b"https://127.0.0.1:PORT/",
        b"//127.0.0.1:PORT/",
        b"http://169.254.169.254/latest/meta-data/",
        b"/again",
        b"https://rebind.example:PORT/",
    )
] + [
    b"HTTP/1.1 200 -\r\nrefresh: 0; url=https://127.0.0.1:PORT/\r\n\r\n",
    (
        b"HTTP/1.1 200 -\r\nlocation: https://127.0.0.1:PORT/\r\ncontent-location: "
        b"https://127.0.0.1:PORT/\r\n\r\n"
    ),
    b'HTTP/1.1 200 -\r\nalt-svc: h2="127.0.0.1:PORT"\r\n\r\n',
    b"HTTP/1.1 101 -\r\nupgrade: h2c\r\n\r\nHTTP/1.1 302 -\r\nlocation: https://127.0.0.1:PORT/\r\n\r\n",
    b"HTTP/1.1 103 -\r\nlink: <https://127.0.0.1:PORT/>; rel=preload\r\n\r\nHTTP/1.1 200 -\r\n\r\n",
    b"HTTP/1.1 407 -\r\nproxy-authenticate: basic\r\n\r\n",
    b"HTTP/1.1 401 -\r\nwww-authenticate: negotiate\r\n\r\n",
]


def test_no_answer_leads_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redirects of every kind, and proxies of the environment, are not followed.

    The server that answered is the only one that was asked, once.
    """

    async def use(client: SafeHttp, servers: Servers) -> list[Answer]:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{servers.port}")
        answers = []
        for answer in REDIRECTS:
            servers._answer = answer.replace(b"PORT", b"%d" % servers.port)
            answers.append(await send(client, f"https://127.0.0.2:{servers.port}/x"))
        return answers

    answers, servers = converse(tmp_path, b"", use, ["127.0.0.2", "127.0.0.1"], monkeypatch)
    assert [where for where, _, _ in servers.served] == ["127.0.0.2"] * len(REDIRECTS)
    assert len(REDIRECTS) == 37
    verdicts = {
        WebhookAdapter(b"s").classify(answer).kind
        for answer, given in zip(answers, REDIRECTS, strict=True)
        if b"HTTP/1.1 3" in given[:10]
    }
    assert verdicts == {"rejected"}
