"""The REST interface: answers, codes, scopes, limits, its log and its document."""

from __future__ import annotations

import json

from sqlalchemy.engine import Engine

from angelia.delivery.ledger.ledger import Owner
from angelia.intake.database import writing
from angelia.intake.dispatching.batches import Batches
from angelia.intake.message import now
from angelia.intake.store import IntakeStore
from angelia.intake.tables import messages
from tests.unit.intake.conftest import SMALL, Ask, TestClient


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
        ("get", "/v1/users/{user_id}/external-ids"),
        ("put", "/v1/users/{user_id}/external-ids"),
    }
    for operation in operations.values():
        assert {"401", "403", "500", "503"} <= set(operation["responses"])
    body = operations["post", "/v1/messages"]["requestBody"]["content"]["application/json"]["schema"]
    assert "class" in body["properties"]
    assert "$defs" not in json.dumps(list(operations.values()))
    assert document["security"] == [{"key": []}]
