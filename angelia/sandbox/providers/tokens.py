"""What stand-ins have in common whose provider gives out a token for an app's secret."""

from __future__ import annotations

import hmac
import json
import secrets
import time
from pathlib import Path
from urllib.parse import parse_qsl

from angelia.sandbox.fcm import Reply
from angelia.sandbox.keys import write_account
from angelia.sandbox.phones import Phones
from angelia.sandbox.providers.base import Failed, ProviderSandbox
from angelia.sandbox.rules import Rules, Then
from angelia.transport.header_blocks import Headers

TOKEN_LIFE_S, _CLOCKS_MS = 7200, 600_000


def is_fresh(timestamp: object) -> bool:
    """Return whether a time in milliseconds is within ten minutes of ours."""
    text = str(timestamp)
    return text.isdecimal() and abs(int(text) - time.time() * 1000) < _CLOCKS_MS


def form_of(body: bytes) -> dict[str, str]:
    """Return the fields of a form."""
    return dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True))


class TokenSandbox(ProviderSandbox):
    """Gives out one token until it ends, to whoever knows the app's secret."""

    channel, token_path, send_path = "", b"", b""  # the last may go on

    def __init__(self, folder: Path, phones: Phones, rules: Rules, account: dict[str, str]) -> None:
        super().__init__(phones, rules)
        write_account(folder / f"{self.channel}.json", account)
        self.account = account
        self._token, self._ends = "", 0.0

    def answer(
        self, method: bytes, path: bytes, authorization: bytes, headers: Headers, body: bytes
    ) -> Reply:
        """See `ProviderSandbox.answer`."""
        if path == self.token_path and method == b"POST":
            return self._give(body)
        self.phones.n_requests += 1
        if not path.startswith(self.send_path) or method != b"POST":
            return self.refused(404, f"{self.channel}_path", {})
        try:
            return self.take(path, authorization, dict(headers), body)
        except (ValueError, KeyError, TypeError):
            return self.malformed()

    def may_have_token(self, body: bytes) -> bool:
        """Return whether a question for a token is signed by the app. Raises: ValueError, KeyError."""
        raise NotImplementedError

    def granted(self, token: str | None) -> dict[str, object]:
        """Return the answer to a question for a token, None: it is refused."""
        raise NotImplementedError

    def take(self, path: bytes, authorization: bytes, headers: dict[bytes, bytes], body: bytes) -> Reply:
        """Answer a message. Raises: ValueError, KeyError, TypeError for one that is malformed."""
        raise NotImplementedError

    def malformed(self) -> Reply:
        """Return the answer to a message that is malformed."""
        raise NotImplementedError

    def is_current(self, token: str) -> bool:
        """Return whether a token is the one that was given out, and holds."""
        is_same = bool(self._token) and hmac.compare_digest(token.encode(), self._token.encode())
        return is_same and time.monotonic() < self._ends

    def _give(self, body: bytes) -> Reply:
        try:
            is_known = self.may_have_token(body)
        except (ValueError, KeyError, TypeError):
            is_known = False
        if not is_known:
            self.phones.outcomes["token_refused"] += 1
            return Reply(200, json.dumps(self.granted(None)).encode())
        if time.monotonic() > self._ends:
            self._token, self._ends = secrets.token_urlsafe(32), time.monotonic() + TOKEN_LIFE_S
        self.phones.outcomes["token_granted"] += 1
        return Reply(200, json.dumps(self.granted(self._token)).encode())


def coded(name: str) -> Failed:
    """Return what answers a rule with a number under a name."""

    def failed(then: Then) -> Reply:
        document = {name: int(then.error), "message": "Scripted."} if then.error else {}
        return Reply(then.status, json.dumps(document).encode())

    return failed
