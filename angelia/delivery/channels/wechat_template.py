"""WeChat template messages of a service account: a row's address is a follower's openid.

A channel's credentials name a JSON file with `app_id`, `app_secret`, `template_id`, `fields` (which of the
template's fields show title and body); optional `constants` (field -> text), and `mini_program` (its app id),
in which links without a scheme are pages. Surprise: who no longer follows the account (43004) has ended their
consent to this channel, not the address; WeChat allows no advertising by template.
"""

from __future__ import annotations

from collections.abc import Mapping

from angelia.delivery.channels import wechat
from angelia.delivery.channels.base import Capabilities, ChannelConfig, Provider, StandIn
from angelia.delivery.channels.wechat import MessageTemplate, WechatAdapter

# Source: developers.weixin.qq.com/doc/service/api/notify/template/api_sendtemplatemessage, read 2026-11-28.
BASE_URL, PATH, ERRORS = wechat.BASE_URL, b"/cgi-bin/message/template/send", wechat.ERRORS


def template_adapter(template: MessageTemplate, account: Mapping[str, object]) -> WechatAdapter:
    """Return what builds template messages by a template."""
    program = account.get("mini_program")

    def link_of(link: str | None) -> dict[str, object]:
        if not link:
            return {}
        if "://" in link:
            return {"url": link}
        return {"miniprogram": {"appid": str(program), "pagepath": link}} if program else {}

    return WechatAdapter(PATH, template, link_of)


CAPABILITIES = Capabilities(
    address="openid of the service account",
    limit=f"{wechat.OTHER_CHARS} characters of a field, 5 to 32 by its kind",
    collapse=None,
    ttl=None,
    receipts="TEMPLATESENDJOBFINISH, not taken",
)


def stand_in() -> StandIn:
    """Return template messages without an account, by fields of the longest kind."""
    template = MessageTemplate("t" * 43, "keyword1", "keyword2", {})
    return StandIn(template_adapter(template, {}), "o" * 28)


def open_provider(config: ChannelConfig) -> Provider:
    """Return template messages of a service account."""
    return wechat.open_template(config, template_adapter)
