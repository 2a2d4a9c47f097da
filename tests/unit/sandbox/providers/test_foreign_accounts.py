"""Stand-ins take nothing of a foreign account, nor what was changed on its way."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import pytest

from angelia.delivery.channels import open_provider, stand_in
from angelia.delivery.channels.base import ChannelConfig
from angelia.delivery.channels.tokens import IssuedToken
from angelia.sandbox import providers
from angelia.sandbox.phones import Phones
from angelia.sandbox.providers.webpush import WebPushSandbox
from angelia.sandbox.rules import RuleFile, Rules
from angelia.transport.wire import Request
from tests.unit.delivery.given import MESSAGE

URL = "https://127.0.0.1:8443"
FOREIGN = {
    "twilio": b"Basic " + base64.b64encode(b"AC0:guess"),
    "huawei": b"Bearer a.b.c",
    "xiaomi": b"key=guess",
    "wecom": b"",
    "dingtalk": b"",
    "ses_v2": b"",
    "webpush": b"",
    "oppo": b"",
    "vivo": b"",
    "honor": b"Bearer guess",
    "meizu": b"",
    "wechat_subscribe": b"",
    "wechat_template": b"",
    "qq_bot": b"QQBot guess",
    "mandrill": b"",
    "sns_push": b"",
    "sns_sms": b"",
}


@pytest.fixture
def phones() -> Phones:
    return Phones()


@pytest.fixture
def front(tmp_path: Path, phones: Phones) -> tuple[providers.ProviderSandbox, ...]:
    return providers.make_all(tmp_path, URL, phones, Rules(RuleFile()))


def send(front: tuple[providers.ProviderSandbox, ...], request: Request, path: bytes, token: bytes) -> int:
    headers = (*request.headers, *request.extra, (b"host", b"127.0.0.1:8443"))
    token = next((value for name, value in headers if name == b"authorization"), token)
    other = next(one for one in front if path.startswith(one.paths) or path in one.posted)
    return other.answer(b"POST", path, token, headers, request.body).status


@pytest.mark.parametrize("provider", sorted(FOREIGN))
def test_a_foreign_account_reaches_no_phone(
    provider: str, front: tuple[providers.ProviderSandbox, ...], phones: Phones
) -> None:
    its = stand_in(provider)
    assert its is not None
    request = its.adapter.build_request(MESSAGE._replace(address=its.address))
    path = b"/wp/a" if provider == "webpush" else request.path
    path = path.replace(b"stand-in", b"sandbox-project")
    if provider.startswith("wechat") or provider in ("wecom", "dingtalk"):
        path += b"?access_token=guess"
    send(front, request, path, FOREIGN[provider])
    assert phones.received == {}
    assert phones.n_requests == 1
    assert "accepted" not in phones.outcomes


@pytest.mark.parametrize(
    ("provider", "secret"),
    [
        ("oppo", "master_secret"),
        ("vivo", "app_secret"),
        ("honor", "client_secret"),
        ("wechat_template", "app_secret"),
        ("qq_bot", "client_secret"),
    ],
)
def test_a_token_is_given_to_the_app_alone(
    provider: str, secret: str, front: tuple[providers.ProviderSandbox, ...], tmp_path: Path
) -> None:
    path = tmp_path / f"{provider}.json"
    account = json.loads(path.read_text())
    issued = []
    for given in (account, {**account, secret: "guess"}):
        path.write_text(json.dumps(given))
        token = open_provider(ChannelConfig("c", provider, 60.0, base_url=URL, credentials=path)).credentials
        assert isinstance(token, IssuedToken)
        method, request = token.ask(time.time())
        other = next(stand for stand in front if request.path.startswith(stand.paths))
        reply = other.answer(method.encode(), request.path, b"", request.headers, request.body)
        issued.append(token.read(json.loads(reply.body)))
    assert [bool(answer.token) for answer in issued] == [True, False]
    assert [bool(answer.refusal) for answer in issued] == [False, True]


@pytest.mark.parametrize("what", ["body", "endpoint"])
def test_a_changed_web_push_reaches_no_phone(
    what: str, front: tuple[providers.ProviderSandbox, ...], phones: Phones, tmp_path: Path
) -> None:
    config = ChannelConfig("webpush", "webpush", 60.0, credentials=tmp_path / "webpush.json")
    push = next(one for one in front if isinstance(one, WebPushSandbox))
    adapter = open_provider(config).adapter
    request = adapter.build_request(MESSAGE._replace(address=json.dumps(push.subscription("a"))))
    assert send(front, request, b"/wp/a", b"") == 201
    if what == "body":
        request = request._replace(body=request.body[:-1] + bytes([request.body[-1] ^ 1]))
        assert send(front, request, b"/wp/a", b"") == 400
    else:
        other = push.subscription("a") | {"endpoint": "https://127.0.0.1:9443/wp/a"}
        request = adapter.build_request(MESSAGE._replace(address=json.dumps(other)))
        assert send(front, request, b"/wp/a", b"") == 403, "the token is for another push service"
    assert sum(phones.received.values()) == 1


def test_a_changed_mail_does_not_fit_its_signature(
    front: tuple[providers.ProviderSandbox, ...], phones: Phones, tmp_path: Path
) -> None:
    config = ChannelConfig("email_ses", "ses_v2", 60.0, base_url=URL, credentials=tmp_path / "email_ses.json")
    request = open_provider(config).adapter.build_request(MESSAGE._replace(address="ann@people.example"))
    assert send(front, request, request.path, b"") == 200
    changed = request._replace(body=request.body.replace(b"dispatch_id", b"dispatch_ie"))
    assert send(front, changed, request.path, b"") == 403
    assert sum(phones.received.values()) == 1
