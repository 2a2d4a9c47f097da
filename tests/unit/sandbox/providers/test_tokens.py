"""Stand-ins that give out a token: one until it ends, to whoever knows the secret."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from angelia.sandbox.fcm import Reply
from angelia.sandbox.phones import Phones
from angelia.sandbox.providers import tokens as module
from angelia.sandbox.providers.tokens import TOKEN_LIFE_S, TokenSandbox, coded, form_of, is_fresh
from angelia.sandbox.rules import Then
from tests.unit.sandbox.given import rules


class Plain(TokenSandbox):
    """Gives its token for the secret alone, and takes what bears it."""

    channel, token_path, send_path = "plain", b"/token", b"/send"

    def may_have_token(self, body: bytes) -> bool:
        return json.loads(body)["secret"] == self.account["secret"]

    def granted(self, token: str | None) -> dict[str, object]:
        return {"token": token}

    def take(self, path: bytes, authorization: bytes, headers: dict[bytes, bytes], body: bytes) -> Reply:
        if not self.is_current(authorization.decode()):
            return self.refused(401, "plain_token", {})
        return self.serve(json.loads(body)["id"], "t", "", "", Reply(200, b""), coded("code"))

    def malformed(self) -> Reply:
        return self.refused(400, "plain_malformed", {})


@pytest.fixture
def plain(tmp_path: Path) -> Plain:
    return Plain(tmp_path, Phones(), rules(), {"secret": "s"})


def token(plain: Plain, body: bytes = b'{"secret": "s"}') -> str | None:
    given: str | None = json.loads(plain.answer(b"POST", b"/token", b"", (), body).body)["token"]
    return given


def test_one_token_holds_until_it_ends(plain: Plain, monkeypatch: pytest.MonkeyPatch) -> None:
    first = token(plain)
    assert first is not None
    assert token(plain) == first
    assert plain.is_current(first)
    now = time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + TOKEN_LIFE_S + 1)
    assert not plain.is_current(first)
    assert token(plain) not in (None, first)


@pytest.mark.parametrize("body", [b'{"secret": "x"}', b"{}", b"{", b"[]"])
def test_who_does_not_know_the_secret_gets_none(body: bytes, plain: Plain) -> None:
    assert token(plain, body) is None
    assert not plain.is_current(""), "no token was given out, so none is current"
    assert plain.phones.outcomes == {"token_refused": 1}


def test_messages_need_the_token_the_path_and_their_form(plain: Plain) -> None:
    bearer = str(token(plain)).encode()
    sent = [
        plain.answer(method, path, authorization, (), body).status
        for method, path, authorization, body in (
            (b"POST", b"/send", bearer, b'{"id": "d"}'),
            (b"POST", b"/send", b"guess", b'{"id": "d"}'),
            (b"POST", b"/send", bearer, b"{}"),
            (b"GET", b"/send", bearer, b""),
            (b"POST", b"/elsewhere", bearer, b'{"id": "d"}'),
        )
    ]
    assert sent == [200, 401, 400, 404, 404]
    assert (plain.phones.received, plain.phones.n_requests) == ({"d": 1}, 5)


def test_a_time_is_fresh_within_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.time, "time", lambda: 1_000_000.0)
    fresh = {at: is_fresh(at) for at in (1_000_000_000, 999_400_001, 999_400_000, 1_000_600_000, "x", "")}
    assert list(fresh.values()) == [True, True, False, False, False, False]


def test_a_form_keeps_its_empty_fields() -> None:
    assert form_of(b"a=1&b=&c=%2C") == {"a": "1", "b": "", "c": ","}


def test_a_rule_puts_its_number_under_the_providers_name() -> None:
    assert json.loads(coded("errcode")(Then(status=200, error="43101")).body)["errcode"] == 43101
    assert coded("code")(Then(status=503)) == Reply(503, b"{}")
