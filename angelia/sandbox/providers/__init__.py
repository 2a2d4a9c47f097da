"""Stand-ins of the providers beside FCM, APNs, webhooks and mail.

Each verifies who sends, refuses what the provider would, and hands what is left to the phones.
"""

from __future__ import annotations

from pathlib import Path

from angelia.sandbox.phones import Phones
from angelia.sandbox.providers.amazon import SnsSandbox
from angelia.sandbox.providers.base import ProviderSandbox
from angelia.sandbox.providers.mandrill import MandrillSandbox
from angelia.sandbox.providers.phone_makers import HonorSandbox, MeizuSandbox, OppoSandbox, VivoSandbox
from angelia.sandbox.providers.ses import SesSandbox
from angelia.sandbox.providers.social import QqBotSandbox, WechatSandbox
from angelia.sandbox.providers.vendors import HuaweiSandbox, TwilioSandbox, XiaomiSandbox
from angelia.sandbox.providers.webpush import WebPushSandbox
from angelia.sandbox.providers.workplaces import DingtalkSandbox, WecomSandbox
from angelia.sandbox.rules import Rules

# Names of the account files in the state folder, which are also names of channels.
ACCOUNTS = (
    "dingtalk",
    "email_mandrill",
    "email_ses",
    "honor",
    "huawei",
    "meizu",
    "oppo",
    "qq_bot",
    "sms",
    "sns_push",
    "sns_sms",
    "vivo",
    "webpush",
    "wechat_subscribe",
    "wechat_template",
    "wecom",
    "xiaomi",
)


def make_all(folder: Path, url: str, phones: Phones, rules: Rules) -> tuple[ProviderSandbox, ...]:
    """Return the stand-ins at one address, and write an account for each."""
    kinds = (
        WebPushSandbox,
        TwilioSandbox,
        HuaweiSandbox,
        XiaomiSandbox,
        OppoSandbox,
        VivoSandbox,
        HonorSandbox,
        MeizuSandbox,
        # Before WeCom, whose paths begin as WeChat's do.
        WechatSandbox,
        QqBotSandbox,
        WecomSandbox,
        DingtalkSandbox,
        SesSandbox,
        SnsSandbox,
        MandrillSandbox,
    )
    return tuple(kind(folder, url, phones, rules) for kind in kinds)
