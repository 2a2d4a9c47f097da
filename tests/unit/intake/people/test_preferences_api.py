"""Preferences by REST: what is kept holds, what was closed for good stays closed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from angelia.errors import Corrupt
from angelia.intake.people import preferences_api
from angelia.lake import Lake
from angelia.users.choices import words_of
from angelia.users.suppressions import close_person
from tests.unit.intake.people.conftest import Ask

ANNA = "/v1/users/anna/preferences"


def test_what_is_kept_is_shown_and_reaches_the_night(ask: Ask, lake: Lake) -> None:
    assert ask("GET", ANNA).json() == {"topics": {}, "channels": {}}
    wanted = {"topics": {"promo": False, "news": True}, "channels": {"sms": False}}
    kept = ask("PUT", ANNA, wanted)
    assert (kept.status_code, kept.json()) == (200, wanted | {"still_closed": []})
    assert ask("GET", ANNA).json() == wanted
    assert words_of(lake, "anna")["topic", "promo"] is False
    assert ask("GET", "/v1/users/bert/preferences").json() == {"topics": {}, "channels": {}}
    # What is not named stays; a channel that the person closed opens again.
    again = ask("PUT", ANNA, {"channels": {"sms": True}}).json()
    assert again == {"topics": wanted["topics"], "channels": {"sms": True}, "still_closed": []}


def test_language_and_quiet_hours_are_kept_and_taken_back(ask: Ask, lake: Lake) -> None:
    own = {"language": "zh-CN", "quiet_hours": {"start": 21, "end": 9}}
    for _ in range(2):
        assert ask("PUT", ANNA, own).json() == {"topics": {}, "channels": {}, **own, "still_closed": []}
    assert lake.read_log("preference_choices").num_rows == 2
    # What is not named stays, null takes it back.
    assert ask("PUT", ANNA, {"quiet_hours": None}).json()["language"] == "zh-CN"
    assert ask("GET", ANNA).json() == {"topics": {}, "channels": {}, "language": "zh-CN"}
    assert ask("PUT", ANNA, {"language": None}).json().keys() == {"topics", "channels", "still_closed"}


def test_the_same_words_again_write_nothing(ask: Ask, lake: Lake) -> None:
    for _ in range(2):
        ask("PUT", ANNA, {"topics": {"promo": False}, "channels": {"sms": False}})
    assert lake.read_log("preference_choices").num_rows == 2
    assert lake.read_log("suppressions").num_rows == 1


def test_what_was_closed_for_good_stays_closed(ask: Ask, lake: Lake) -> None:
    close_person(lake, "anna", "sms", for_good=True, at=datetime(2026, 11, 1, tzinfo=UTC))
    assert ask("GET", ANNA).json()["channels"] == {"sms": False}
    kept = ask("PUT", ANNA, {"channels": {"sms": True}}).json()
    assert (kept["channels"]["sms"], kept["still_closed"]) == (False, ["sms"])


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        (ANNA, {"topics": {"Promo": True}}, 422, "format"),
        (ANNA, {"topics": {"promo": 1}}, 422, "wrong_type"),
        (ANNA, {"topics": {f"t{n}": True for n in range(101)}}, 422, "length"),
        (ANNA, {"quiet": {}}, 422, "unknown_field"),
        (ANNA, {"language": "German"}, 422, "format"),
        (ANNA, {"quiet_hours": {"start": 24, "end": 8}}, 422, "invalid"),
        (ANNA, {"topics": {"x" * 60: True}, "channels": {"c" * 20_000: True}}, 413, "too_large"),
        ("/v1/users/an na/preferences", {}, 422, "invalid"),
        ("/v1/users/null/preferences", {}, 422, "invalid"),
    ],
)
def test_other_forms_are_refused_by_code(ask: Ask, path: str, body: Any, status: int, code: str) -> None:
    answer = ask("PUT", path, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert "an na" not in answer.text


def test_an_id_may_hold_a_slash_and_no_log_holds_an_id(ask: Ask, log: Path, lake: Lake) -> None:
    assert ask("PUT", "/v1/users/crm/anna/preferences", {"topics": {"promo": False}}).status_code == 200
    assert words_of(lake, "crm/anna") == {("topic", "promo"): False}
    assert ask("GET", ANNA, scope="read").status_code == 403
    while not log.exists() or len(log.read_text("utf-8").splitlines()) < 2:
        ask("GET", ANNA)  # lines are written once a second
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert lines[0]["method"] == "PUT"
    assert {line["route"] for line in lines} == {preferences_api.ROUTE}
    assert "anna" not in log.read_text("utf-8")


def test_a_lake_that_is_down_is_503(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise Corrupt("a file of anna is damaged")

    monkeypatch.setattr(preferences_api, "words_of", broken)
    answer = ask("GET", ANNA)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "lake_unavailable")
    assert answer.headers["retry-after"] == "1"
    assert "anna" not in answer.text
