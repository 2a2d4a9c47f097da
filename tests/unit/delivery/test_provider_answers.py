"""What providers' answers mean; their tokens and accounts."""

from __future__ import annotations

import asyncio
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from angelia.delivery.channels import PROVIDERS, open_provider, stand_in, webpush
from angelia.delivery.channels.base import ChannelConfig, MessageRejected
from angelia.delivery.channels.tokens import AppToken
from angelia.delivery.worker.senders import PROVIDER_HOSTS
from angelia.errors import InvalidInput
from angelia.transport.wire import Answer
from tests.unit.delivery.given import MESSAGE


def illegal(code: str, why: str) -> dict[str, str]:
    return {"code": code, "msg": json.dumps({"illegalTokens": {why: ["t"]}, "failure": 1})}


ANSWERS: list[tuple[str, int, Any, str, str | None]] = [
    ("ses_v2", 200, {"MessageId": "1"}, "accepted", None),
    ("ses_v2", 200, {}, "ambiguous", "answer_without_id"),
    (
        "ses_v2",
        403,
        {"__type": "com.amazonaws#AccountSuspendedException"},
        "halt",
        "AccountSuspendedException",
    ),
    ("ses_v2", 502, None, "retry", "HTTP_502"),
    ("webpush", 201, None, "accepted", None),
    ("webpush", 410, None, "gone", "HTTP_410"),
    ("webpush", 403, None, "halt", "HTTP_403"),
    ("webpush", 307, None, "rejected", "redirect"),
    ("webpush", 429, None, "retry", "HTTP_429"),
    ("twilio", 201, {"sid": "SM1", "status": "queued"}, "accepted", None),
    ("twilio", 201, {}, "ambiguous", "answer_without_sid"),
    ("twilio", 400, {"code": 21610, "status": 400}, "opted_out", "21610"),
    ("twilio", 400, {"code": 21659, "status": 400}, "rejected", "21659"),
    ("twilio", 401, {"code": 20003}, "halt", "20003"),
    ("twilio", 429, {"code": 20429}, "throttled", "20429"),
    ("twilio", 503, None, "retry", "HTTP_503"),
    ("huawei", 200, {"code": "80000000", "requestId": "1"}, "accepted", None),
    ("huawei", 200, {"code": "80300007"}, "gone", "80300007"),
    ("huawei", 200, illegal("80300007", "noRight"), "halt", "80300007.noRight"),
    ("huawei", 200, illegal("80100000", "novelty"), "rejected", "80100000.novelty"),
    ("huawei", 401, {"code": "80200003"}, "auth", "80200003"),
    ("huawei", 503, None, "throttled", "HTTP_503"),
    ("huawei", 200, {}, "ambiguous", "answer_without_code"),
    ("xiaomi", 200, {"code": 0, "data": {"id": "a"}}, "accepted", None),
    ("xiaomi", 200, {"code": 0, "data": {"id": "a", "bad_regids": "r"}}, "gone", "bad_regids"),
    ("xiaomi", 200, {"code": 20301, "data": {"bad_regids": "r"}}, "gone", "bad_regids"),
    ("xiaomi", 200, {"code": 10034}, "halt", "10034"),
    ("xiaomi", 200, {"code": 0}, "ambiguous", "no_id"),
    ("xiaomi", 502, None, "retry", "HTTP_502"),
    ("oppo", 200, {"code": 0, "data": {"messageId": "m"}}, "accepted", None),
    ("oppo", 200, {"code": 11}, "auth", "11"),
    ("oppo", 200, {"code": 33}, "halt", "33"),
    ("oppo", 200, {"code": 999}, "rejected", "999"),
    ("oppo", 503, None, "retry", "HTTP_503"),
    ("oppo", 200, None, "ambiguous", "answer_without_code"),
    ("vivo", 200, {"result": 0, "taskId": "1"}, "accepted", None),
    ("vivo", 200, {"result": 10302, "invalidUser": {"status": 4}}, "rejected", "invalidUser.4"),
    ("vivo", 200, {"result": 10302, "invalidUser": {"status": 9}}, "gone", "10302"),
    ("vivo", 200, {"result": 10070}, "halt", "10070"),
    ("vivo", 500, None, "retry", "HTTP_500"),
    ("honor", 200, {"code": 200, "data": {"sendResult": True, "requestId": "1"}}, "accepted", None),
    ("honor", 200, {"code": 200, "data": {"sendResult": False}}, "rejected", "200"),
    ("honor", 401, None, "auth", "HTTP_401"),
    ("honor", 200, {"data": {}}, "ambiguous", "answer_without_code"),
    ("meizu", 200, {"code": "200", "msgId": "m", "value": {}}, "accepted", None),
    ("meizu", 200, {"code": "200", "value": {"110010": ["p"]}}, "gone", "value.110010"),
    ("meizu", 200, {"code": "110010", "value": ""}, "throttled", "110010"),
    ("meizu", 200, {"code": "1006"}, "halt", "1006"),
    ("mandrill", 200, [{"status": "queued", "_id": "m"}], "accepted", None),
    ("mandrill", 200, [{"status": "rejected", "reject_reason": "spam"}], "opted_out", "spam"),
    ("mandrill", 200, [{"status": "invalid"}], "gone", "invalid"),
    ("mandrill", 200, [{"status": "novelty"}], "rejected", "novelty"),
    ("mandrill", 200, [], "ambiguous", "answer_without_code"),
    ("mandrill", 500, {"status": "error", "name": "Invalid_Key"}, "halt", "Invalid_Key"),
    ("mandrill", 500, {"status": "error", "name": "ValidationError"}, "rejected", "ValidationError"),
    ("mandrill", 502, None, "retry", "HTTP_502"),
    ("wechat_subscribe", 200, {"errcode": 0, "errmsg": "ok"}, "accepted", None),
    ("wechat_subscribe", 200, {"errcode": 43101}, "opted_out", "43101"),
    ("wechat_subscribe", 200, {"errcode": 45009}, "halt", "45009"),
    ("wechat_template", 200, {"errcode": 43004}, "opted_out", "43004"),
    ("wechat_template", 200, {"errcode": 40001}, "auth", "40001"),
    ("qq_bot", 200, {"id": "m", "timestamp": 1}, "accepted", None),
    ("qq_bot", 202, {"code": 304023}, "accepted", "304023"),
    ("qq_bot", 400, {"code": 304023}, "rejected", "304023"),
    ("qq_bot", 401, {"code": 11243}, "auth", "11243"),
    ("qq_bot", 500, {"code": 999}, "retry", "999"),
    ("qq_bot", 200, {}, "ambiguous", "answer_without_code"),
    ("wecom", 200, {"errcode": 0, "msgid": "m"}, "accepted", None),
    ("wecom", 200, {"errcode": 0, "invaliduser": "ann"}, "rejected", "invaliduser"),
    ("wecom", 200, {"errcode": 42001}, "auth", "42001"),
    ("wecom", 200, {"errcode": 60020}, "halt", "60020"),
    ("dingtalk", 200, {"errcode": 0, "task_id": 7}, "accepted", None),
    ("dingtalk", 200, {"errcode": 88, "sub_code": "40014"}, "auth", "40014"),
    ("dingtalk", 200, {"errcode": 88, "sub_code": "60011"}, "halt", "60011"),
    ("dingtalk", 200, {"errcode": 143103}, "throttled", "143103"),
    ("dingtalk", 200, {"errcode": 999}, "rejected", "999"),
]


@pytest.mark.parametrize(("provider", "status", "document", "kind", "reason"), ANSWERS)
def test_each_answer_has_its_meaning(
    provider: str, status: int, document: Any, kind: str, reason: str | None
) -> None:
    its = stand_in(provider)
    assert its is not None
    verdict = its.adapter.classify(Answer(status, b"" if document is None else json.dumps(document).encode()))
    assert (verdict.kind, verdict.reason) == (kind, reason)


OK = "<PublishResponse><PublishResult><MessageId>m</MessageId></PublishResult></PublishResponse>"
FAILED = "<ErrorResponse><Error><Code>%s</Code></Error><RequestId>1</RequestId></ErrorResponse>"
SNS_ANSWERS = [
    ("sns_sms", 200, OK, "accepted", None),
    ("sns_sms", 200, "<a/>", "ambiguous", "answer_without_code"),
    ("sns_sms", 404, FAILED % "NotFound", "halt", "NotFound"),
    ("sns_push", 404, FAILED % "NotFound", "gone", "NotFound"),
    ("sns_push", 400, FAILED % "EndpointDisabled", "gone", "EndpointDisabled"),
    ("sns_push", 403, FAILED % "SignatureDoesNotMatch", "halt", "SignatureDoesNotMatch"),
    ("sns_push", 400, FAILED % "Throttling", "throttled", "Throttling"),
    ("sns_push", 503, "<html>", "retry", "HTTP_503"),
]


@pytest.mark.parametrize(("provider", "status", "body", "kind", "reason"), SNS_ANSWERS)
def test_each_answer_in_xml_has_its_meaning(
    provider: str, status: int, body: str, kind: str, reason: str | None
) -> None:
    its = stand_in(provider)
    assert its is not None
    verdict = its.adapter.classify(Answer(status, body.encode()))
    assert (verdict.kind, verdict.reason) == (kind, reason)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://fcm.googleapis.com.evil.example/a",
        "https://evilfcm.googleapis.com.example/",
        "https://evilfcm.googleapis.com/a",
        "https://evilpush.apple.com/a",
        "https://127.0.0.1/a",
        "http://fcm.googleapis.com/a",
        "https://u@fcm.googleapis.com/a",
        "https://notfcm.example/fcm.googleapis.com",
    ],
)
def test_only_push_services_of_the_list_are_called(endpoint: str) -> None:
    its = webpush.stand_in()
    address = json.dumps({**json.loads(its.address), "endpoint": endpoint})
    with pytest.raises(MessageRejected, match=r"address_refused|bad_address"):
        its.adapter.build_request(MESSAGE._replace(address=address))


@pytest.mark.parametrize("address", ["", "{}", "[]", "7", '{"endpoint":1,"keys":{}}', "https://a.example"])
def test_what_is_no_subscription_is_a_bad_address(address: str) -> None:
    with pytest.raises(MessageRejected, match="bad_address"):
        webpush.stand_in().adapter.build_request(MESSAGE._replace(address=address))
    assert webpush.host_of(address) == ""


@pytest.mark.parametrize(
    ("provider", "address"),
    [
        ("oppo", "a,b"),
        ("vivo", "a b c d"),
        ("meizu", "a,b"),
        ("twilio", "0151 1234"),
        ("xiaomi", "a,b"),
        ("sns_sms", "0151 1234"),
        ("sns_push", "arn:aws:sns:eu-west-1:123456789012:endpoint/ADM/app/1"),
        ("sns_push", "arn:aws:sns:eu-west-1:123456789012:topic"),
        ("wechat_subscribe", "o/1"),
        ("qq_bot", "../me"),
        ("wecom", "ann|bob"),
        ("wecom", "a" * 65),
        ("dingtalk", "a,b"),
    ],
)
def test_an_address_is_one_receiver(provider: str, address: str) -> None:
    its = stand_in(provider)
    assert its is not None
    with pytest.raises(MessageRejected, match="bad_address"):
        its.adapter.build_request(MESSAGE._replace(address=address))


WITH_ACCOUNT = sorted(set(PROVIDERS) - {"apns", "fcm_v1", "smtp", "webhook"})


@pytest.mark.parametrize("provider", WITH_ACCOUNT)
def test_an_account_that_lacks_something_is_named(provider: str, tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    path.write_text("{}")
    with pytest.raises(InvalidInput, match="ANGELIA_SECOND_CREDENTIALS: the file lacks"):
        open_provider(ChannelConfig("second", provider, 60.0, credentials=path))


def test_no_vendor_is_reached_by_a_rehearsal() -> None:
    for provider in sorted(set(WITH_ACCOUNT) - {"inbox", "ses_v2", "sns_push", "sns_sms", "webpush"}):
        host = import_module(PROVIDERS[provider].__module__).BASE_URL.removeprefix("https://")
        assert any(f".{host}".endswith(f".{name}") for name in PROVIDER_HOSTS), host


def test_an_app_token_is_refreshed_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now, answers = [1000.0], [Answer(200, b'{"errcode":0,"access_token":"t1","expires_in":7200}')]

    async def exchange(*_: object) -> Answer:
        return answers[0]

    monkeypatch.setattr("angelia.delivery.channels.tokens.PooledHttp.exchange", exchange)
    token = AppToken("https://a.example", "/gettoken", {"corpid": "c", "corpsecret": "s"}, now=lambda: now[0])
    assert token.current() is None
    asyncio.run(token.refresh(None))
    assert token.current() == b"t1"
    now[0] += 6899
    assert token.current() == b"t1"
    now[0] += 1
    assert token.current() is None, "five minutes before its end"
    answers[0] = Answer(200, b'{"errcode":40001,"errmsg":"invalid credential"}')
    with pytest.raises(InvalidInput, match="refused the app"):
        asyncio.run(token.refresh(None))


def test_a_field_of_a_template_has_the_length_of_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    secrets = {"app_id": "a", "app_secret": "s", "template_id": "t"}
    path.write_text(json.dumps({**secrets, "fields": {"title": "phrase1", "body": "keyword2"}}))
    config = ChannelConfig("c", "wechat_subscribe", 60.0, credentials=path)
    adapter = open_provider(config).adapter
    adapter.build_request(MESSAGE._replace(title="12345", body="b" * 200))
    with pytest.raises(MessageRejected) as refused:
        adapter.build_request(MESSAGE._replace(title="123456"))
    assert (refused.value.n_bytes, refused.value.limit) == (6, 5)
    path.write_text(json.dumps({**secrets, "fields": {"title": "thing1"}}))
    with pytest.raises(InvalidInput, match="fields of the template are not named"):
        open_provider(config)
