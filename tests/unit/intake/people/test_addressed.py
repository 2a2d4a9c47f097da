"""Drafts that name an address: its form, its name, and a request that is repeated."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from angelia.intake.message import Draft, Refusal, parse_message
from angelia.intake.people.addressed import address_drafts, is_stranger, stranger
from angelia.intake.store import Accepted, IntakeStore, Verdict
from angelia.lake import Lake
from angelia.users.suppressions import address_key
from tests.unit.intake.conftest import NOW_US

PHONE = "+49 151 1234 5678"
Accept = Callable[..., Verdict]


def draft(address: str, channel: str = "sms", **fields: Any) -> Draft:
    to = {"channel": channel, "address": address}
    document = {"to": to, "campaign_id": "order", "class": "transactional", **fields}
    parsed = parse_message(json.dumps(document).encode(), "shop", NOW_US)
    assert isinstance(parsed, Draft), parsed
    return parsed


def test_two_spellings_have_one_name(lake: Lake) -> None:
    drafts = [draft(PHONE), draft("+4915112345678"), draft("Ann@Example.com", "email")]
    address_drafts(lake, drafts)
    first, second, mail = (each.row["user_id"] for each in drafts)
    assert first == second == stranger(address_key(lake.store), "sms", PHONE)
    assert drafts[0].to == ("sms", "+4915112345678")
    assert is_stranger(mail)
    assert not any(part in str(drafts[0].row) for part in (PHONE, "+4915112345678"))


@pytest.mark.parametrize(
    ("channel", "address"), [("sms", "0151"), ("email", "nobody"), ("email", "a@b.c,d@e.f"), ("sms", "none")]
)
def test_an_address_of_another_form_is_refused(lake: Lake, channel: str, address: str) -> None:
    wrong = draft(address, channel)
    address_drafts(lake, [wrong])
    assert wrong.refusal is not None
    assert (wrong.refusal.code, wrong.refusal.field) == ("format", "to")
    assert address not in wrong.refusal.reason


def test_without_a_lake_no_address_is_taken() -> None:
    wrong = draft(PHONE)
    address_drafts(None, [wrong])
    assert wrong.refusal is not None
    assert (wrong.refusal.code, wrong.refusal.field) == ("not_offered", "to")


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"user_id": "anna"}, "invalid", "user_id"),
        ({"channels": ["sms"]}, "invalid", "channels"),
        ({"to": {"channel": "sms"}}, "missing", "to"),
        ({"to": {"channel": "sms", "address": "a\u0000b"}}, "format", "to"),
    ],
)
def test_one_person_or_one_address(fields: dict[str, Any], code: str, field: str) -> None:
    document = {
        "to": {"channel": "sms", "address": PHONE},
        "campaign_id": "c",
        "class": "marketing",
        **fields,
    }
    refusal = parse_message(json.dumps(document).encode(), "shop", NOW_US)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.field) == (code, field)


def test_a_repeated_request_is_known_by_its_key_only(lake: Lake, engine: Engine) -> None:
    store = IntakeStore(engine)

    def accept(address: str, **fields: Any) -> Verdict:
        made = draft(address, **fields)
        address_drafts(lake, [made])
        (verdict,) = store.accept([made])
        return verdict

    first = accept(PHONE, idempotency_key="a")
    again = accept("+4915112345678", idempotency_key="a")  # another spelling
    other = accept("+4915112345679", idempotency_key="a")
    assert isinstance(first, Accepted)
    assert again == Accepted(first.id, first.accepted_us, True)
    assert isinstance(other, Refusal)
    assert other.code == "idempotency_conflict"
    # Nobody can try telephone numbers against the hash of a body.
    assert draft(PHONE).row["body_hash"] != draft(PHONE).row["body_hash"]
