"""The generated methods on the real service: single, batch, people, the page's example."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from angelia.client import IntakeClient, IntakeRefused
from tests.unit.client.conftest import Served

PAGE = Path(__file__).resolve().parents[3] / "docs" / "INTAKE.md"
SMALL: Any = {"user_id": "anna", "campaign_id": "cart", "class": "marketing"}


def test_a_message_is_sent_shown_listed_and_cancelled(intake: IntakeClient) -> None:
    later = datetime.now(UTC) + timedelta(days=1)
    made = intake.send_message({**SMALL, "idempotency_key": "a-1", "send_at": later})
    assert intake.send_message({**SMALL, "idempotency_key": "a-1", "send_at": later}) == made | {
        "repeated": True
    }
    shown = intake.message(made["id"])
    assert (shown["status"], shown["class"]) == ("accepted", "marketing")
    page = intake.messages(
        campaign="cart", status="accepted", accepted_from=later - timedelta(days=2), limit=1
    )
    assert [each["id"] for each in page["messages"]] == [made["id"]]
    assert intake.cancel_message(made["id"])["status"] == "cancelled"
    again = intake.resend_message(made["id"])
    assert intake.message(again["id"])["status"] == "accepted"


def test_a_batch_has_a_verdict_an_item(intake: IntakeClient) -> None:
    answer = intake.send_batch([SMALL, {**SMALL, "class": "other"}])
    assert (answer["accepted"], answer["refused"]) == (1, 1)
    assert "id" in answer["items"][0]
    assert answer["items"][1]["error"]["field"] == "class"  # type: ignore[typeddict-item]


def test_a_refusal_has_code_field_and_reason(intake: IntakeClient) -> None:
    with pytest.raises(IntakeRefused) as ended:
        intake.send_message({**SMALL, "user_id": "with space"})
    refused = ended.value
    assert (refused.status, refused.code, refused.field) == (422, "format", "user_id")
    assert refused.reason


def test_a_wrong_key_opens_nothing(served: Served) -> None:
    with IntakeClient(served.address, "ank_wrong") as stranger, pytest.raises(IntakeRefused) as ended:
        stranger.messages()
    assert (ended.value.status, ended.value.code) == (401, "no_key")


def test_people_with_a_slash_in_their_id(intake: IntakeClient) -> None:
    kept = intake.put_external_ids("crm/anna#b", {"crm": ["K-7"]})
    assert kept == intake.external_ids("crm/anna#b") == {"external_ids": {"crm": ["K-7"]}}
    assert intake.put_addresses("crm/anna#b", {"sms": ["+4915112345678"]})["addresses"][0]["channel"] == "sms"
    assert len(intake.addresses("crm/anna#b")["addresses"]) == 1


def test_a_code_is_made_and_tried(intake: IntakeClient) -> None:
    made = intake.make_code({"user_id": "bert", "campaign_id": "code"})
    assert intake.verify_code(made["id"], "000") == {"verified": False, "attempts_left": 4}


def test_the_example_of_the_page_runs(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    monkeypatch.setenv("INTAKE_KEY", served.key)
    assert "http://localhost:8091" in code
    exec(compile(code.replace("http://localhost:8091", served.address), str(PAGE), "exec"), {})
    first, second, last = capsys.readouterr().out.splitlines()
    assert first == "accepted"
    assert second == "3 of 3"
    assert last == "not_found"


def test_no_answer_tells_an_address_or_whose_it_is(intake: IntakeClient) -> None:
    to: Any = {"channel": "sms", "address": "+49 151 7654321"}
    made = intake.send_message({"to": to, "template_id": "bill", "class": "transactional"})
    shown = intake.message(made["id"])
    assert (shown["user_id"], shown["channels"], shown["template_id"]) == (None, ["sms"], "bill")
    assert "7654321" not in str(intake.messages())
    short: Any = {"to": {"channel": "sms", "address": "0151"}, "template_id": "b", "class": "marketing"}
    wrong = intake.send_batch([short])
    assert wrong["items"][0]["error"]["code"] == "format"  # type: ignore[typeddict-item]
    assert intake.cancel_message(made["id"])["user_id"] is None
    with pytest.raises(IntakeRefused, match="not_resendable"):
        intake.resend_message(made["id"])
