"""What a phone says of itself is a word on the address its message went to."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from angelia.lake import Lake
from angelia.receive import devices
from angelia.receive.folding import Folding
from angelia.users.registered import last_words, register
from tests.unit.receive.callers import NOW, Post, body_of, event, signed


def words(lake: Lake) -> dict[str, tuple[Any, ...]]:
    rows = last_words(lake).to_pylist()
    return {row["user_id"]: (row["app_version"], row["permission"], row["is_active"]) for row in rows}


def test_what_phones_say_of_themselves_is_kept_once(lake: Lake, post: Post, dispatches: list[str]) -> None:
    folding = Folding(lake)
    body = body_of(
        event(dispatches[0], app_version="5.2.0", permission="allowed"),
        event(dispatches[1], "delivered", permission="denied"),
        event(dispatches[2]),
    )
    assert post("/events", body, signed(body))[0] == 200
    assert folding.fold(NOW)["devices"] == 2
    assert words(lake) == {"u00000000": ("5.2.0", "allowed", True), "u00000001": (None, "denied", True)}
    rows = lake.read(lake.require("dispatch_manifest", ds="2026-11-14")).to_pylist()
    addresses = {row["user_id"]: row["address"] for row in rows}
    assert all(row["address"] == addresses[row["user_id"]] for row in last_words(lake).to_pylist())
    again = body_of(event(dispatches[0], "displayed", app_version="5.2.0", permission="allowed"))
    post("/events", again, signed(again, "msg-2"))
    assert folding.fold(NOW)["devices"] == 0
    assert lake.read_log("registered_addresses").num_rows == 2


def test_a_phone_that_changed_hands_stays_the_new_owners(
    lake: Lake, post: Post, dispatches: list[str]
) -> None:
    body = body_of(event(dispatches[0], app_version="5.2.0"))
    post("/events", body, signed(body))
    Folding(lake).fold(NOW)
    (word,) = last_words(lake).to_pylist()
    # The tap came an hour ago, the message left before it: who registered between the two has the phone.
    assert word["registered_ts"] < NOW - timedelta(hours=1)
    register(
        lake, [{**word, "registered_ts": word["registered_ts"] + timedelta(seconds=1), "is_active": False}]
    )
    Folding(lake).fold(NOW)
    assert words(lake) == {"u00000000": ("5.2.0", None, False)}


@pytest.mark.parametrize(
    ("stated", "field"), [({"app_version": "5.2 beta"}, "app_version"), ({"permission": "no"}, "permission")]
)
def test_other_forms_refuse_their_item_unquoted(
    stated: dict[str, str], field: str, post: Post, dispatches: list[str]
) -> None:
    body = body_of(event(dispatches[0], **stated), event(dispatches[1]))
    status, answer = post("/events", body, signed(body))
    assert (status, answer["taken"]) == (200, 1)
    assert answer["refused"][0].startswith(f"events[0].{field}: ")
    assert next(iter(stated.values())) not in str(answer).replace("one of allowed, denied, unknown", "")


def test_only_the_last_devices_are_remembered(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_HELD", 1)
    noted = devices.DeviceWords(lake, Folding(lake)._dispatches)
    word = {"user_id": "u1", "channel": "fcm", "address": "a", "app_version": "1", "permission": None}
    assert [noted._is_new(each) for each in (word, word, {**word, "user_id": "u2"}, word)] == [
        True, False, True, True,
    ]  # fmt: skip
