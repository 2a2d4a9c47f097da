"""A mail address that a client gave is the person's after their yes to a mail."""

from __future__ import annotations

import asyncio
import re
import warnings
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from urllib.parse import urlencode

import pytest

from angelia.delivery.channels.base import Provider
from angelia.delivery.channels.mail_format import Mailbox
from angelia.delivery.channels.smtp import SmtpAdapter
from angelia.intake.dispatching import sample_night
from angelia.lake import Lake
from angelia.receive.api import create_app
from angelia.receive.journal import Journal
from angelia.receive.preferences import mailing
from angelia.receive.preferences.addresses import AddressQuestions, take_address
from angelia.receive.preferences.links import ADDRESS, CONFIRM, Links
from angelia.receive.receiver import CallbackReceiver
from angelia.receive.trust import Trust
from angelia.users.registered import addresses_of
from angelia.users.suppressions import close_person
from tests.unit.receive.callers import NOW, PAGE
from tests.unit.receive.preferences.conftest import FORM, MAIL, OFF, USER, MailWire

with warnings.catch_warnings():
    # It wants the successor of httpx, which is not in the lock; httpx does.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

NEW = "new@mail.example"


@pytest.fixture
def wire(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> MailWire:
    sample_night.make(lake, 3, "2026-11-14", documents=(*sample_night.DOCUMENTS, MAIL, OFF))
    taken = MailWire()
    adapter = SmtpAdapter(Mailbox("Shop", "news@shop.example"), "https://shop.example/u", b"s")
    provider = Provider(adapter, "", None, open_transport=lambda _, __: taken)
    monkeypatch.setattr(mailing, "open_provider", lambda _: provider)
    return taken


@pytest.fixture
def client(lake: Lake, wire: MailWire) -> Iterator[TestClient]:
    receiver = CallbackReceiver(Journal(lake.store), Trust(preferences=PAGE), lambda: NOW, lake)
    with TestClient(create_app(receiver)) as made:
        yield made


def mails_of(lake: Lake) -> list[str]:
    rows = addresses_of(lake, USER).to_pylist()
    return [row["address"] for row in rows if row["channel"] == "email"]


def test_the_mail_goes_to_the_address_and_its_link_names_nobody(
    client: TestClient, wire: MailWire, lake: Lake
) -> None:
    questions = AddressQuestions(lake, PAGE.secret, PAGE.url, lambda: NOW)
    assert [questions.offers(name) for name in ("email", "sms", "nothing")] == [True, False, False]
    for _ in range(2):  # once in ten minutes
        assert asyncio.run(questions.ask(USER, "email", NEW))
    assert not asyncio.run(questions.ask(USER, "nothing", NEW))
    (mail,) = wire.mails
    assert NEW in mail
    link = unescape(re.findall(r"https://back\S+", mail.replace("=\r\n", "").replace("=3D", "="))[0])
    assert NEW not in link
    assert USER not in link
    key = link.partition("t=")[2]
    assert (
        "Shall we write to you at the address" in client.get("/preferences/confirm", params={"t": key}).text
    )
    assert mails_of(lake) == [], "scanners of mails follow links"
    for _ in range(2):
        assert (
            "Kept." in client.post("/preferences/confirm", content=urlencode({"t": key}), headers=FORM).text
        )
    assert mails_of(lake) == [NEW]
    assert lake.read_log("registered_addresses").num_rows == 1


def test_a_yes_opens_nothing_that_was_closed(client: TestClient, lake: Lake) -> None:
    links = Links(PAGE.secret)
    late = links.make(ADDRESS, [USER, "email", NEW], NOW - timedelta(days=3))
    other = links.make(CONFIRM, [USER, "email"], NOW)
    assert client.get("/preferences/confirm", params={"t": late}).status_code == 401
    assert "by email again" in client.get("/preferences/confirm", params={"t": other}).text
    close_person(lake, USER, "email", for_good=True, at=NOW)
    assert not take_address(lake, USER, "email", NEW, at=NOW)
    key = links.make(ADDRESS, [USER, "email", NEW], NOW)
    page = client.post("/preferences/confirm", content=urlencode({"t": key}), headers=FORM)
    assert "stays closed" in page.text
    assert mails_of(lake) == []
