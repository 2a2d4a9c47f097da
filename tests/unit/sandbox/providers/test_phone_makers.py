"""OPPO's, vivo's, Honor's and Meizu's stand-ins: signed questions, tokens, one answer each."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from angelia.delivery.channels.base import Provider
from angelia.delivery.channels.oppo_batch import OppoBatch
from angelia.sandbox.fcm import Reply
from angelia.sandbox.providers.phone_makers import HonorSandbox, MeizuSandbox, OppoSandbox, VivoSandbox
from angelia.transport.wire import Answer, Request
from tests.unit.delivery.given import MESSAGE
from tests.unit.sandbox.given import Stand, verdict

KINDS: dict[str, Callable[..., Any]] = {"oppo": OppoSandbox, "vivo": VivoSandbox, "honor": HonorSandbox}
SECRETS = {"oppo": "master_secret", "vivo": "app_secret", "honor": "client_secret"}


def bearing(name: str, request: Request, token: str) -> tuple[Request, bytes]:
    """Return a request and its authorization with the token where each maker wants it."""
    if name == "oppo":
        return request._replace(body=request.body + b"&" + urlencode({"auth_token": token}).encode()), b""
    if name == "vivo":
        return request._replace(extra=(*request.extra, (b"authtoken", token.encode()))), b""
    return request, f"Bearer {token}".encode()


def send(stand: Stand, name: str, provider: Provider, token: str, **changes: Any) -> Reply:
    request = provider.adapter.build_request(MESSAGE._replace(address="abcd", title="t", **changes))
    return stand.post(*bearing(name, request, token))


@pytest.mark.parametrize("name", KINDS)
def test_a_message_with_the_token_arrives(name: str, tmp_path: Path) -> None:
    stand = Stand(KINDS[name], tmp_path)
    provider = stand.provider(name)
    token = stand.token(provider, time.time())
    assert token is not None
    assert verdict(provider, send(stand, name, provider, token)).kind == "accepted"
    assert list(stand.phones.recent) == [(MESSAGE.dispatch_id, "abcd", "t", MESSAGE.body)]
    assert verdict(provider, send(stand, name, provider, "guess")).kind == "auth"
    assert sum(stand.phones.received.values()) == 1


@pytest.mark.parametrize("name", KINDS)
def test_another_secret_gets_no_token(name: str, tmp_path: Path) -> None:
    stand = Stand(KINDS[name], tmp_path)
    assert stand.token(stand.provider(name, None, **{SECRETS[name]: "guess"}), time.time()) is None


@pytest.mark.parametrize("name", ["oppo", "vivo"])
def test_a_signed_time_that_is_old_gets_no_token(name: str, tmp_path: Path) -> None:
    stand = Stand(KINDS[name], tmp_path)
    assert stand.token(stand.provider(name), time.time() - 700) is None


@pytest.mark.parametrize(
    ("name", "error", "kind"),
    [("oppo", "41", "rejected"), ("vivo", "10302.3", "gone"), ("honor", "expireTokens", "gone")],
)
def test_a_rule_answers_in_the_makers_shape(name: str, error: str, kind: str, tmp_path: Path) -> None:
    stand = Stand(KINDS[name], tmp_path, {"error": error})
    provider = stand.provider(name)
    token = stand.token(provider, time.time())
    assert verdict(provider, send(stand, name, provider, str(token))).kind == kind
    assert stand.phones.received == {}


def test_a_batch_is_answered_for_each_device(tmp_path: Path) -> None:
    stand = Stand(OppoSandbox, tmp_path, {"error": "10000"})
    provider = stand.provider("oppo")
    token = stand.token(provider, time.time())
    messages = [MESSAGE._replace(address=name, title="t", dispatch_id=name) for name in ("gone", "here")]
    requests = [provider.adapter.build_request(message) for message in messages]
    reply = stand.post(*bearing("oppo", OppoBatch().join(requests), str(token)))
    answers = OppoBatch().split(Answer(reply.status, reply.body), requests)
    assert [provider.adapter.classify(answer).kind for answer in answers] == ["gone", "accepted"]
    assert stand.phones.received == {"here": 1}


def test_meizu_knows_its_own_signature(tmp_path: Path) -> None:
    stand = Stand(MeizuSandbox, tmp_path, {"error": "value.110002"})
    provider = stand.provider("meizu")
    request = provider.adapter.build_request(MESSAGE._replace(address="p", title="t"))
    kinds = [verdict(provider, stand.post(request)).kind for _ in range(2)]
    assert kinds == ["gone", "accepted"]
    changed = request._replace(body=request.body.replace(b"pushIds=p", b"pushIds=q"))
    assert json.loads(stand.post(changed).body)["code"] == "1006"
    assert stand.phones.received == {MESSAGE.dispatch_id: 1}
