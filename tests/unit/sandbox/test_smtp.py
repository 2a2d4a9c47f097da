"""The sandbox's mail server: nothing without its password, and breaks as scripted."""

from __future__ import annotations

import asyncio
import json
import smtplib
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.unit.sandbox.serving import around

RULES = """
rules:
  - {match: {token_prefix: gone}, then: {status: 550, error: "5.1.1 no such user"}}
  - {match: {token_prefix: hang}, then: {reset: before}}
  - {match: {token_prefix: after}, then: {reset: after}}
"""
MAIL = "Message-ID: <d1@x>\r\nSubject: Sale\r\n\r\n.From five\r\n"


def replies(names: dict[str, Any]) -> list[object]:
    """Return what the server says to one session after another."""
    account = json.loads(Path(names["email_credentials"]).read_text())
    tls = ssl.create_default_context(cafile=names["ca_file"])
    where = urlsplit(names["smtp_url"])
    answers: list[object] = []

    def session(to: str, password: str = account["password"]) -> object:
        with smtplib.SMTP_SSL(where.hostname or "", where.port or 0, context=tls, timeout=5) as client:
            try:
                if password:
                    client.login(account["user"], password)
                return client.sendmail("shop@x", [to], MAIL)
            except smtplib.SMTPException as error:
                return type(error).__name__
            except OSError:
                return "hung up"

    for to in ("ann@x", "gone@x", "hang@x", "after@x"):
        answers.append(session(to))
    return [*answers, session("ann@x", "wrong"), session("ann@x", "")]


def test_a_session_is_answered_as_scripted(tmp_path: Path) -> None:
    answers, phones = around(tmp_path, lambda names: asyncio.to_thread(replies, names), RULES)
    assert answers == [
        {}, "SMTPRecipientsRefused", "SMTPServerDisconnected", "SMTPServerDisconnected",
        "SMTPAuthenticationError", "SMTPSenderRefused",
    ]  # fmt: skip
    # The mail whose answer was lost has arrived all the same; no other that was refused has.
    assert phones.stats()["received"] == 2
    assert json.loads((tmp_path / "received.json").read_text())
