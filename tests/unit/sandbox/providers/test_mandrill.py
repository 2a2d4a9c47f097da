"""Mandrill's stand-in: it knows its key, and reads the mail that comes raw."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from angelia.sandbox.providers.mandrill import MandrillSandbox
from tests.unit.delivery.given import MESSAGE
from tests.unit.sandbox.given import Stand, verdict

MAIL = MESSAGE._replace(address="ann@people.example")


def test_a_mail_arrives_with_our_id(tmp_path: Path) -> None:
    stand = Stand(MandrillSandbox, tmp_path)
    provider = stand.provider("mandrill", "email_mandrill")
    assert verdict(provider, stand.post(provider.adapter.build_request(MAIL))).kind == "accepted"
    ((dispatch, recipient, title, text),) = stand.phones.recent
    assert (dispatch, recipient, title) == (MAIL.dispatch_id, MAIL.address, MAIL.title)
    assert text.strip() == MAIL.body


def test_another_key_is_refused(tmp_path: Path) -> None:
    stand = Stand(MandrillSandbox, tmp_path)
    provider = stand.provider("mandrill", "email_mandrill", api_key="guess")
    assert verdict(provider, stand.post(provider.adapter.build_request(MAIL))).reason == "Invalid_Key"
    assert stand.phones.received == {}


@pytest.mark.parametrize("changes", [{"async": True}, {"to": []}, {"raw_message": "Subject: x\r\n\r\nx"}])
def test_a_request_that_mandrill_refuses_is_refused(changes: dict[str, object], tmp_path: Path) -> None:
    stand = Stand(MandrillSandbox, tmp_path)
    provider = stand.provider("mandrill", "email_mandrill")
    request = provider.adapter.build_request(MAIL)
    body = json.dumps(json.loads(request.body) | changes).encode()
    assert verdict(provider, stand.post(request._replace(body=body))).reason == "ValidationError"
    assert stand.phones.received == {}


def test_a_rule_rejects_the_recipient_in_an_answer_of_success(tmp_path: Path) -> None:
    stand = Stand(MandrillSandbox, tmp_path, {"error": "unsub"}, {"status": 500, "error": "PoorReputation"})
    provider = stand.provider("mandrill", "email_mandrill")
    kinds = [verdict(provider, stand.post(provider.adapter.build_request(MAIL))).kind for _ in range(3)]
    assert kinds == ["opted_out", "halt", "accepted"]
