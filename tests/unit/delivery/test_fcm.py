"""FCM: what each answer means; the bytes on the wire are in tests/golden."""

from __future__ import annotations

import json

import pytest

from angelia.delivery.channels.base import MessageRejected
from angelia.delivery.channels.fcm import ERRORS, FcmAdapter
from angelia.transport.wire import Answer
from tests.golden.wire import MESSAGES, assert_golden

FCM, BAD = "type.googleapis.com/google.firebase.fcm.v1.FcmError", "type.googleapis.com/google.rpc.BadRequest"


def test_cached_fragments_do_not_leak_between_messages() -> None:
    adapter, fresh = FcmAdapter("p"), FcmAdapter("p")
    first = [adapter.build_request(message).body for message in MESSAGES.values()]
    assert [adapter.build_request(message).body for message in MESSAGES.values()] == first
    assert [fresh.build_request(message).body for message in reversed(MESSAGES.values())] == first[::-1]


def test_too_large_is_refused_before_it_is_sent() -> None:
    with pytest.raises(MessageRejected, match="payload_too_large"):
        FcmAdapter("p").build_request(MESSAGES["plain"]._replace(body="x" * 4097))


def answer(status: int, code: str | None = None, *types: str, rpc: str = "X") -> Answer:
    details = [{"@type": kind, **({"errorCode": code} if kind == FCM else {})} for kind in types]
    return Answer(status, json.dumps({"error": {"code": status, "status": rpc, "details": details}}).encode())


@pytest.mark.parametrize(
    ("given", "kind", "reason"),
    [
        (Answer(200, b'{"name":"projects/p/messages/0:1"}'), "accepted", None),
        (answer(404, "UNREGISTERED", FCM), "gone", "UNREGISTERED"),
        (answer(400, "INVALID_ARGUMENT", FCM), "rejected", "INVALID_ARGUMENT.token"),
        (answer(400, "INVALID_ARGUMENT", FCM, BAD), "rejected", "INVALID_ARGUMENT.payload"),
        (answer(400, None, BAD, rpc="INVALID_ARGUMENT"), "rejected", "INVALID_ARGUMENT.payload"),
        (answer(403, "SENDER_ID_MISMATCH", FCM), "halt", "SENDER_ID_MISMATCH"),
        (answer(401, "THIRD_PARTY_AUTH_ERROR", FCM), "halt", "THIRD_PARTY_AUTH_ERROR"),
        (answer(401, rpc="UNAUTHENTICATED"), "auth", "UNAUTHENTICATED"),
        (answer(404, rpc="NOT_FOUND"), "halt", "NOT_FOUND"),
        (answer(429, "QUOTA_EXCEEDED", FCM), "throttled", "QUOTA_EXCEEDED"),
        (answer(503, "UNAVAILABLE", FCM), "retry", "UNAVAILABLE"),
        (answer(500, "INTERNAL", FCM), "retry", "INTERNAL"),
        (Answer(502, b"<html>Bad gateway</html>"), "retry", "HTTP_502"),
        (answer(418, "TEAPOT", FCM), "rejected", "TEAPOT"),
        (Answer(200, b'{"error":{"status":"UNAVAILABLE"}}'), "retry", "UNAVAILABLE"),
        (Answer(200, b"{"), "ambiguous", "answer_without_name"),
        (Answer(200, b"[]"), "ambiguous", "answer_without_name"),
        (Answer(400, b'{"error":{"details":[1,{"errorCode":7}],"status":5}}'), "rejected", "7"),
    ],
)
def test_answers(given: Answer, kind: str, reason: str | None) -> None:
    verdict = FcmAdapter("p").classify(given)
    assert (verdict.kind, verdict.reason) == (kind, reason)


def test_the_table_uses_known_meanings_only() -> None:
    assert set(ERRORS.values()) <= {"retry", "throttled", "gone", "rejected", "halt", "auth"}


@pytest.mark.parametrize("name", MESSAGES)
def test_requests_equal_their_golden_files(name: str) -> None:
    assert_golden("fcm", name, FcmAdapter("my-project"))
