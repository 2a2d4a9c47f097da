"""The sandbox's mail server: TLS at once, AUTH PLAIN, every message to the phones.

It breaks by the same rules as the other front ends. Rules match the recipient as token; `status` is the reply
code, `error` its text (for example "5.1.1 no such user"), given at RCPT below 600 and at the end of DATA when
`drip` is set. `reset: before` hangs up before DATA, `reset: after` after the message was taken; `silent`
takes it and never replies.
"""

from __future__ import annotations

import asyncio
import base64
import email
import email.policy
import hmac
import ssl

from angelia.sandbox.phones import Phones
from angelia.sandbox.rules import Rules, Then

_LIMIT = 1 << 20


class SmtpSandbox:
    """One listening mail server."""

    def __init__(self, user: str, password: str, phones: Phones, rules: Rules) -> None:
        self._token = base64.b64encode(f"\0{user}\0{password}".encode())
        self.phones, self._rules = phones, rules
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, tls: ssl.SSLContext) -> int:
        """Listen on any port and return it."""
        self._server = await asyncio.start_server(self._talk, host, 0, ssl=tls, limit=_LIMIT)
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._session(reader, writer)
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.transport.abort()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(text: str) -> None:
            writer.write(f"{text}\r\n".encode())

        known, recipient = False, ""
        then: Then | None = None
        say("220 sandbox ESMTP")
        while line := await reader.readline():
            verb, _, rest = line.strip().partition(b" ")
            verb = verb.upper()
            if verb == b"EHLO":
                say("250-sandbox\r\n250-AUTH PLAIN\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES")
            elif verb == b"AUTH":
                known = hmac.compare_digest(rest.partition(b" ")[2], self._token)
                say("235 2.7.0 welcome" if known else "535 5.7.8 not known here")
            elif verb == b"QUIT":
                say("221 2.0.0 bye")
                return
            elif not known:
                say("530 5.7.0 authenticate first")
            elif verb in (b"MAIL", b"RSET", b"NOOP"):
                say("250 2.0.0 ok")
            elif verb == b"RCPT":
                self.phones.n_requests += 1
                recipient = rest.decode("latin-1").partition("<")[2].partition(">")[0]
                then = self._rules.find(recipient, "") if self._rules.active else None
                # Hanging up here leaves the message surely unsent; after DATA its fate is unknown to the
                # client.
                if then is not None and then.reset == "before":
                    return
                if then is not None and then.status > 299 and not then.drip:
                    self.phones.outcomes[str(then.status)] += 1
                    say(f"{then.status} {then.error or 'scripted'}")
                else:
                    say("250 2.1.5 ok")
            elif verb == b"DATA":
                say("354 go on")
                data = await reader.readuntil(b"\r\n.\r\n")
                if then is not None and then.status > 299:
                    self.phones.outcomes[str(then.status)] += 1
                    say(f"{then.status} {then.error or 'scripted'}")
                    continue
                # The phone has the message from here on, whatever becomes of the reply.
                self._take(recipient, data[:-3])
                if then is not None and then.silent:
                    await asyncio.sleep(3600)
                if then is not None and (then.reset == "after" or then.needs_raw):
                    return
                say("250 2.0.0 taken")
            else:
                say("502 5.5.1 unknown")
            await writer.drain()

    def _take(self, recipient: str, data: bytes) -> None:
        mail = email.message_from_bytes(data.replace(b"\r\n..", b"\r\n."), policy=email.policy.default)
        dispatch = str(mail["Message-ID"] or "").strip("<>").partition("@")[0]
        body = mail.get_body(("plain",))
        self.phones.receive(
            dispatch, recipient, str(mail["Subject"]), body.get_content() if body is not None else ""
        )
        self.phones.outcomes["accepted"] += 1
