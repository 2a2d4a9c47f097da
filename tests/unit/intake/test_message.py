"""The form of a message: what is refused, under which code, and what a draft holds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from angelia.intake.message import (
    AHEAD_US,
    LATE_US,
    MAX_BATCH,
    MAX_VARIABLES_BYTES,
    Draft,
    Refusal,
    new_id,
    parse_batch,
    parse_message,
)
from tests.unit.intake.conftest import NOW_US

SMALL = {"user_id": "u1", "campaign_id": "cart", "class": "marketing"}


def iso(us: int) -> str:
    from datetime import UTC, datetime, timedelta

    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).isoformat()


def parsed(**fields: Any) -> Draft | Refusal:
    return parse_message(json.dumps({**SMALL, **fields}).encode(), "shop", NOW_US)


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"user_id": "a b"}, "format", "user_id"),
        ({"user_id": "x" * 65}, "format", "user_id"),
        ({"user_id": "undefined"}, "format", "user_id"),
        ({"user_id": 7}, "wrong_type", "user_id"),
        ({"user_id": "u\u0000"}, "format", "user_id"),
        ({"campaign_id": "Cart"}, "format", "campaign_id"),
        ({"campaign_id": None}, "missing", "campaign_id"),
        ({"template_id": "plain"}, "invalid", "campaign_id"),
        ({"campaign_id": None, "template_id": "x" * 50}, "length", "template_id"),
        ({"class": "other"}, "not_offered", "class"),
        ({"priority": 1}, "not_offered", "priority"),
        ({"channels": ["a fax"]}, "format", "channels"),
        ({"channels": ["fcm"] * 7}, "length", "channels"),
        ({"variables": {"": 1}}, "length", "variables"),
        ({"variables": {"x": "y" * MAX_VARIABLES_BYTES}}, "length", "variables"),
        ({"send_at": 1790000000}, "not_a_time", "send_at"),
        ({"send_at": "soon"}, "not_a_time", "send_at"),
        ({"send_at": "2027-01-01T00:00:00"}, "no_time_zone", "send_at"),
        ({"idempotency_key": ""}, "format", "idempotency_key"),
        ({"adress": "x"}, "unknown_field", "adress"),
        ({"user_id": None, "to": {"channel": "kiosk", "address": " \u00a0\ufeff "}}, "format", "to"),
        ({"user_id": None, "to": {"channel": "kiosk", "address": "x" * 4097}}, "length", "to"),
    ],
)
def test_a_wrong_field_is_refused_by_code(fields: dict[str, Any], code: str, field: str) -> None:
    refusal = parsed(**fields)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.field) == (code, field)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"variables": {"x": NaN}}', b'"\\ud800"'])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    refusal = parse_message(body, "shop", NOW_US)
    assert isinstance(refusal, Refusal)
    assert refusal.code in ("not_json", "not_finite", "wrong_type", "missing")
    whole = parse_batch(body, "shop", NOW_US)
    assert isinstance(whole, Refusal)


def test_a_refusal_never_quotes_the_value() -> None:
    secret = "anna@example.org"
    for field in ("user_id", "campaign_id", "class", "send_at", "priority", "channels", "variables"):
        refusal = parsed(**{field: f"<{secret}>"})
        assert isinstance(refusal, Refusal)
        assert secret not in str(refusal)


@pytest.mark.parametrize(
    ("send_us", "expires_us", "code"),
    [
        (NOW_US - LATE_US, None, None),
        (NOW_US - LATE_US - 1, None, "past"),
        (NOW_US + AHEAD_US, None, None),
        (NOW_US + AHEAD_US + 1, None, "too_far"),
        (None, NOW_US, "past"),
        (None, NOW_US + 1, None),
        (NOW_US + 9, NOW_US + 9, "past"),
    ],
)
def test_the_clock_rules_hold_at_their_bounds(
    send_us: int | None, expires_us: int | None, code: str | None
) -> None:
    times = {"send_at": send_us, "expires_at": expires_us}
    draft = parsed(**{name: iso(us) for name, us in times.items() if us is not None})
    assert isinstance(draft, Draft)
    assert (draft.refusal.code if draft.refusal else None) == code


def test_a_time_keeps_its_microsecond() -> None:
    for micro in range(0, 1_000_000, 7_919):
        draft = parsed(send_at=f"2030-06-01T12:00:00.{micro:06d}+02:00")
        assert isinstance(draft, Draft)
        assert draft.row["due_us"] % 1_000_000 == micro
    assert iso(draft.row["due_us"]).startswith("2030-06-01T10:00:00.")


def test_order_of_variables_is_not_another_body() -> None:
    first, second = parsed(variables={"a": 1, "b": 2}), parsed(variables={"b": 2, "a": 1})
    other = parsed(variables={"a": 1, "b": 3})
    assert isinstance(first, Draft)
    assert isinstance(second, Draft)
    assert isinstance(other, Draft)
    assert first.row["body_hash"] == second.row["body_hash"] != other.row["body_hash"]


def test_a_bad_item_refuses_only_itself() -> None:
    items = [SMALL, {**SMALL, "class": 1}, SMALL, 7]
    drafts = parse_batch(json.dumps({"messages": items}).encode(), "shop", NOW_US)
    assert isinstance(drafts, list)
    assert [type(draft) for draft in drafts] == [Draft, Refusal, Draft, Refusal]


@pytest.mark.parametrize("number", [0, MAX_BATCH + 1])
def test_a_batch_has_bounds(number: int) -> None:
    refusal = parse_batch(json.dumps({"messages": [SMALL] * number}).encode(), "shop", NOW_US)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.field) == ("length", "messages")


def test_ids_sort_by_their_millisecond() -> None:
    assert new_id(NOW_US) < new_id(NOW_US + 1000)
    assert len(new_id(NOW_US)) == 32
