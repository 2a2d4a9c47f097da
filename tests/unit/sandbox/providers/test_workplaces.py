"""WeCom's and DingTalk's stand-ins: the token in the query, and messages to members."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from angelia.sandbox.providers import workplaces as module
from angelia.sandbox.providers.workplaces import DingtalkSandbox, WecomSandbox
from tests.unit.delivery.given import MESSAGE
from tests.unit.sandbox.given import Stand, verdict

KINDS: dict[str, Callable[..., Any]] = {"wecom": WecomSandbox, "dingtalk": DingtalkSandbox}
SECRETS = {"wecom": "secret", "dingtalk": "app_secret"}
ADDRESSED = MESSAGE._replace(address="ann", title="t", body="b")


@pytest.mark.parametrize("name", KINDS)
def test_a_message_arrives_with_the_token(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand = Stand(KINDS[name], tmp_path)
    provider = stand.provider(name)
    request = provider.adapter.build_request(ADDRESSED)
    path = request.path + b"?access_token=" + str(stand.token(provider, 0.0)).encode()
    assert verdict(provider, stand.post(request, path=path)).kind == "accepted"
    assert [recent[1:] for recent in stand.phones.recent] == [("ann", "", "t\nb")]
    assert verdict(provider, stand.post(request)).reason == "40014"
    now = time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 7201)
    assert verdict(provider, stand.post(request, path=path)).reason == "42001"
    assert sum(stand.phones.received.values()) == 1


@pytest.mark.parametrize("name", KINDS)
def test_another_secret_gets_no_token(name: str, tmp_path: Path) -> None:
    stand = Stand(KINDS[name], tmp_path)
    assert stand.token(stand.provider(name, None, **{SECRETS[name]: "guess"}), 0.0) is None


@pytest.mark.parametrize("name", KINDS)
def test_another_agent_or_path_is_refused(name: str, tmp_path: Path) -> None:
    stand = Stand(KINDS[name], tmp_path)
    provider = stand.provider(name)
    request = provider.adapter.build_request(ADDRESSED)
    path = request.path + b"?access_token=" + str(stand.token(provider, 0.0)).encode()
    other = request._replace(body=request.body.replace(b"1000002", b"1000003"))
    assert other.body != request.body
    assert verdict(provider, stand.post(other, path=path)).reason == "40035"
    assert stand.post(request, path=b"/cgi-bin/elsewhere").status == 404
    assert stand.post(request, method="GET", path=path).status == 404
    assert stand.phones.received == {}


@pytest.mark.parametrize(
    ("name", "error", "kind"), [("wecom", "45009", "throttled"), ("dingtalk", "1430002", "rejected")]
)
def test_a_rule_answers_by_its_errcode(name: str, error: str, kind: str, tmp_path: Path) -> None:
    stand = Stand(KINDS[name], tmp_path, {"error": error}, {"status": 503})
    provider = stand.provider(name)
    request = provider.adapter.build_request(ADDRESSED)
    path = request.path + b"?access_token=" + str(stand.token(provider, 0.0)).encode()
    kinds = [verdict(provider, stand.post(request, path=path)).kind for _ in range(2)]
    assert kinds == [kind, "retry"]
