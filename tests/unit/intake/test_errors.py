"""Each refusal has its code and status, and quotes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from angelia.intake import api
from angelia.intake.api import MAX_BODY_BYTES
from tests.unit.intake.conftest import SMALL, Ask


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/v1/messages", b"{", 400, "not_json"),
        ("POST", "/v1/messages", {}, 422, "missing"),
        ("POST", "/v1/messages", b" " * (MAX_BODY_BYTES + 1), 413, "too_large"),
        ("POST", "/v1/messages:batch", b"[]", 422, "wrong_type"),
        ("GET", "/v1/messages/0", None, 404, "not_found"),
        ("DELETE", "/v1/messages/0", None, 404, "not_found"),
        ("POST", "/v1/messages/0:resend", None, 404, "not_found"),
        ("POST", "/v1/codes", b"{", 400, "not_json"),
        ("POST", "/v1/codes", {"user_id": "a", "campaign_id": "c", "network": "x"}, 422, "format"),
        ("POST", "/v1/codes", {"user_id": "a", "campaign_id": "c", "lives_s": 5}, 422, "invalid"),
        ("POST", "/v1/codes/0:verify", {"code": "x"}, 422, "format"),
        ("GET", "/v1/messages?limit=0", None, 422, "invalid"),
        ("GET", "/v1/messages?from=yesterday", None, 422, "invalid"),
        ("GET", "/v1/messages?from=0.5", None, 422, "invalid"),
        ("GET", "/v1/messages?to=1790000000", None, 422, "invalid"),
        ("POST", "/v1/messages", {**SMALL, "send_at": "1890000000"}, 422, "not_a_time"),
        ("GET", "/v1/messages?cursor=x'", None, 422, "invalid"),
        ("GET", "/v1/messages?status=lost", None, 422, "invalid"),
        ("GET", "/v1/messages?user_id=anna", None, 422, "unknown_field"),
        ("PUT", "/v1/messages", None, 405, "not_allowed"),
        ("GET", "/v2", None, 404, "not_found"),
    ],
)
def test_each_refusal_has_its_code(
    ask: Ask, method: str, path: str, body: Any, status: int, code: str
) -> None:
    answer = ask(method, path, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert set(answer.json()["error"]) == {"code", "field", "reason"}


def test_a_method_too_many_is_answered_with_those_there_are(ask: Ask) -> None:
    for path, known in (
        ("/v1/messages/0", "DELETE, GET"),
        ("/v1/messages", "GET, POST"),
        ("/v1/messages/0:resend", "POST"),
    ):
        answer = ask("PUT", path)
        assert (answer.status_code, answer.headers["allow"]) == (405, known)


def test_a_defect_is_an_answer_without_its_text(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("anna")

    monkeypatch.setattr(api, "parse_message", broken)
    answer = ask("POST", "/v1/messages", SMALL)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert "anna" not in answer.text
