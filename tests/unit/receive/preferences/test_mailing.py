"""A mail asks for the second word, once in ten minutes, at the newest address."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from angelia.catalog.documents import Channel, parse_document
from angelia.lake import Lake
from angelia.receive.preferences.mailing import AGAIN, ConfirmationMails
from tests.unit.receive.callers import NOW
from tests.unit.receive.conftest import TestClient
from tests.unit.receive.preferences.conftest import MAIL, USER, MailWire, visit


def test_without_a_mail_that_was_taken_nothing_is_promised(client: TestClient, wire: MailWire) -> None:
    wire.status = 550
    visit(client, "channel.fcm")
    assert "no mail could be sent" in visit(client, "channel.fcm", "channel.email")
    assert "no mail could be sent" in visit(client, "channel.fcm", "channel.email")
    assert len(wire.mails) == 2


def test_a_person_is_asked_again_after_ten_minutes(lake: Lake, wire: MailWire) -> None:
    mails, channel = ConfirmationMails(lake), parse_document(MAIL)
    assert isinstance(channel, Channel)

    def ask(later: timedelta, user: str = USER) -> bool:
        return asyncio.run(mails.ask(user, channel, "https://back.example/c", NOW + later))

    assert [ask(timedelta()), ask(AGAIN - timedelta(seconds=1))] == [True, True]
    assert len(wire.mails) == 1
    assert ask(AGAIN)
    assert len(wire.mails) == 2
    assert "To: ann@mail.example" in wire.mails[1]  # the newest of two addresses
    assert not ask(timedelta(), "u0000002")  # who has no address cannot be asked


def test_an_address_that_takes_no_mail_promises_nothing(lake: Lake, wire: MailWire) -> None:
    mails, channel = ConfirmationMails(lake), parse_document(MAIL)
    assert isinstance(channel, Channel)
    assert not asyncio.run(mails.ask(USER, channel, "https://back.example/c", NOW, given="a@b\r\nBcc: c@d.e"))
    assert wire.mails == []
