"""A person's page, asked as a browser does, and a server that takes mails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from angelia.delivery.channels.base import Provider
from angelia.delivery.channels.mail_format import Mailbox
from angelia.delivery.channels.smtp import SmtpAdapter
from angelia.intake.dispatching import sample_night
from angelia.lake import Lake
from angelia.receive.api import create_app
from angelia.receive.preferences import mailing
from angelia.receive.preferences.links import PAGE as OF_PAGE
from angelia.receive.preferences.links import Links
from angelia.receive.receiver import CallbackReceiver
from angelia.transport.wire import Answer, Request
from tests.unit.receive.callers import NOW, PAGE, endpoints
from tests.unit.receive.conftest import TestClient

USER = "u0000001"
FORM = {"content-type": "application/x-www-form-urlencoded"}
LINKS = Links(PAGE.secret)
MAIL = {**sample_night.CHANNEL, "id": "email", "provider": "smtp"}
OFF = {**sample_night.CHANNEL, "id": "sms", "provider": "twilio", "enabled": False}


class MailWire:
    """Takes mails as a server would, and keeps what they say."""

    def __init__(self, status: int = 250) -> None:
        self.status = status
        self.mails: list[str] = []

    def submit(self, request: Request, _: bytes, done: Callable[[Any, Answer], None], tag: Any) -> None:
        self.mails.append(request.body.decode())
        done(tag, Answer(self.status))

    async def close(self) -> None:
        pass


@pytest.fixture
def documents() -> tuple[dict[str, Any], ...]:
    return (*sample_night.DOCUMENTS, MAIL, OFF)


@pytest.fixture
def wire(lake: Lake, monkeypatch: pytest.MonkeyPatch, documents: tuple[dict[str, Any], ...]) -> MailWire:
    sample_night.make(lake, 3, "2026-11-14", documents=documents)
    endpoints(lake, (USER, "email", "old@mail.example", 9), (USER, "email", "ann@mail.example", 2))
    taken = MailWire()
    adapter = SmtpAdapter(Mailbox("Shop", "news@shop.example"), "https://shop.example/u", b"s")
    provider = Provider(adapter, "", None, open_transport=lambda _, __: taken)
    monkeypatch.setattr(mailing, "open_provider", lambda _: provider)
    return taken


@pytest.fixture
def client(receiver: CallbackReceiver, wire: MailWire) -> Iterator[TestClient]:
    with TestClient(create_app(receiver)) as made:
        yield made


def visit(client: TestClient, *kept: str, user: str = USER, at: datetime = NOW) -> str:
    """Open a person's page and send it back with these boxes ticked."""
    key = LINKS.make(OF_PAGE, [user], at)
    answer = client.post(
        "/preferences", content=urlencode({"t": key, **dict.fromkeys(kept, "on")}), headers=FORM
    )
    assert answer.status_code == 200
    return str(answer.text)
