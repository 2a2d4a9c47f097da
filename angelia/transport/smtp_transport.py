"""SMTP as a transport: few connections, a thread for each, one transaction per message.

The threads run smtplib. Until the final dot has left, the message was not sent; after it, without a reply,
its fate is unknown. An error reply is an answer (its code, its text). Surprise: the date header is added
here, so that a repeat is the same payload.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import smtplib
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path
from typing import Any

from angelia.transport.client import tls_context
from angelia.transport.exchanges import Exchanges, log_error
from angelia.transport.wire import NOT_SENT, UNKNOWN, Answer, Done, Request

CONNECTIONS = 8
_STUFF = re.compile(rb"^\.", re.MULTILINE)


class SmtpTransport:
    """Carries messages to one server."""

    def __init__(
        self,
        host: str,
        port: int,
        sender: str,
        user: tuple[str, str] | None,
        timeout_s: float,
        *,
        is_implicit: bool,
        ca_file: Path | None = None,
    ) -> None:
        self._host, self._port, self._sender, self._user, self._timeout_s = (
            host,
            port,
            sender,
            user,
            timeout_s,
        )
        self._is_implicit = is_implicit
        self._tls: ssl.SSLContext = tls_context(ca_file)
        self._tls.set_alpn_protocols([])
        self._pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="smtp")
        self._mine = threading.local()
        self._open: list[smtplib.SMTP] = []
        self._exchanges = Exchanges()

    def submit(self, request: Request, authorization: bytes, done: Done, tag: Any) -> None:
        """See `Transport.submit`."""
        self._exchanges.begin(self._exchange(request, time.monotonic() + self._timeout_s), done, tag)

    async def _exchange(self, request: Request, due: float) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._transaction, request, due)

    def _connect(self) -> smtplib.SMTP:
        # Only a connection's own thread uses it; the list is for closing them all at the end.
        if self._is_implicit:
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                self._host, self._port, timeout=self._timeout_s, context=self._tls
            )
        else:
            connection = smtplib.SMTP(self._host, self._port, timeout=self._timeout_s)
        self._open.append(connection)
        if not self._is_implicit:
            # Raises where the server has no TLS: nothing ever leaves in clear.
            connection.starttls(context=self._tls)
        if self._user:
            connection.login(*self._user)
        connection.ehlo_or_helo_if_needed()
        return connection

    def _transaction(self, request: Request, due: float) -> Answer:
        sent = False
        try:
            connection: smtplib.SMTP | None = getattr(self._mine, "connection", None)
            if connection is None:
                connection = self._mine.connection = self._connect()
            recipient = request.path.decode("ascii")
            code, text = connection.mail(self._sender)
            if code == 250:
                code, text = connection.rcpt(recipient)
            if code in (250, 251):
                code, text = connection.docmd("DATA")
            if code != 354:
                return self._answer(connection, code, text, NOT_SENT)
            message = f"Date: {formatdate(usegmt=True)}\r\n".encode() + request.body
            connection.send(_STUFF.sub(b"..", message))
            # Slow, or this process was paused: others count on nothing leaving later than this.
            if time.monotonic() > due:
                self._drop()
                return Answer(0, failure=NOT_SENT, detail="too late")
            sent = True  # a server forgets what no final dot ends (RFC 5321 4.1.1.4)
            connection.send(b".\r\n")
            return self._answer(connection, *connection.getreply(), UNKNOWN)
        except smtplib.SMTPResponseException as error:  # greeting, STARTTLS or AUTH was refused
            self._drop()
            return Answer(
                error.smtp_code,
                error.smtp_error if isinstance(error.smtp_error, bytes) else str(error.smtp_error).encode(),
            )
        except (OSError, smtplib.SMTPException, ValueError) as error:
            self._drop()
            return Answer(0, failure=UNKNOWN if sent else NOT_SENT, detail=type(error).__name__)
        except Exception as error:  # noqa: BLE001 - a defect met by one message is its answer, and stops no other
            self._drop()
            name = log_error("an exchange", error)
            return Answer(0, failure=UNKNOWN if sent else NOT_SENT, detail=name)

    def _answer(self, connection: smtplib.SMTP, code: int, text: bytes, failure: str) -> Answer:
        if code == 421 or code < 200:
            self._drop()
        elif not 200 <= code < 300:
            try:
                connection.rset()
            except (OSError, smtplib.SMTPException):
                self._drop()
        return Answer(code, text) if code > 0 else Answer(0, failure=failure, detail="no SMTP reply")

    def _drop(self) -> None:
        connection: smtplib.SMTP | None = getattr(self._mine, "connection", None)
        self._mine.connection = None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._exchanges.finish()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
