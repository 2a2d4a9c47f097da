"""Ids of other systems by REST, and messages that name them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.intake.people.conftest import Ask

ANNA = "/v1/users/anna/external-ids"
MESSAGE = {"campaign_id": "cart", "class": "marketing"}


def test_ids_are_kept_shown_and_named_by_messages(ask: Ask) -> None:
    assert ask("GET", ANNA).json() == {"external_ids": {}}
    kept = ask("PUT", ANNA, {"external_ids": {"crm": ["K-7"], "shop": ["9"]}})
    assert (kept.status_code, kept.json()) == (200, {"external_ids": {"crm": ["K-7"], "shop": ["9"]}})
    assert ask("PUT", ANNA, {"external_ids": {"shop": []}}).json() == {"external_ids": {"crm": ["K-7"]}}
    taken = ask("PUT", "/v1/users/bert/external-ids", {"external_ids": {"crm": ["K-7"]}})
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "external_id_taken")
    assert "K-7" not in taken.text
    message = MESSAGE | {"external_id": {"namespace": "crm", "id": "K-7"}}
    taken = ask("POST", "/v1/messages", message, scope="write")
    assert taken.status_code == 202
    assert ask("GET", f"/v1/messages/{taken.json()['id']}", scope="read").json()["user_id"] == "anna"


@pytest.mark.parametrize(
    ("whom", "code", "field"),
    [
        ({}, "missing", "user_id"),
        ({"user_id": "anna", "external_id": {"namespace": "crm", "id": "K-7"}}, "invalid", "user_id"),
        ({"external_id": {"namespace": "crm", "id": "K-8"}}, "unknown_external_id", "external_id"),
        ({"external_id": {"namespace": "CRM", "id": "K-7"}}, "format", "external_id"),
        ({"external_id": {"namespace": "crm", "id": "None"}}, "format", "external_id"),
        ({"external_id": "K-7"}, "wrong_type", "external_id"),
    ],
)
def test_a_message_is_for_one_known_person(ask: Ask, whom: dict[str, Any], code: str, field: str) -> None:
    answer = ask("POST", "/v1/messages", MESSAGE | whom, scope="write")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["field"]) == (422, code, field)
    assert "K-7" not in answer.text
