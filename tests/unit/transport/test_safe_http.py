"""Addresses from outsiders: invalid, not public, changing between look-ups, redirecting."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from angelia.delivery.channels.base import Message
from angelia.delivery.channels.webhook import WebhookAdapter
from angelia.sandbox.keys import make_tls
from angelia.transport.safe_http import REFUSED_ADDRESS, SafeHttp, is_public, parse_url
from angelia.transport.wire import NOT_SENT, Answer, Request
from angelia.users.addresses import ascii_url

ODD = [
    "http://example.com/", "ftp://example.com/", "//example.com/", "https://", "https:///x",
    "https://user@example.com/", "https://u:p@example.com/",
    "https://:p@example.com/", "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/",
    "https://0177.0.0.1/", "https://127.1/",
    "https://127.0.0.1./", "https://1.2.3.4.5/", "https://example.com\\@127.0.0.1/",
    "https://example.com/\r\nx: y", "https://exa mple.com/",
    "https://example.com:99999/", "https://example.com:x/", "https://[::1/",
    # In Unicode: addresses in digits, other marks for a dot or a slash, labels that are none, a path.
    "https://\u2460\u2461\u2466.0.0.1/", "https://127\u30020.0.1/", "https://\uff11\uff12\uff17.0.0.1./",
    "https://\uff10\uff58\uff17\uff46.1/", "https://ex\u00e4mple.com\u2044x/", "https://a\u2488com/",
    "https://-\u00fc.example/", "https://xn--\u00fc.example/", "https://\u00fc\u200d.example/",
    "https://u@ex\u00e4mple.com/", "https://ex\u00e4mple.com:99999/", "https://ex\u00e4mple.com/\u00e4",
    "https://ex\u00e4mple.com\\@127.0.0.1/", "https://" + "\u00e4" * 254 + ".example/", "http://\u00e4.example/",
    "https://[0:0:0:0:0:0:0:1]/", "https://[fe80::1%25eth0]/", "javascript:alert(1)", "file:///etc/passwd",
    "https://a..b/", "https://-a.example/", "https://" + "a" * 64 + ".example/", "",
    "https://example.com/" + "x" * 2048, "gopher://127.0.0.1:6379/_x",
]  # fmt: skip


@pytest.mark.parametrize("url", ODD)
def test_what_is_no_address(url: str) -> None:
    assert parse_url(url) is None


def test_what_is_one() -> None:
    assert parse_url("https://Hooks.Example.com:8443/a/b?c=d#e") == ("hooks.example.com", 8443, "/a/b?c=d")
    assert parse_url("https://example.com?x") == ("example.com", 443, "/?x")
    # Well formed; refused when it is looked at.
    assert parse_url("https://127.0.0.1/") == (
        "127.0.0.1",
        443,
        "/",
    )
    assert parse_url("https://[::ffff:7f00:1]/") is not None
    assert parse_url("https://[2606:4700::1111]/") == ("2606:4700::1111", 443, "/")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://ex\u00e4mple.com/", "xn--exmple-cua.com"),
        ("https://EX\u00c4MPLE.com:8443/a?b", "xn--exmple-cua.com"),
        ("https://exa\u0308mple.com/", "xn--exmple-cua.com"),  # decomposed: the same name
        ("https://ex\u00e4mple\u3002com/", "xn--exmple-cua.com"),
        ("https://stra\u00dfe.example/", "xn--strae-oqa.example"),  # IDNA 2008: not strasse
        ("https://\u4f8b\u5b50.\u6d4b\u8bd5/", "xn--fsqu00a.xn--0zwm56d"),
        (
            "https://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3/",
            "localhost",
        ),  # refused when looked up
    ],
)
def test_a_host_in_unicode_is_what_dns_has(url: str, host: str) -> None:
    parsed = parse_url(url)
    assert parsed is not None
    assert parsed.host == host
    assert parse_url(ascii_url(url) or "") == parsed


def test_the_checks_see_the_host_that_is_looked_up() -> None:
    """The normalised name is resolved, and an inner address is refused whatever spelt it."""
    asked: list[str] = []

    async def resolver(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"]

    urls = ["https://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3/", "https://ex\u00e4mple.com/"]
    for url in urls:
        adapter = WebhookAdapter(b"s")
        assert post(SafeHttp(1.0, resolver=resolver), adapter, url).failure == REFUSED_ADDRESS
    assert asked == ["localhost", "xn--exmple-cua.com"]


def post(http: SafeHttp, adapter: WebhookAdapter, url: str) -> Answer:
    """Return what comes of one message to a URL as the adapter builds it."""

    async def run() -> Answer:
        answers: asyncio.Queue[Answer] = asyncio.Queue()
        request = adapter.build_request(Message(url, "d", "t", "b", None, None, 60, False))
        http.submit(request, b"", lambda _, answer: answers.put_nowait(answer), None)
        answer = await answers.get()
        await http.close()
        return answer

    return asyncio.run(run())


NOT_PUBLIC = [
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "0.0.0.0", "0.1.2.3",
    "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "192.0.0.1", "192.0.2.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "::",
    "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::808:808",
    "2002:7f00:1::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd12:3456::1", "ff02::1", "2001:db8::1", "100::1",
]  # fmt: skip


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450:4001:82f::200e"],
)
def test_what_is_public(address: str) -> None:
    assert is_public(address)


def ask(
    url: str, answers: list[Sequence[str]], monkeypatch: pytest.MonkeyPatch
) -> tuple[Answer, list[Any], int]:
    """Send one request with a scripted resolver.

    Returns the answer, where connections went, and how often the resolver was asked.
    """
    connected: list[Any] = []
    asked = [0]

    async def resolver(host: str, port: int) -> Sequence[str]:
        asked[0] += 1
        return answers[min(asked[0], len(answers)) - 1]

    async def sock_connect(_: Any, __: socket.socket, address: tuple[Any, ...]) -> None:
        connected.append(address[:2])
        raise ConnectionRefusedError

    monkeypatch.setattr("asyncio.selector_events.BaseSelectorEventLoop.sock_connect", sock_connect)

    async def main() -> Answer:
        client = SafeHttp(2.0, resolver=resolver)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        client.submit(
            Request(url.encode(), (), b"{}"), b"", lambda _, answer: future.set_result(answer), None
        )
        answer = await future
        await client.close()
        return answer

    return asyncio.run(main()), connected, asked[0]


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["169.254.169.254"], ["::1"], ["8.8.8.8", "10.0.0.1"], ["10.0.0.1", "8.8.8.8"]],
)
def test_a_name_that_leads_inside_is_refused_unconnected(
    addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, connected, _ = ask("https://evil.example/", [addresses], monkeypatch)
    assert answer.failure == REFUSED_ADDRESS
    assert connected == []


def test_a_name_is_called_at_the_address_that_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer, connected, asked = ask("https://rebind.example/x", [["8.8.8.8"], ["127.0.0.1"]], monkeypatch)
    assert connected == [("8.8.8.8", 443)]
    assert asked == 1
    assert answer.failure == NOT_SENT


@pytest.mark.parametrize(
    "url", ["https://example.com:22/", "https://example.com:6379/", "https://example.com:80/"]
)
def test_other_ports_are_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer, connected, asked = ask(url, [["8.8.8.8"]], monkeypatch)
    assert (answer.failure, connected, asked) == (REFUSED_ADDRESS, [], 0)


def test_a_name_without_address_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask("https://nowhere.example/", [[]], monkeypatch)[0].failure == NOT_SENT


@pytest.mark.parametrize(("keeps", "n_connections"), [(True, 1), (False, 3)])
def test_a_busy_receiver_keeps_its_connection(
    keeps: bool, n_connections: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kept connection is opened once, another each time; a cookie never returns."""
    tls = make_tls(tmp_path, ("127.0.0.1",))
    heads: list[bytes] = []
    opened: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(1)
        with suppress(asyncio.IncompleteReadError):
            while True:
                heads.append(await reader.readuntil(b"{}"))
                writer.write(b"HTTP/1.1 201 Created\r\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async def resolver(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async def main() -> list[int]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        client = SafeHttp(
            5.0, ca_file=tmp_path / "ca.pem", allow_private=True, keeps=keeps, resolver=resolver
        )
        statuses = []
        for _ in range(3):
            future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            request = Request(f"https://127.0.0.1:{port}/a%2Fb?c=%20d".encode(), (), b"{}")
            client.submit(request, b"", lambda _, answer, future=future: future.set_result(answer), None)
            statuses.append((await future).status)
        await client.close()
        server.close()
        await asyncio.sleep(0.05)  # lets the server's side of the connections end
        return statuses

    assert asyncio.run(main()) == [201] * 3
    assert len(opened) == n_connections
    assert all(head.startswith(b"POST /a%2Fb?c=%20d HTTP/1.1\r\n") for head in heads)
    assert not any(b"cookie" in head.lower() for head in heads)


def test_a_look_up_that_meets_an_error_of_ours_is_not_sent() -> None:
    async def look_up(host: str, port: int) -> Sequence[str]:
        return {}[host]

    taken: list[Answer] = []

    async def main() -> None:
        http = SafeHttp(1.0, resolver=look_up)
        http.submit(Request(b"https://shop.example/", (), b"{}"), b"", lambda _, a: taken.append(a), None)
        await asyncio.sleep(0.05)
        await http.close()

    asyncio.run(main())
    assert [answer.failure for answer in taken] == [NOT_SENT]
