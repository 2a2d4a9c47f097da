"""What every stand-in does with a message: the rules decide, else the phone has it."""

from __future__ import annotations

from typing import Any

import pytest

from angelia.sandbox.fcm import Reply
from angelia.sandbox.phones import Phones
from angelia.sandbox.providers.base import ProviderSandbox
from angelia.sandbox.rules import Then
from tests.unit.sandbox.given import rules


def serve(*fates: dict[str, Any]) -> tuple[Reply, Phones]:
    phones = Phones()
    sandbox = ProviderSandbox(phones, rules(*fates))

    def failed(then: Then) -> Reply:
        return Reply(then.status, b"scripted")

    return sandbox.serve("d", "t", "title", "text", Reply(200, b"ok"), failed), phones


def test_without_a_rule_the_phone_receives_it() -> None:
    reply, phones = serve()
    assert (reply, phones.received) == (Reply(200, b"ok"), {"d": 1})
    assert list(phones.recent) == [("d", "t", "title", "text")]
    assert phones.outcomes == {"accepted": 1}


@pytest.mark.parametrize("fate", [{"refuse": True}, {"goaway": True}, {"reset": "before"}])
def test_what_breaks_before_is_received_by_nobody(fate: dict[str, Any]) -> None:
    reply, phones = serve(fate)
    assert reply.then is not None
    assert (phones.received, phones.outcomes) == ({}, {"broken_before": 1})


@pytest.mark.parametrize("fate", [{"reset": "after"}, {"silent": True}, {"drip": True}])
def test_what_breaks_after_was_received_all_the_same(fate: dict[str, Any]) -> None:
    reply, phones = serve(fate)
    assert reply.then is not None
    assert (phones.received, phones.outcomes) == ({"d": 1}, {"accepted": 1})


def test_a_scripted_refusal_is_the_providers_own_answer() -> None:
    reply, phones = serve({"status": 503, "retry_after": "7"})
    assert (reply.status, reply.body, reply.retry_after) == (503, b"scripted", b"7")
    assert (phones.received, phones.outcomes) == ({}, {"503": 1})
    reply, phones = serve({"status": 200, "error": "41", "body": "odd"})
    assert (reply.body, phones.received, phones.outcomes) == (b"odd", {}, {"41": 1})


def test_a_refusal_is_counted_by_its_name() -> None:
    phones = Phones()
    reply = ProviderSandbox(phones, rules()).refused(401, "sms_20003", {"code": 20003})
    assert (reply.status, reply.body, phones.outcomes) == (401, b'{"code": 20003}', {"sms_20003": 1})
