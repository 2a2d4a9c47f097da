"""The REST interface: answers, codes, scopes, limits, its log and its document."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Engine
from starlette.exceptions import StarletteDeprecationWarning

from angelia.delivery.ledger.ledger import Owner
from angelia.intake import api
from angelia.intake.api import MAX_BODY_BYTES, create_app
from angelia.intake.codes import Codes, Secret
from angelia.intake.database import writing
from angelia.intake.dispatching.batches import Batches
from angelia.intake.keys import SCOPES, Keys
from angelia.intake.message import now
from angelia.intake.store import IntakeStore
from angelia.intake.tables import messages

with warnings.catch_warnings():
    # It wants the successor of httpx, which is not in the lock; httpx does.
    warnings.simplefilter("ignore", StarletteDeprecationWarning)
    from starlette.testclient import TestClient

SMALL = {"user_id": "anna", "campaign_id": "cart", "class": "marketing"}
Ask = Callable[..., Any]
SECRET = Secret(b"k" * 32)


@pytest.fixture
def server(engine: Engine, tmp_path: Path) -> Iterator[TestClient]:
    app = create_app(engine, tmp_path / "access.jsonl", Codes(engine, SECRET))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def ask(server: TestClient, engine: Engine) -> Ask:
    """Return a function that asks with a key of all scopes, or of those given."""
    keys = Keys(engine)
    texts: dict[Any, str] = {}

    def send(
        method: str,
        path: str,
        body: Any = None,
        *,
        client: str = "shop",
        scopes: tuple[str, ...] = SCOPES,
        per_second: int = 10_000,
    ) -> Any:
        named = (client, scopes, per_second)
        if named not in texts:
            texts[named] = keys.make(client, scopes, per_second, now())[1]
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {texts[named]}"}
        return server.request(method, path, content=content, headers=headers)

    return send


def test_what_is_answered_is_in_the_database(ask: Ask, engine: Engine) -> None:
    answer = ask("POST", "/v1/messages", {**SMALL, "variables": {"n": [1, {"x": None}]}})
    assert answer.status_code == 202
    row = IntakeStore(engine).get("shop", answer.json()["id"])
    assert row is not None
    assert row["user_id"] == "anna"
    view = ask("GET", f"/v1/messages/{answer.json()['id']}").json()
    assert view["variables"] == {"n": [1, {"x": None}]}
    assert [step["step"] for step in view["steps"]] == ["accepted"]
    assert view["steps"][0]["at"] == answer.json()["accepted_at"]


def test_same_key_same_answer_other_body_409(ask: Ask) -> None:
    keyed = {**SMALL, "idempotency_key": "order 7"}
    first, again = (ask("POST", "/v1/messages", keyed).json() for _ in range(2))
    assert {**first, "repeated": True} == again
    other = ask("POST", "/v1/messages", {**keyed, "priority": "high"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_conflict")


def test_a_batch_has_a_verdict_for_each_item(ask: Ask) -> None:
    items = [{**SMALL, "idempotency_key": "k"}, {**SMALL, "class": "x"}, {**SMALL, "idempotency_key": "k"}]
    answer = ask("POST", "/v1/messages:batch", {"messages": items})
    assert answer.status_code == 200
    document = answer.json()
    assert (document["accepted"], document["refused"]) == (2, 1)
    assert document["items"][1]["error"]["field"] == "class"
    assert document["items"][2] == {**document["items"][0], "repeated": True}
    refused_only = ask("POST", "/v1/messages:batch", {"messages": [{}]})
    assert (refused_only.status_code, refused_only.json()["refused"]) == (200, 1)


def test_a_code_is_asked_for_and_verified_by_its_scope(ask: Ask, tmp_path: Path) -> None:
    body = {"user_id": "anna", "campaign_id": "login", "network": "192.0.2.7", "lives_s": 300.0}
    made = ask("POST", "/v1/codes", body)
    assert made.status_code == 202
    again = ask("POST", "/v1/codes", body)
    assert (again.status_code, again.json()["error"]["code"]) == (429, "cool_down")
    assert 28 <= int(again.headers["retry-after"]) <= 30
    code = SECRET.code(made.json()["id"], "anna")
    path = f"/v1/codes/{made.json()['id']}:verify"
    assert ask("POST", path, {"code": code}, scopes=("write",)).status_code == 403
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    assert ask("POST", path, {"code": wrong}).json() == {"verified": False, "attempts_left": 4}
    assert ask("POST", path, {"code": code}, client="bank").json() == {"verified": False, "attempts_left": 0}
    assert ask("POST", path, {"code": code}).json() == {"verified": True, "attempts_left": 0}
    view = ask("GET", f"/v1/messages/{made.json()['id']}").json()
    assert view["variables"] == {"code": f"otp:{made.json()['id']}"}
    resent = ask("POST", f"/v1/messages/{made.json()['id']}:resend")
    assert (resent.status_code, resent.json()["error"]["code"]) == (409, "not_resendable")


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


def test_a_key_opens_its_scopes_and_its_clients_messages(ask: Ask, server: TestClient) -> None:
    sent = ask("POST", "/v1/messages", SMALL).json()["id"]
    for method, path, scope in (
        ("POST", "/v1/messages", "read"),
        ("POST", "/v1/messages:batch", "cancel"),
        ("GET", "/v1/messages", "write"),
        ("GET", f"/v1/messages/{sent}", "write"),
        ("DELETE", f"/v1/messages/{sent}", "read"),
    ):
        assert ask(method, path, SMALL, scopes=(scope,)).status_code == 403
        assert server.request(method, path).status_code == 401
    assert ask("GET", f"/v1/messages/{sent}", client="bank").status_code == 404
    assert ask("DELETE", f"/v1/messages/{sent}", client="bank").status_code == 404
    assert ask("GET", "/v1/messages", client="bank").json() == {"messages": [], "next": None}


def test_cancelling_twice_says_so_twice(ask: Ask, engine: Engine) -> None:
    sent, taken = (
        ask("POST", "/v1/messages", {**SMALL, "priority": p}).json()["id"] for p in ("low", "high")
    )
    for _ in range(2):
        answer = ask("DELETE", f"/v1/messages/{sent}")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    batch, _ = Batches(engine, Owner.this_process(), 10**9).claim(now(), 9, "2026-11-26", "2026-11-28T04")
    assert batch is not None
    assert batch.members == (("shop", taken),)
    answer = ask("DELETE", f"/v1/messages/{taken}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_cancellable")


def test_cursors_walk_all_messages_once(ask: Ask) -> None:
    sent = [ask("POST", "/v1/messages", SMALL).json()["id"] for _ in range(5)]
    seen, cursor = [], ""
    while cursor is not None:
        page = ask("GET", f"/v1/messages?limit=2{cursor and '&cursor=' + cursor}").json()
        seen += [message["id"] for message in page["messages"]]
        cursor = page["next"]
    assert seen == sorted(sent, reverse=True)


def test_over_the_rate_is_429_with_retry_after(ask: Ask) -> None:
    batch = {"messages": [SMALL] * 3}
    assert ask("POST", "/v1/messages:batch", batch, per_second=3).status_code == 200
    answer = ask("POST", "/v1/messages:batch", batch, per_second=3)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limited")
    assert int(answer.headers["retry-after"]) >= 1


def test_a_database_that_is_down_is_503(ask: Ask, engine: Engine) -> None:
    assert ask("POST", "/v1/messages", SMALL).status_code == 202
    with writing(engine) as connection:
        messages.drop(connection)
    for method, path, body in (
        ("POST", "/v1/messages", SMALL),
        ("POST", "/v1/messages:batch", {"messages": [SMALL]}),
        ("GET", "/v1/messages", None),
        ("DELETE", "/v1/messages/0", None),
    ):
        answer = ask(method, path, body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database_unavailable")
        assert answer.headers["retry-after"] == "1"


def test_a_defect_is_an_answer_without_its_text(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("anna")

    monkeypatch.setattr(api, "parse_message", broken)
    answer = ask("POST", "/v1/messages", SMALL)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert "anna" not in answer.text


def test_the_access_log_holds_no_person(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "access.jsonl"
    headers = {"Authorization": f"Bearer {Keys(engine).make('shop', SCOPES, 9, now())[1]}"}
    with TestClient(create_app(engine, log)) as client:
        client.post("/v1/messages", json=SMALL, headers=headers)
        client.get("/v1/messages?user_id=anna", headers=headers)
        client.get("/v1/messages/anna")
        client.get("/anna")
        client.request("ANNA", "/v1/messages")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["status"] for line in lines] == [202, 422, 401, 404, 405]
    assert lines[2]["route"] == "/v1/messages/{message_id}"
    assert lines[0]["client"] == "shop"
    assert "anna" not in log.read_text().lower()


def test_the_document_names_every_answer(server: TestClient) -> None:
    document = server.get("/openapi.json").json()
    operations = {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert set(operations) == {
        ("post", "/v1/messages"),
        ("post", "/v1/messages:batch"),
        ("get", "/v1/messages"),
        ("get", "/v1/messages/{message_id}"),
        ("delete", "/v1/messages/{message_id}"),
        ("post", "/v1/messages/{message_id}:resend"),
        ("post", "/v1/codes"),
        ("post", "/v1/codes/{code_id}:verify"),
    }
    for operation in operations.values():
        assert {"401", "403", "500", "503"} <= set(operation["responses"])
    body = operations["post", "/v1/messages"]["requestBody"]["content"]["application/json"]["schema"]
    assert "class" in body["properties"]
    assert "$defs" not in json.dumps(list(operations.values()))
    assert document["security"] == [{"key": []}]
