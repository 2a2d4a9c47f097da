"""Webhooks: signatures of the specification, and what a receiver's answers mean."""

from __future__ import annotations

import pytest

from angelia.delivery.channels import webhook
from angelia.transport.wire import Answer
from tests.golden.wire import MESSAGES, NOW, assert_golden
from tests.unit.delivery.given import MESSAGE


def test_webhook_signatures_are_those_of_the_specification() -> None:
    adapter = webhook.WebhookAdapter(b"topsecret", lambda: 1_700_000_000.9)
    request = adapter.build_request(MESSAGE._replace(address="https://shop.example/in"))
    name, stamp, signature = (value.decode() for _, value in request.extra)
    assert (name, stamp) == (MESSAGE.dispatch_id, "1700000000")
    assert webhook.verify(b"topsecret", name, stamp, request.body, f"v1a,other {signature}", 1_700_000_100)
    assert not webhook.verify(b"topsecret", name, stamp, request.body, signature, 1_700_000_400)
    assert not webhook.verify(b"topsecret", name, stamp, request.body + b" ", signature, 1_700_000_000)
    assert not webhook.verify(b"topsecrat", name, stamp, request.body, signature, 1_700_000_000)
    assert not webhook.verify(b"topsecret", name, "-5", request.body, signature, 1_700_000_000)
    # openssl: printf '%s' 'msg_1.1700000000.{"a":1}' | openssl dgst -sha256 -hmac topsecret -binary | base64
    assert (
        webhook.sign(b"topsecret", "msg_1", "1700000000", b'{"a":1}')
        == "v1,6wW4SqbhVQWEKgMRB9De27CnObbDoduoe7FCeyn5/bo="
    )


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(Answer(204), "accepted"), (Answer(302), "rejected"), (Answer(410), "gone"), (Answer(429), "retry"),
    (Answer(500), "retry"),
     (Answer(401), "rejected"), (Answer(403, failure="address_refused"), "rejected")],
)  # fmt: skip
def test_webhook_answers(answer: Answer, kind: str) -> None:
    assert webhook.WebhookAdapter(b"s").classify(answer).kind == kind


@pytest.mark.parametrize("name", MESSAGES)
def test_requests_equal_their_golden_files(name: str) -> None:
    adapter = webhook.WebhookAdapter(b"secret", lambda: NOW)
    assert_golden("webhook", name, adapter, "https://hooks.shop.example/in?x=1")
