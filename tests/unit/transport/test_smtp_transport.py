"""SMTP as a transport: TLS or nothing, and no final dot after the time is over."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from angelia.sandbox.keys import make_tls
from angelia.transport.smtp_transport import SmtpTransport
from angelia.transport.wire import NOT_SENT, Answer
from tests.unit.delivery.given import MAIL, MESSAGE


def test_mail_never_speaks_in_clear(tmp_path: Path) -> None:
    """A server without STARTTLS, and nobody listening at all: not sent, retried by the worker."""

    async def main() -> list[Answer]:
        lines: list[bytes] = []

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 plain\r\n")
            while line := await reader.readline():
                lines.append(line)
                writer.write(b"250 plain\r\n")
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        answers = []
        for at in (port, 1):
            transport = SmtpTransport(
                "127.0.0.1", at, "a@b.example", ("user", "password"), 2.0, is_implicit=False
            )
            done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            transport.submit(
                MAIL.build_request(MESSAGE._replace(address="ann@people.example")),
                b"",
                lambda _, a, f=done: f.set_result(a),
                None,
            )
            answers.append(await done)
            await transport.close()
        server.close()
        await server.wait_closed()
        assert not any(b"AUTH" in line.upper() or b"MAIL" in line.upper() for line in lines)
        return answers

    assert [answer.failure for answer in asyncio.run(main())] == [NOT_SENT, NOT_SENT]


@pytest.mark.parametrize(("pause_s", "failure"), [(0.0, None), (0.2, NOT_SENT)])
def test_mail_that_took_too_long_is_not_ended(pause_s: float, failure: str | None, tmp_path: Path) -> None:
    """Each reply comes in time, all together do not: a server forgets what has no final dot."""

    async def main() -> tuple[Answer, list[bytes]]:
        lines: list[bytes] = []
        replies = {b"DATA": b"354 go on", b"EHLO": b"250-here\r\n250 8BITMIME"}

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 here\r\n")
            is_data = False
            while line := await reader.readline():
                lines.append(line)
                if not is_data or line == b".\r\n":
                    await asyncio.sleep(pause_s)
                    writer.write(replies.get(line[:4].upper(), b"250 ok") + b"\r\n")
                is_data = line[:4].upper() == b"DATA" or (is_data and line != b".\r\n")
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=make_tls(tmp_path, ("127.0.0.1",)))
        port = server.sockets[0].getsockname()[1]
        transport = SmtpTransport(
            "127.0.0.1", port, "a@b.example", None, 0.5, is_implicit=True, ca_file=tmp_path / "ca.pem"
        )
        done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        transport.submit(
            MAIL.build_request(MESSAGE._replace(address="ann@people.example")),
            b"",
            lambda _, answer: done.set_result(answer),
            None,
        )
        answer = await done
        await transport.close()
        await asyncio.sleep(0.05)
        server.close()
        await server.wait_closed()
        return answer, lines

    answer, lines = asyncio.run(main())
    assert answer.failure == failure
    assert (b".\r\n" in lines) is (failure is None)


def test_mail_that_cannot_be_written_is_answered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> Answer:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 here\r\n")
            while line := await reader.readline():
                writer.write(b"354 go on\r\n" if line[:4].upper() == b"DATA" else b"250 ok\r\n")
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=make_tls(tmp_path, ("127.0.0.1",)))
        port = server.sockets[0].getsockname()[1]
        transport = SmtpTransport(
            "127.0.0.1", port, "a@b.example", None, 1.0, is_implicit=True, ca_file=tmp_path / "ca.pem"
        )
        done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        mail = MAIL.build_request(MESSAGE._replace(address="ann@people.example"))
        transport.submit(mail._replace(body=None), b"", lambda _, answer: done.set_result(answer), None)  # type: ignore[arg-type]
        answer = await asyncio.wait_for(done, 5)
        await transport.close()
        await asyncio.sleep(0.05)
        server.close()
        await server.wait_closed()
        return answer

    answer = asyncio.run(main())
    assert (answer.failure, answer.detail) == (NOT_SENT, "TypeError")
    assert "ann" not in caplog.text
