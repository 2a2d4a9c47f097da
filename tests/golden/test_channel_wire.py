"""Requests to providers, equal in meaning to golden files; `make golden` rewrites them.

A review reads the diff.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives.asymmetric import ec

from angelia.delivery.channels.apns import ApnsAdapter
from angelia.delivery.channels.base import Message
from angelia.delivery.channels.dingtalk import DingtalkAdapter
from angelia.delivery.channels.fcm import FcmAdapter
from angelia.delivery.channels.honor import HonorAdapter
from angelia.delivery.channels.huawei import HuaweiAdapter
from angelia.delivery.channels.mail_format import Mailbox
from angelia.delivery.channels.mandrill import MandrillAdapter
from angelia.delivery.channels.meizu import MeizuAdapter
from angelia.delivery.channels.oppo import OppoAdapter
from angelia.delivery.channels.qq_bot import QqBotAdapter
from angelia.delivery.channels.ses import SesAdapter
from angelia.delivery.channels.smtp import SmtpAdapter
from angelia.delivery.channels.sns import stand_in_publisher
from angelia.delivery.channels.sns_push import SnsPushAdapter
from angelia.delivery.channels.sns_sms import SnsSmsAdapter
from angelia.delivery.channels.twilio import TwilioAdapter
from angelia.delivery.channels.vivo import VivoAdapter
from angelia.delivery.channels.webhook import WebhookAdapter
from angelia.delivery.channels.webpush import WebPushAdapter
from angelia.delivery.channels.wechat import MessageTemplate
from angelia.delivery.channels.wechat_subscribe import subscribe_adapter
from angelia.delivery.channels.wechat_template import template_adapter
from angelia.delivery.channels.wecom import WecomAdapter
from angelia.delivery.channels.xiaomi import XiaomiAdapter
from angelia.transport.push_encryption import decrypt, encode, point_of
from angelia.transport.wire import Request

WRITE_GOLDEN = os.environ.get("ANGELIA_GOLDEN") == "write"  # read now: fixtures clear ANGELIA_*
GOLDEN = Path(__file__).parent
MESSAGES = {
    "plain": Message(
        "tok:en-1", "ab" * 16, "Price drop: camera", "Hello Ann, it costs less.", None, None, 3600, False
    ),
    "urgent_with_link": Message(
        "tok2", "cd" * 16, "Parcel", "At 5 pm", "https://shop.example/o?id=1&x=2", "order", 0, True
    ),
    "quotes_and_scripts": Message(
        't"\\k',
        "ef" * 16,
        'He said "hi"',
        "你好 \U0001f680 </script>\nline",
        None,
        "k" * 65,
        2_419_200,
        False,
    ),
}


FORMS = ("twilio", "xiaomi", "oppo", "meizu", "sns_sms", "sns_push", "sns_apns")
NOW = 1_800_000_000.0
BROWSER, SECRET = ec.derive_private_key(7, ec.SECP256R1()), bytes(range(16))
KEYS = {"p256dh": encode(point_of(BROWSER.public_key())), "auth": encode(SECRET)}
SUBSCRIPTION = json.dumps({"endpoint": "https://updates.push.services.mozilla.com/wpush/v2/a", "keys": KEYS})
VAPID = ec.derive_private_key(11, ec.SECP256R1())
TEMPLATE = MessageTemplate("bDmywsp2oEHjwAadTGK", "thing1", "keyword2", {"phrase3": "news"})
ADAPTERS = {
    "fcm": (FcmAdapter("my-project"), None),
    "apns": (ApnsAdapter("example.shop", lambda: NOW), "0123456789abcdef" * 4),
    "email": (
        SmtpAdapter(Mailbox("Shop", "news@shop.example"), "https://shop.example/u", b"secret"),
        "ann@people.example",
    ),
    "webhook": (WebhookAdapter(b"secret", lambda: NOW), "https://hooks.shop.example/in?x=1"),
    "webpush": (WebPushAdapter(VAPID, "mailto:push@shop.example", now=lambda: NOW), SUBSCRIPTION),
    "twilio": (
        TwilioAdapter("AC0", {"MessagingServiceSid": "MG0"}, "https://shop.example/sms?a=1"),
        "+49 (151) 000-0001",
    ),
    "huawei": (HuaweiAdapter("12345", receipt_id="RCP1"), "token-1"),
    "ses": (
        SesAdapter(
            SmtpAdapter(Mailbox("Shop", "news@shop.example"), "https://shop.example/u", b"secret"),
            "https://email.eu-west-1.amazonaws.com",
            "eu-west-1",
            Credentials("AKIDEXAMPLE", "secret"),
            "shop",
        ),
        "ann@people.example",
    ),
    "xiaomi": (XiaomiAdapter("example.shop", "120001"), "regid-1"),
    "wecom": (WecomAdapter(1_000_002), "ann"),
    "dingtalk": (DingtalkAdapter(153_858_650), "manager4220"),
    "oppo": (OppoAdapter({"channel_id": "news"}), "CN_078ad8b8a137cadb14ae5b70cf846312"),
    "vivo": (VivoAdapter(10_004, "NEWS"), "12345678901234567890123"),
    "honor": (HonorAdapter("104500000", now=lambda: NOW), "token-1"),
    "wechat_subscribe": (
        subscribe_adapter(TEMPLATE, {"page": "pages/index"}),
        "oSyZp5OBNPBRhG-7BVgWxbiNZmd0",
    ),
    "wechat_template": (template_adapter(TEMPLATE, {}), "oSyZp5OBNPBRhG-7BVgWxbiNZmd0"),
    "qq_bot": (QqBotAdapter(), "6836D8522EE75AD3732E75C0D3B6F33A"),
    "mandrill": (
        MandrillAdapter(
            SmtpAdapter(Mailbox("Shop", "news@shop.example"), "https://shop.example/u", b"secret"),
            "news@shop.example",
            "md-key",
        ),
        "ann@people.example",
    ),
    "sns_sms": (SnsSmsAdapter(stand_in_publisher(), sender="Shop"), "+49 (151) 000-0001"),
    "sns_push": (
        SnsPushAdapter(stand_in_publisher()),
        "arn:aws:sns:eu-west-1:123456789012:endpoint/GCM/shop/0f1e",
    ),
    "sns_apns": (
        SnsPushAdapter(stand_in_publisher()),
        "arn:aws:sns:eu-west-1:123456789012:endpoint/APNS/shop/0f1e",
    ),
    "meizu": (MeizuAdapter("10000", "secret"), "RA50c6348036344485d01776773577c64740465480a6b"),
}


def claims_of(header: str) -> str:
    """Return a VAPID header without the token's signature."""
    token, _, key = header.removeprefix("vapid t=").partition(", k=")
    return f"vapid t={token.rpartition('.')[0]}, k={key}"


def shown(channel: str, request: Request) -> dict[str, Any]:
    """Return a request as reviewers read it."""
    pairs = [[k.decode(), v.decode()] for k, v in (*request.headers, *request.extra)]
    if channel == "email":
        body: Any = request.body.decode().split("\r\n")
    elif channel == "webpush":
        # The signature of a token differs each time; the rest of the request does not.
        pairs[:] = [[k, v if k != "authorization" else claims_of(v)] for k, v in pairs]
        body = {"sealed": encode(request.body), "opened": json.loads(decrypt(request.body, BROWSER, SECRET))}
    elif channel in FORMS:
        body = [
            [name, json.loads(value) if value.startswith("{") and name != "payload" else value]
            for name, value in parse_qsl(request.body.decode(), strict_parsing=True)
        ]
    else:
        body = json.loads(request.body)
    if channel in ("ses", "sns_sms", "sns_push", "sns_apns"):
        # Time and signature differ each time, and the sandbox verifies them.
        pairs[:] = [
            [k, v.partition("/")[0] if k == "authorization" else "" if k == "x-amz-date" else v]
            for k, v in pairs
        ]
    return {"path": request.path.decode(), "headers": pairs, "body": body}


@pytest.mark.parametrize("channel", sorted(ADAPTERS))
@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_requests(channel: str, name: str) -> None:
    adapter, address = ADAPTERS[channel]
    message = MESSAGES[name]
    requests = shown(
        channel, adapter.build_request(message if address is None else message._replace(address=address))
    )
    path = GOLDEN / channel / f"{name}.json"
    if WRITE_GOLDEN:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(requests, indent=1, ensure_ascii=False) + "\n")
    assert requests == json.loads(path.read_text())
