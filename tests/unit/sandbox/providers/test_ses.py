"""SES's stand-in: it knows its own signature, and reads the mail that comes raw."""

from __future__ import annotations

from pathlib import Path

from angelia.sandbox.providers.ses import SesSandbox
from tests.unit.delivery.given import MESSAGE
from tests.unit.sandbox.given import Stand, verdict

MAIL = MESSAGE._replace(address="ann@people.example")


def test_a_mail_arrives_with_our_id_from_its_tag(tmp_path: Path) -> None:
    stand = Stand(SesSandbox, tmp_path)
    provider = stand.provider("ses_v2", "email_ses")
    assert verdict(provider, stand.post(provider.adapter.build_request(MAIL))).kind == "accepted"
    ((dispatch, recipient, title, text),) = stand.phones.recent
    assert (dispatch, recipient, title) == (MAIL.dispatch_id, MAIL.address, MAIL.title)
    assert text.strip() == MAIL.body


def test_another_accounts_signature_is_refused(tmp_path: Path) -> None:
    stand = Stand(SesSandbox, tmp_path)
    provider = stand.provider("ses_v2", "email_ses", secret_access_key="guess")
    given = verdict(provider, stand.post(provider.adapter.build_request(MAIL)))
    assert (given.kind, given.reason) == ("halt", "InvalidSignatureException")
    assert stand.phones.received == {}


def test_a_rule_names_the_exception_in_the_header(tmp_path: Path) -> None:
    stand = Stand(SesSandbox, tmp_path, {"status": 429, "error": "TooManyRequestsException"}, {"status": 503})
    provider = stand.provider("ses_v2", "email_ses")
    given = [verdict(provider, stand.post(provider.adapter.build_request(MAIL))) for _ in range(2)]
    assert [each.kind for each in given] == ["throttled", "retry"]
    assert given[0].reason == "TooManyRequestsException"
