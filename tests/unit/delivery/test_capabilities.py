"""What the table of capabilities says of each adapter is what its requests show."""

from __future__ import annotations

import sys

import pytest

from angelia.delivery.channels import PROVIDERS, capabilities, stand_in
from angelia.delivery.channels.base import ACCEPTED, Message, MessageRejected
from angelia.transport.wire import Answer, Request

STATUSES = (200, 201, 301, 400, 401, 403, 404, 410, 413, 429, 500, 503)
BODIES = (b"", b"[]", b"null", b"{", b'{"code":[]}', b'{"errcode":{}}', b'{"code":true}', b"\xff")


MAILS = {"smtp", "ses_v2", "mandrill"}  # a mail is folded before it is measured
# Their headers hold the time or a signature.
UNTIMED = ("webpush", "webhook", "apns", "ses_v2", "sns_push", "sns_sms")
UNSTEADY = (b"authorization", b"webhook-timestamp", b"x-amz-date", b"timestamp")


def request(provider: str, **changes: object) -> Request:
    its = stand_in(provider)
    assert its is not None
    plain = Message(its.address, "ab" * 16, "Parcel", "At 5 pm", None, None, 3600, False)
    return its.adapter.build_request(plain._replace(**changes))  # type: ignore[arg-type]


def content(provider: str, **changes: object) -> tuple[bytes, object]:
    """Return what of a request must repeat: a signature may differ at each try."""
    sent = request(provider, **changes)
    return sent.body, [pair for pair in sent.extra if pair[0] not in UNSTEADY]


@pytest.mark.parametrize("provider", sorted(set(PROVIDERS) - {"webhook", "apns", "smtp"}))
def test_a_message_tried_again_has_the_same_bytes(provider: str) -> None:
    assert content(provider) == content(provider), "the ledger knows a row by the bytes of its request"


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
def test_collapse_and_lifetime_travel_where_the_table_says(provider: str) -> None:
    its = capabilities.capabilities(provider)
    assert (content(provider) != content(provider, collapse_key="order")) == bool(its.collapse)
    if provider not in UNTIMED:  # their headers hold the time or a signature
        assert (request(provider) != request(provider, ttl_s=7200)) == bool(its.ttl)


@pytest.mark.parametrize("provider", sorted(set(PROVIDERS) - MAILS))
def test_a_message_above_the_limit_is_refused_with_it(provider: str) -> None:
    with pytest.raises(MessageRejected) as refused:
        request(provider, body="é" * 30_000)
    assert refused.value.reason == "payload_too_large"
    assert f"{refused.value.limit:,}" in capabilities.capabilities(provider).limit


@pytest.mark.parametrize("provider", sorted(set(PROVIDERS) - MAILS))
def test_no_answer_is_too_odd_to_classify(provider: str) -> None:
    its = stand_in(provider)
    assert its is not None
    for status in STATUSES:
        for body in BODIES:
            verdict = its.adapter.classify(Answer(status, body))
            assert status < 300 or verdict.kind != ACCEPTED


def test_a_stale_table_fails_the_check(tmp_path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    page = tmp_path / "channels.md"
    page.write_text(f"a\n{capabilities.BEGIN}\nold\n{capabilities.END}\nb\n")
    monkeypatch.setattr(capabilities, "PAGE", page)
    monkeypatch.setattr(sys, "argv", ["capabilities", "--check"])
    assert capabilities.main() == 1
    assert "run `make docs`" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["capabilities"])
    assert capabilities.main() == 0
    assert page.read_text() == f"a\n{capabilities.BEGIN}\n{capabilities.table()}\n{capabilities.END}\nb\n"
    monkeypatch.setattr(sys, "argv", ["capabilities", "--check"])
    assert capabilities.main() == 0
