"""A service account's token: signed, exchanged, kept until shortly before its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from angelia.delivery.channels import oauth
from angelia.delivery.channels.base import ChannelConfig
from angelia.delivery.channels.oauth import ServiceAccount
from angelia.errors import AngeliaError, InvalidInput
from angelia.transport.wire import Answer, Request

KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
ACCOUNT = {
    "project_id": "shop",
    "private_key": KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    "private_key_id": "key-1",
    "client_email": "push@shop.example",
    "token_uri": "https://tokens.example/token",
}
NOW = 1_800_000_000.0


def granted(life_s: object = 3600, token: str = "t1") -> Answer:
    return Answer(200, json.dumps({"access_token": token, "expires_in": life_s}).encode())


class Endpoint:
    """Gives its answers in turn, the last one for ever; keeps what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers, self.n_closed = list(answers), 0
        self.asked: list[Request] = []

    async def fetch(self, request: Request) -> Answer:
        self.asked.append(request)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def close(self) -> None:
        self.n_closed += 1


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Endpoint]:
    async def no_wait(_: float) -> None:
        pass

    def stand(*answers: Answer) -> Endpoint:
        made = Endpoint(*answers)
        monkeypatch.setattr(oauth, "Http2Client", lambda *_, **__: made)
        monkeypatch.setattr(oauth.asyncio, "sleep", no_wait)
        return made

    return stand


def test_the_assertion_names_the_account_for_an_hour(endpoint: Callable[..., Endpoint]) -> None:
    asked = endpoint(granted())
    asyncio.run(ServiceAccount(ACCOUNT, "scope-1", now=lambda: NOW).refresh(None))
    (request,) = asked.asked
    form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    claims = jwt.decode(
        form["assertion"],
        KEY.public_key(),
        ["RS256"],
        {"verify_exp": False, "verify_iat": False},
        audience=ACCOUNT["token_uri"],
    )
    assert (request.path, form["grant_type"]) == (b"/token", oauth.GRANT)
    assert (claims["iss"], claims["scope"], claims["exp"] - claims["iat"]) == (
        "push@shop.example",
        "scope-1",
        3600,
    )
    assert jwt.get_unverified_header(form["assertion"])["kid"] == "key-1"
    assert asked.n_closed == 1


@pytest.mark.parametrize(("life_s", "kept_s"), [(3600, 3300), ("3600", 3300), (400, 200)])
def test_a_token_ends_early_but_not_at_once(
    life_s: object, kept_s: int, endpoint: Callable[..., Endpoint]
) -> None:
    endpoint(granted(life_s))
    now = [NOW]
    account = ServiceAccount(ACCOUNT, "s", now=lambda: now[0])
    assert account.current() is None
    asyncio.run(account.refresh(None))
    now[0] += kept_s - 1
    assert account.current() == b"Bearer t1"
    now[0] += 1
    assert account.current() is None


def test_a_busy_endpoint_is_asked_again_and_a_refusal_stands(endpoint: Callable[..., Endpoint]) -> None:
    account = ServiceAccount(ACCOUNT, "s", now=lambda: NOW)
    asked = endpoint(Answer(503), Answer(429), Answer(0, detail="lost"), granted())
    asyncio.run(account.refresh(None))
    assert (len(asked.asked), account.n_refreshes) == (4, 1)
    asked = endpoint(Answer(400))
    with pytest.raises(InvalidInput, match="refused the service account"):
        asyncio.run(account.refresh(None))
    assert (len(asked.asked), asked.n_closed) == (1, 1)
    asked = endpoint(Answer(503))
    with pytest.raises(AngeliaError, match="does not answer"):
        asyncio.run(account.refresh(None))
    assert len(asked.asked) == 4


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"{}", b'{"access_token": "t"}', b'{"access_token": "t", "expires_in": "x"}']
)
def test_an_answer_without_a_token_is_named(body: bytes, endpoint: Callable[..., Endpoint]) -> None:
    endpoint(Answer(200, body))
    account = ServiceAccount(ACCOUNT, "s", now=lambda: NOW)
    with pytest.raises(AngeliaError, match="holds no token"):
        asyncio.run(account.refresh(None))
    assert account.current() is None


def test_an_unusable_key_is_named_and_not_shown(endpoint: Callable[..., Endpoint]) -> None:
    endpoint(granted())
    with pytest.raises(InvalidInput, match="private key is unusable") as caught:
        asyncio.run(ServiceAccount({**ACCOUNT, "private_key": "CANARY"}, "s").refresh(None))
    assert "CANARY" not in caught.value.one_line()


def load(document: Any, path: Path) -> ServiceAccount:
    path.write_text(json.dumps(document))
    return ServiceAccount.load(ChannelConfig("fcm", "fcm_v1", 60.0, credentials=path), "s")


def test_an_accounts_file_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    assert load(ACCOUNT, path).project_id == "shop"
    with pytest.raises(InvalidInput, match="the file lacks client_email, token_uri"):
        load({name: ACCOUNT[name] for name in list(ACCOUNT)[:3]}, path)
    for document in ([], "text", None):
        with pytest.raises(InvalidInput, match="ANGELIA_FCM_CREDENTIALS names no readable JSON file"):
            load(document, path)
    with pytest.raises(InvalidInput, match="has no credentials"):
        ServiceAccount.load(ChannelConfig("fcm", "fcm_v1", 60.0), "s")
