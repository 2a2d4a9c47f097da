"""The webhook receiver's stand-in: a young signature, a whole payload, and scripted fates."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from angelia.delivery.channels.webhook import WebhookAdapter
from angelia.sandbox.fcm import Reply
from angelia.sandbox.phones import Phones
from angelia.sandbox.webhook import WebhookSandbox
from tests.unit.delivery.given import MESSAGE
from tests.unit.sandbox.given import rules


def send(
    *fates: dict[str, Any], secret: bytes = b"s", at: float = 0.0, body: bytes = b""
) -> tuple[Reply, Phones]:
    phones = Phones()
    adapter = WebhookAdapter(secret, lambda: time.time() + at)
    request = adapter.build_request(MESSAGE._replace(address="https://a.example/hook/a"))
    sandbox = WebhookSandbox(b"s", phones, rules(*fates))
    return sandbox.answer(b"POST", b"/hook/a", request.extra, body or request.body), phones


def test_a_signed_message_arrives() -> None:
    reply, phones = send()
    assert reply.status == 204
    assert list(phones.recent) == [(MESSAGE.dispatch_id, "a", MESSAGE.title, MESSAGE.body)]


@pytest.mark.parametrize("how", [{"secret": b"t"}, {"at": -3600.0}, {"body": b"{}"}])
def test_another_signature_an_old_and_a_changed_body_are_refused(how: dict[str, Any]) -> None:
    reply, phones = send(**how)
    assert (reply.status, json.loads(reply.body)) == (401, {"error": "signature"})
    assert phones.received == {}


def test_scripted_fates_redirect_refuse_or_break() -> None:
    reply, phones = send({"status": 302, "location": "https://b.example"})
    assert (reply.status, reply.headers, phones.received) == (302, ((b"location", b"https://b.example"),), {})
    reply, phones = send({"status": 429, "retry_after": "9"})
    assert (reply.retry_after, phones.outcomes) == (b"9", {"429": 1})
    _, phones = send({"refuse": True})
    assert (phones.received, phones.outcomes) == ({}, {"broken_before": 1})


def test_only_posts_are_taken() -> None:
    sandbox = WebhookSandbox(b"s", Phones(), rules())
    assert sandbox.answer(b"GET", b"/hook/a", (), b"").status == 405
