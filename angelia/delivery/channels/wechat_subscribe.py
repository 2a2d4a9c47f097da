"""WeChat subscribe messages of a mini-program: a row's address is the person's openid.

A channel's credentials name a JSON file with `app_id`, `app_secret`, `template_id`, `fields` (which of the
template's fields show title and body); optional `constants` (field -> text), `page`, `state` (else formal)
and `lang`. Surprise: a person who subscribes once has granted one message. The next is refused (43101), which
ends their consent to this channel, not the address: it opens again by their next opt-in.
"""

from __future__ import annotations

from collections.abc import Mapping

from angelia.delivery.channels import wechat
from angelia.delivery.channels.base import Capabilities, ChannelConfig, Provider, StandIn
from angelia.delivery.channels.wechat import MessageTemplate, WechatAdapter

BASE_URL, PATH, ERRORS = wechat.BASE_URL, b"/cgi-bin/message/subscribe/send", wechat.ERRORS


def subscribe_adapter(template: MessageTemplate, account: Mapping[str, object]) -> WechatAdapter:
    """Return what builds subscribe messages by a template."""
    state, language = str(account.get("state") or "formal"), str(account.get("lang") or "zh_CN")
    page = str(account["page"]) if account.get("page") else None

    def link_of(link: str | None) -> dict[str, object]:
        # Only pages of the mini-program itself; an address of the web has nowhere to go.
        own = link if link and "://" not in link else page
        return {"miniprogram_state": state, "lang": language, **({"page": own} if own else {})}

    return WechatAdapter(PATH, template, link_of)


CAPABILITIES = Capabilities(
    address="openid of the mini-program",
    limit=f"{wechat.OTHER_CHARS} characters of a field, 5 to 32 by its kind",
    collapse=None,
    ttl=None,
    receipts="subscribe_msg_sent_event, not taken",
)


def stand_in() -> StandIn:
    """Return subscribe messages without a mini-program, by fields of the longest kind."""
    template = MessageTemplate("t" * 43, "keyword1", "keyword2", {})
    return StandIn(subscribe_adapter(template, {}), "o" * 28)


def open_provider(config: ChannelConfig) -> Provider:
    """Return subscribe messages of a mini-program."""
    return wechat.open_template(config, subscribe_adapter)
