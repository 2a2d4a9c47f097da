"""Addresses by REST: masked, judged as the import judges, and known to the next night."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy.engine import Engine

from angelia.contracts import arrow, dataset
from angelia.contracts.rows import valid_rows
from angelia.errors import Corrupt
from angelia.intake.people import addresses as kept_addresses
from angelia.intake.people import addresses_api
from angelia.intake.people.addresses import export_addresses
from angelia.lake import Lake
from angelia.users.registered import addresses_of, last_words
from angelia.users.suppressions import address_hash, address_key, close_person
from tests.planned_night import put
from tests.unit.intake.people.conftest import Ask, Mailbox

USER = "u0000000"  # the sources know an app and a mail address of theirs
WHERE = f"/v1/users/{USER}/addresses"
PHONE = "+49 171 123-4567"


@pytest.fixture
def known(lake: Lake) -> Lake:
    put(lake, "user_endpoints", valid_rows("user_endpoints", 4))
    return lake


def states(answer: Any) -> dict[str, str]:
    assert answer.status_code == 200, answer.text
    return {f"{each['channel']} {each['address']}": each["state"] for each in answer.json()["addresses"]}


def reached(lake: Lake) -> set[tuple[str, str]]:
    rows = addresses_of(lake, USER).to_pylist()
    return {(row["channel"], row["address"]) for row in rows if row["is_active"]}


def test_a_word_is_masked_shown_at_once_and_exported(ask: Ask, engine: Engine, known: Lake) -> None:
    assert states(ask("GET", WHERE)) == {"fcm …0000": "open", "email u…@e….org": "open"}
    kept = ask("PUT", WHERE, {"addresses": {"sms": [PHONE], "fcm": []}})
    assert states(kept) == {"email u…@e….org": "open", "sms …4567": "open"}
    assert kept.json()["still_closed"] == []
    assert PHONE not in kept.text
    assert reached(known) == {("fcm", "sandbox-token-0000000"), ("email", "u0000000@example.org")}
    assert export_addresses(known, engine)[0] == 2
    assert reached(known) == {("sms", "+491711234567"), ("email", "u0000000@example.org")}
    assert states(ask("GET", WHERE)) == states(kept)
    # The same word again, in another spelling, says nothing new.
    ask("PUT", WHERE, {"addresses": {"sms": ["+491711234567"], "email": ["U0000000@Example.org"]}})
    assert export_addresses(known, engine) == (0, [])


def test_a_new_mail_address_waits_for_the_persons_yes(
    ask: Ask, engine: Engine, known: Lake, mailbox: Mailbox
) -> None:
    for _ in range(2):
        kept = ask("PUT", WHERE, {"addresses": {"email": ["ann@mail.example", "u0000000@example.org"]}})
        assert states(kept)["email a…@m….example"] == "waiting"
    # Who asks how often a mail goes out is the mailer's part.
    assert mailbox.asked == [(USER, "email", "ann@mail.example")] * 2
    assert export_addresses(known, engine) == (0, [])
    refused = ask("PUT", WHERE, {"addresses": {"email_two": ["ann@mail.example"], "sms": [PHONE]}})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "not_offered")
    assert "sms …4567" not in states(ask("GET", WHERE))


def test_what_was_closed_is_not_taken_again(ask: Ask, engine: Engine, known: Lake) -> None:
    hashed = address_hash(address_key(known.store), "sms", PHONE)
    entry = {
        "entry_id": "e1",
        "user_id": USER,
        "channel": "sms",
        "address_hash": hashed,
        "since_ts": datetime(2026, 1, 1, tzinfo=UTC),
        "reason": "gone",
    }
    schema = arrow.schema(dataset("suppressions"))
    known.append_log("suppressions", pa.Table.from_pylist([entry], schema=schema))
    kept = ask("PUT", WHERE, {"addresses": {"sms": [PHONE, "+491719999999"]}}).json()
    assert kept["still_closed"] == [{"channel": "sms", "address": "…4567"}]
    assert [each["address"] for each in kept["addresses"] if each["channel"] == "sms"] == ["…9999"]
    close_person(known, USER, None, for_good=True, at=datetime(2026, 11, 1, tzinfo=UTC))
    kept = ask("PUT", WHERE, {"addresses": {"apns": ["ab" * 16]}}).json()
    assert kept["still_closed"] == [{"channel": "apns", "address": "…abab"}]


def test_a_device_is_described_beside_its_address(ask: Ask, engine: Engine, known: Lake) -> None:
    token = "sandbox-token-0000000"
    app = {"address": token, "app_version": "5.2.0", "permission": "denied"}
    kept = ask("PUT", WHERE, {"addresses": {"fcm": [app], "sms": [PHONE]}}).json()["addresses"]
    shown = {each["channel"]: (each["app_version"], each["permission"]) for each in kept}
    assert (shown["fcm"], shown["sms"]) == (("5.2.0", "denied"), (None, None))
    assert export_addresses(known, engine)[0] == 2
    # What is not named stays as it was, and the same words are not said twice.
    for stated in (token, {"address": token, "permission": "denied"}):
        assert states(ask("PUT", WHERE, {"addresses": {"fcm": [stated]}}))["fcm …0000"] == "open"
    assert export_addresses(known, engine) == (0, [])
    ask("PUT", WHERE, {"addresses": {"fcm": [{"address": token, "permission": "allowed"}]}})
    export_addresses(known, engine)
    (row,) = (row for row in addresses_of(known, USER).to_pylist() if row["channel"] == "fcm")
    assert (row["app_version"], row["permission"]) == ("5.2.0", "allowed")


@pytest.mark.parametrize(
    ("addresses", "status", "code"),
    [
        ({"sms": ["0171 7654321"]}, 422, "format"),
        ({"fcm": ["null"]}, 422, "format"),
        ({"email": ["a@mail.example, b@mail.example"]}, 422, "format"),
        ({"webhook": ["http://plain.example/"]}, 422, "format"),
        ({"sms": "+491711234567"}, 422, "wrong_type"),
        ({"sms": [PHONE] * 21}, 422, "length"),
        ({"fcm": [{"address": "token-7654321", "app_version": "5.2 beta"}]}, 422, "format"),
        ({"fcm": [{"address": "token-7654321", "permission": "no"}]}, 422, "not_offered"),
        ({"fcm": [{"app_version": "5.2"}]}, 422, "missing"),
        ({"fcm": [{"address": "token-7654321", "os": "9"}]}, 422, "unknown_field"),
        ({"fcm": [7654321]}, 422, "wrong_type"),
        ({"SMS": [PHONE]}, 422, "format"),
        ({name: ["x" * 4_000] * 20 for name in ("fcm", "apns", "push", "web")}, 413, "too_large"),
    ],
)
def test_other_forms_are_refused_unquoted(ask: Ask, addresses: Any, status: int, code: str) -> None:
    answer = ask("PUT", WHERE, {"addresses": addresses})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert "7654321" not in answer.text
    assert "mail.example" not in answer.text


def test_a_later_word_of_the_source_holds(ask: Ask, engine: Engine, lake: Lake) -> None:
    ask("PUT", WHERE, {"addresses": {"sms": [PHONE]}})
    ask("PUT", WHERE, {"addresses": {"sms": []}})
    assert states(ask("GET", WHERE)) == {}
    export_addresses(lake, engine)
    (word,) = last_words(lake).to_pylist()
    assert not word["is_active"]
    later = {**word, "registered_ts": word["registered_ts"].replace(year=2099), "is_active": True}
    put(lake, "user_endpoints", pa.Table.from_pylist([later], schema=arrow.schema(dataset("user_endpoints"))))
    assert states(ask("GET", WHERE)) == {"sms …4567": "open"}


def test_a_word_said_while_it_is_exported_goes_next(
    ask: Ask, engine: Engine, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask("PUT", WHERE, {"addresses": {"sms": [PHONE]}})
    register = kept_addresses.register

    def slow(*arguments: Any) -> Any:
        commit = register(*arguments)
        monkeypatch.setattr(kept_addresses, "register", register)
        ask("PUT", WHERE, {"addresses": {"sms": []}})
        return commit

    monkeypatch.setattr(kept_addresses, "register", slow)
    assert export_addresses(lake, engine)[0] == 2
    assert [row["is_active"] for row in last_words(lake).to_pylist()] == [False]


def test_no_log_names_a_person_and_a_lake_may_be_down(
    ask: Ask, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask("GET", WHERE, scope="read").status_code == 403
    while not log.exists() or not log.read_text("utf-8"):
        ask("GET", WHERE)  # lines are written once a second
    assert json.loads(log.read_text("utf-8").splitlines()[-1])["route"] == addresses_api.ROUTE
    assert USER not in log.read_text("utf-8")

    def broken(*_: Any) -> None:
        raise Corrupt(f"a file of {USER} is damaged")

    monkeypatch.setattr(kept_addresses, "addresses_of", broken)
    answer = ask("PUT", WHERE, {"addresses": {}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "lake_unavailable")
    assert USER not in answer.text
