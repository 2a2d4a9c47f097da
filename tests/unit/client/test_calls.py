"""Calls: what is tried again, what is not, and what no text of the client ever shows."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from angelia.client import IntakeClient, IntakeRefused, IntakeUnreachable
from tests.unit.client.conftest import Served

SMALL: Any = {"user_id": "anna", "campaign_id": "cart", "class": "marketing"}
TAKEN = httpx.Response(202, json={"id": "m", "accepted_at": "t", "repeated": False})
ERROR = {"code": "database_unavailable", "field": "", "reason": "down"}
Fate = httpx.Response | Exception


class Scripted(httpx.BaseTransport):
    """Answers by a script, and keeps what it was asked."""

    def __init__(self, *fates: Fate) -> None:
        self.fates, self.asked = list(fates), list[httpx.Request]()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        fate = self.fates.pop(0)
        if isinstance(fate, Exception):
            raise fate
        return fate


def client(*fates: Fate, patience_s: float = 60.0) -> tuple[IntakeClient, Scripted, list[float]]:
    waits: list[float] = []
    script = Scripted(*fates)
    made = IntakeClient("http://intake", "ank_x", transport=script, sleep=waits.append, patience_s=patience_s)
    return made, script, waits


def refusal(status: int, after: str | None = None, code: str = "busy") -> httpx.Response:
    headers = {} if after is None else {"retry-after": after}
    return httpx.Response(status, json={"error": {**ERROR, "code": code}}, headers=headers)


@pytest.mark.parametrize(
    "fate", [refusal(503, "1"), refusal(429, "1"), httpx.ReadTimeout(""), httpx.ConnectError("")]
)
def test_a_message_is_tried_again_under_one_key(fate: Fate) -> None:
    intake, script, waits = client(fate, TAKEN)
    assert intake.send_message(SMALL)["id"] == "m"
    first, second = (json.loads(request.content) for request in script.asked)
    assert first == second
    assert len(first["idempotency_key"]) == 32
    assert len(waits) == 1


def test_a_key_of_the_callers_own_stays() -> None:
    intake, script, _ = client(TAKEN)
    intake.send_message({**SMALL, "idempotency_key": "order-7"})
    assert json.loads(script.asked[0].content)["idempotency_key"] == "order-7"


def test_retry_after_is_waited_for() -> None:
    intake, _, waits = client(refusal(429, "7"), TAKEN)
    intake.send_message(SMALL)
    assert waits == [7.0]


def test_patience_ends_with_the_refusal_itself() -> None:
    intake, script, waits = client(refusal(429, "61", "cool_down"))
    with pytest.raises(IntakeRefused) as ended:
        intake.make_code({"user_id": "anna", "campaign_id": "code"})
    refused = ended.value
    assert (refused.status, refused.code, refused.field, refused.retry_after_s) == (
        429,
        "cool_down",
        "",
        61.0,
    )
    assert not waits
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    ("fate", "tries"),
    [
        (httpx.ReadTimeout(""), 1),  # a code may be on its way
        (refusal(503), 1),
        (httpx.ConnectError(""), 2),  # nothing was sent
        (refusal(429), 2),  # nothing was taken
    ],
)
def test_a_code_is_not_asked_for_twice(fate: Fate, tries: int) -> None:
    made = httpx.Response(202, json={})
    intake, script, _ = client(fate, made)
    ask: Callable[[], Any] = lambda: intake.make_code({"user_id": "anna", "campaign_id": "code"})  # noqa: E731
    if tries == 1:
        with pytest.raises((IntakeRefused, IntakeUnreachable)):
            ask()
    else:
        ask()
    assert len(script.asked) == tries


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500])
def test_other_refusals_are_final(status: int) -> None:
    intake, script, _ = client(refusal(status, code="some_code"))
    with pytest.raises(IntakeRefused, match="some_code"):
        intake.send_message(SMALL)
    assert len(script.asked) == 1


def test_words_of_a_proxy_are_not_repeated() -> None:
    intake, *_ = client(httpx.Response(404, text="no /v1/users/anna here"))
    with pytest.raises(IntakeRefused) as ended:
        intake.preferences("anna")
    assert ended.value.code == "no_json_answer"
    assert "anna" not in str(ended.value)


def test_a_time_without_a_zone_is_not_sent() -> None:
    intake, script, _ = client(TAKEN)
    with pytest.raises(ValueError, match="zone"):
        intake.send_message({**SMALL, "send_at": datetime(2026, 11, 28)})
    assert not script.asked
    intake.send_message({**SMALL, "send_at": datetime(2026, 11, 28, tzinfo=UTC)})
    assert json.loads(script.asked[0].content)["send_at"] == "2026-11-28T00:00:00+00:00"


def test_nothing_shows_the_key_or_a_person(
    served: Served, intake: IntakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    intake.put_preferences("secret-person", {"topics": {"promo": False}})
    with pytest.raises(IntakeRefused) as ended:
        intake.put_preferences("secret-person", {"topics": {"NO": False}})
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    away = IntakeClient(address, served.key, patience_s=0)
    with pytest.raises(IntakeUnreachable) as lost:
        away.preferences("secret-person")
    assert served.address.rpartition(":")[2] in caplog.text  # connections are told
    for text in (caplog.text, repr(intake), str(vars(ended.value)), str(ended.value), str(lost.value)):
        assert "secret-person" not in text
        assert served.key not in text
