"""Secrets are taken from files as documented, and a file that lacks one is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from angelia.errors import InvalidInput
from angelia.receive.trust import (
    beacon_trust,
    caller_secrets,
    inbox_trust,
    preferences_trust,
    receive_document,
)


def test_the_inbox_needs_two_secrets_of_their_length() -> None:
    assert inbox_trust({}) is None
    assert inbox_trust({"inbox": {"secret": "a" * 32, "person_secret": "b" * 32}}) is not None
    for held in ({"secret": "a" * 32}, {"secret": "a" * 32, "person_secret": "b" * 31}):
        with pytest.raises(InvalidInput, match="inbox needs"):
            inbox_trust({"inbox": held})


def test_beacons_need_the_secret_of_peoples_tokens() -> None:
    assert beacon_trust({}, str.format) is None
    trust = beacon_trust({"beacons": {"person_secret": "b" * 32}}, lambda what, user: f"{what}:{user}")
    assert trust is not None
    assert trust.hashed("u1") == "person:u1"
    with pytest.raises(InvalidInput, match="beacons needs person_secret"):
        beacon_trust({"beacons": {"person_secret": "b" * 31}}, str.format)


@pytest.mark.parametrize(
    ("held", "secrets"),
    [
        ({"secret": "a"}, {"": b"a"}),
        ({"secrets": {"sms": "a", "app": "b"}}, {"sms": b"a", "app": b"b"}),
        ({"secret": "a", "secrets": {"sms": "b"}}, {"": b"a", "sms": b"b"}),
        ({"secrets": {"SMS": "a"}}, None), ({"secrets": ["a"]}, None), ({"secrets": {"sms": ""}}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_secrets_of_callers(held: Any, secrets: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "receive.json").write_text(json.dumps(held))
    monkeypatch.setenv("ANGELIA_RECEIVE_CREDENTIALS", str(tmp_path / "receive.json"))
    if secrets is None:
        with pytest.raises(InvalidInput, match="ANGELIA_RECEIVE_CREDENTIALS"):
            receive_document()
    else:
        assert caller_secrets(receive_document()) == secrets


@pytest.mark.parametrize(
    "changes",
    [{"secret": "x"}, {"person_secret": ""}, {"url": "http://x.example/preferences"}, {"url": None}],
)
def test_the_page_needs_its_secrets_and_address(changes: dict[str, Any]) -> None:
    held = {"secret": "a" * 32, "person_secret": "b" * 32, "url": "https://x.example/preferences"}
    assert preferences_trust({"preferences": held}) is not None
    with pytest.raises(InvalidInput, match="preferences needs"):
        preferences_trust({"preferences": held | changes})
