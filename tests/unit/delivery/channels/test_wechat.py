"""WeChat's templates: which field shows what, how long each kind may be, what codes mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from angelia.delivery.channels.tokens import IssuedToken
from angelia.delivery.channels.wechat import MessageTemplate, WechatAdapter
from angelia.errors import InvalidInput
from tests.unit.delivery.channels.given import document, meaning, opened, refusal
from tests.unit.delivery.given import MESSAGE

SECRETS = {"app_id": "a", "app_secret": "s", "template_id": "t"}
NAMED = {"fields": {"title": "phrase1", "body": "keyword2"}}
ADAPTER = WechatAdapter(
    b"/send", MessageTemplate("t", "thing1", "keyword2", {"phrase3": "news"}), lambda _: {}
)


def test_a_field_has_the_length_of_its_kind(tmp_path: Path) -> None:
    adapter = opened(tmp_path, "wechat_subscribe", {**SECRETS, **NAMED}).adapter
    adapter.build_request(MESSAGE._replace(address="abcd", title="12345", body="b" * 200))
    assert refusal(adapter, address="abcd", title="123456") == ("payload_too_large", 6, 5)
    refused = refusal(adapter, address="abcd", title="1", body="b" * 201)
    assert refused == ("payload_too_large", 201, 200), "a kind without a limit of WeChat's has ours"


def test_constants_stand_beside_title_and_body() -> None:
    sent = document(ADAPTER.build_request(MESSAGE._replace(address="abcd", title="t", body="b")))
    assert sent["data"] == {
        "phrase3": {"value": "news"},
        "thing1": {"value": "t"},
        "keyword2": {"value": "b"},
    }
    assert (sent["touser"], sent["template_id"]) == ("abcd", "t")


@pytest.mark.parametrize(
    ("status", "answer", "kind", "reason"),
    [
        (200, {"errcode": 0, "msgid": 7}, "accepted", None),
        (200, {"errcode": False}, "ambiguous", "answer_without_code"),
        (500, {"errcode": 0}, "retry", "0"),
        (200, {"errcode": -1}, "retry", "-1"),
        (200, {"errcode": 40003}, "gone", "40003"),
        (200, {"errcode": 45011}, "throttled", "45011"),
        (200, {"errcode": 99999}, "rejected", "99999"),
    ],
)
def test_each_code_has_its_meaning(status: int, answer: Any, kind: str, reason: str | None) -> None:
    assert meaning(ADAPTER, status, answer) == (kind, reason)


@pytest.mark.parametrize(
    "changes", [{"fields": {"title": "thing1"}}, {"fields": ["title", "body"]}, {**NAMED, "constants": ["x"]}]
)
def test_a_template_names_its_fields(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="fields of the template are not named"):
        opened(tmp_path, "wechat_template", {**SECRETS, **changes})


def test_the_stable_token_is_asked_for(tmp_path: Path) -> None:
    """The other one would end the token of everybody else at each question."""
    token = opened(tmp_path, "wechat_template", {**SECRETS, **NAMED}).credentials
    assert isinstance(token, IssuedToken)
    method, request = token.ask(0.0)
    assert (method, request.path) == ("POST", b"/cgi-bin/stable_token")
    assert document(request) == {"grant_type": "client_credential", "appid": "a", "secret": "s"}
