"""Nothing is told to a server that cannot prove its name, and mail goes in no clear text."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from angelia.sandbox.keys import make_tls
from angelia.transport.client import Http2Client
from angelia.transport.safe_http import SafeHttp
from angelia.transport.smtp_transport import SmtpTransport
from angelia.transport.wire import NOT_SENT, Answer, Request

MAIL = Request(b"ann@people.example", (), b"Subject: x\r\n\r\nHello\r\n", own_path=True)
PUSH = Request(b"/push", (), b"{}")
TRUSTED, STRANGER = "ca.pem", None  # None: the system's authorities, which do not know the server's


class MailServer(threading.Thread):
    """Takes one connection's mail and notes each word said, and whether it was said in clear."""

    def __init__(self, tls: ssl.SSLContext, *, is_implicit: bool) -> None:
        super().__init__(daemon=True)
        self.heard: list[tuple[str, bool]] = []
        self._tls, self._is_implicit = tls, is_implicit
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(10.0)
        self.port: int = self._listening.getsockname()[1]

    def run(self) -> None:
        """Serve until the client hangs up."""
        with self._listening, ExitStack() as opened, suppress(OSError):
            connection, _ = self._listening.accept()
            self._talk(opened.enter_context(connection), opened)

    def _talk(self, connection: socket.socket, opened: ExitStack) -> None:
        connection.settimeout(10.0)
        if self._is_implicit:
            connection = opened.enter_context(self._tls.wrap_socket(connection, server_side=True))
        connection.sendall(b"220 here\r\n")
        file = opened.enter_context(connection.makefile("rb"))
        is_data = False
        while line := file.readline():
            word = line.strip().partition(b" ")[0].decode().upper()
            if is_data:
                is_data = line != b".\r\n"
                if is_data:
                    continue
                word = "."
            self.heard.append((word, not isinstance(connection, ssl.SSLSocket)))
            if word == "STARTTLS":
                connection.sendall(b"220 go on\r\n")
                connection = opened.enter_context(self._tls.wrap_socket(connection, server_side=True))
                file = opened.enter_context(connection.makefile("rb"))
                continue
            is_data = word == "DATA"
            replies = {"DATA": b"354 go on\r\n", "EHLO": b"250-here\r\n250 STARTTLS\r\n"}
            connection.sendall(replies.get(word, b"250 ok\r\n"))


def mail(
    folder: Path, certified: str, ca_file: Path | None, *, is_implicit: bool
) -> tuple[Answer, MailServer]:
    server = MailServer(make_tls(folder, (certified,)), is_implicit=is_implicit)
    server.start()

    async def main() -> Answer:
        transport = SmtpTransport(
            "127.0.0.1", server.port, "a@b.example", None, 5.0, is_implicit=is_implicit, ca_file=ca_file
        )
        done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        transport.submit(MAIL, b"", lambda _, answer: done.set_result(answer), None)
        answer = await done
        await transport.close()
        return answer

    answer = asyncio.run(main())
    server.join(10.0)
    return answer, server


@pytest.mark.parametrize("is_implicit", [True, False], ids=["smtps", "starttls"])
def test_a_mail_is_sent_under_tls_only(is_implicit: bool, tmp_path: Path) -> None:
    answer, server = mail(tmp_path, "127.0.0.1", tmp_path / TRUSTED, is_implicit=is_implicit)
    assert answer.status == 250
    assert "DATA" in [word for word, _ in server.heard]
    assert {word for word, in_clear in server.heard if in_clear} <= {"EHLO", "STARTTLS"}


@pytest.mark.parametrize("is_implicit", [True, False], ids=["smtps", "starttls"])
@pytest.mark.parametrize(
    ("certified", "authority"),
    [("127.0.0.1", STRANGER), ("other.example", TRUSTED)],
    ids=["unknown authority", "another host's name"],
)
def test_a_mail_server_that_is_not_itself_gets_no_mail(
    certified: str, authority: str | None, is_implicit: bool, tmp_path: Path
) -> None:
    ca_file = tmp_path / authority if authority else None
    answer, server = mail(tmp_path, certified, ca_file, is_implicit=is_implicit)
    assert answer.failure == NOT_SENT
    assert {word for word, _ in server.heard} <= {"EHLO", "STARTTLS"}


async def push(folder: Path, certified: str, ca_file: Path | None) -> tuple[Answer, bytes]:
    heard = bytearray()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read(100))
        writer.close()

    tls = make_tls(folder, (certified,))
    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # of handshakes that broke off
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    client = Http2Client(url, connections=1, timeout_s=1.0, ca_file=ca_file)
    answer = await client.fetch(PUSH)
    await client.close()
    server.close()
    return answer, bytes(heard)


@pytest.mark.parametrize(
    ("certified", "authority"),
    [("127.0.0.1", STRANGER), ("other.example", TRUSTED)],
    ids=["unknown authority", "another host's name"],
)
def test_a_provider_that_is_not_itself_hears_nothing(
    certified: str, authority: str | None, tmp_path: Path
) -> None:
    answer, heard = asyncio.run(push(tmp_path, certified, tmp_path / authority if authority else None))
    assert (answer.failure, heard) == (NOT_SENT, b"")


def test_a_provider_that_is_itself_hears_the_request(tmp_path: Path) -> None:
    heard: Any
    _, heard = asyncio.run(push(tmp_path, "127.0.0.1", tmp_path / TRUSTED))
    assert heard.startswith(b"PRI * HTTP/2.0")


async def hook(folder: Path, certified: str, ca_file: Path | None) -> tuple[Answer, bytes]:
    heard = bytearray()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read(100))
        writer.write(b"HTTP/1.1 204 ok\r\n\r\n")
        writer.close()

    async def here(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=make_tls(folder, (certified,)))
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # of handshakes that broke off
    client = SafeHttp(5.0, ca_file=ca_file, allow_private=True, resolver=here)
    done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    url = f"https://shop.example:{server.sockets[0].getsockname()[1]}/x"
    client.submit(Request(url.encode(), (), b"{}"), b"", lambda _, answer: done.set_result(answer), None)
    answer = await done
    await client.close()
    server.close()
    return answer, bytes(heard)


@pytest.mark.parametrize(
    ("certified", "authority"),
    [("shop.example", STRANGER), ("other.example", TRUSTED), ("127.0.0.1", TRUSTED)],
    ids=["unknown authority", "another host's name", "its address alone"],
)
def test_a_receiver_that_is_not_itself_hears_nothing(
    certified: str, authority: str | None, tmp_path: Path
) -> None:
    answer, heard = asyncio.run(hook(tmp_path, certified, tmp_path / authority if authority else None))
    assert (answer.failure, heard) == (NOT_SENT, b"")


def test_a_receiver_that_is_itself_hears_the_request(tmp_path: Path) -> None:
    answer, heard = asyncio.run(hook(tmp_path, "shop.example", tmp_path / TRUSTED))
    assert (answer.status, heard[:6]) == (204, b"POST /")
