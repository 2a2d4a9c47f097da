"""What the table of capabilities says of each adapter is what its requests show."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from angelia.delivery.channels import PROVIDERS, capabilities, stand_in
from angelia.delivery.channels.base import ACCEPTED, Message, MessageRejected
from angelia.errors import InvalidInput
from angelia.receive import callbacks
from angelia.transport.wire import Answer, Request
from tests.unit.delivery.channels import test_ses_bulk, test_token_lists
from tests.unit.delivery.channels.given import opened

STATUSES = (200, 201, 301, 400, 401, 403, 404, 410, 413, 429, 500, 503)
BODIES = (b"", b"[]", b"null", b"{", b'{"code":[]}', b'{"errcode":{}}', b'{"code":true}', b"\xff")


ACCOUNTS = {
    "huawei": test_token_lists.KEY_FILE,
    "oppo": {"app_key": "k", "master_secret": "m"},
    "ses_v2": test_ses_bulk.ACCOUNT,
}
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


def test_what_comes_back_by_a_call_has_a_route() -> None:
    """A dispatch id that returns is one that `angelia receive` takes from this provider."""
    returned = {name for name in PROVIDERS if "with the dispatch id" in (receipts_of(name) or "")}
    assert returned == set(callbacks.PROVIDERS)


def receipts_of(provider: str) -> str | None:
    return capabilities.capabilities(provider).receipts


@pytest.mark.parametrize("provider", ["huawei", "oppo", "ses_v2"])
def test_an_account_may_ask_for_what_the_table_says(provider: str, tmp_path: Path) -> None:
    most = capabilities.capabilities(provider).multicast
    assert most is not None
    for asked in (1, most):
        assert opened(tmp_path, provider, ACCOUNTS[provider] | {"per_request": asked})
    with pytest.raises(InvalidInput, match="per_request of channel second is out of range"):
        opened(tmp_path, provider, ACCOUNTS[provider] | {"per_request": most + 1})


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
