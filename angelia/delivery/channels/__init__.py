"""Channel providers by name: the name is the provider's, the object a factory.

A package outside adds one by the entry-point group `angelia.channels`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import entry_points

from angelia.delivery.channels import (
    apns,
    dingtalk,
    fcm,
    honor,
    huawei,
    inbox,
    mandrill,
    meizu,
    oppo,
    qq_bot,
    ses,
    smtp,
    sns_push,
    sns_sms,
    twilio,
    vivo,
    webhook,
    webpush,
    wechat_subscribe,
    wechat_template,
    wecom,
    xiaomi,
)
from angelia.delivery.channels.base import ChannelConfig, Provider, StandIn
from angelia.errors import InvalidInput

GROUP = "angelia.channels"
PROVIDERS: dict[str, Callable[[ChannelConfig], Provider]] = {
    "apns": apns.open_provider,
    "dingtalk": dingtalk.open_provider,
    "fcm_v1": fcm.open_provider,
    "honor": honor.open_provider,
    "huawei": huawei.open_provider,
    "inbox": inbox.open_provider,
    "mandrill": mandrill.open_provider,
    "meizu": meizu.open_provider,
    "oppo": oppo.open_provider,
    "qq_bot": qq_bot.open_provider,
    "ses_v2": ses.open_provider,
    "smtp": smtp.open_provider,
    "sns_push": sns_push.open_provider,
    "sns_sms": sns_sms.open_provider,
    "twilio": twilio.open_provider,
    "vivo": vivo.open_provider,
    "webhook": webhook.open_provider,
    "webpush": webpush.open_provider,
    "wechat_subscribe": wechat_subscribe.open_provider,
    "wechat_template": wechat_template.open_provider,
    "wecom": wecom.open_provider,
    "xiaomi": xiaomi.open_provider,
}


def open_provider(config: ChannelConfig) -> Provider:
    """Return a channel's provider, ready to use.

    Raises:
        InvalidInput: no provider has this name, or its configuration is incomplete.
    """
    factory = _factory(config.provider)
    if factory is None:
        raise InvalidInput(
            f"channel {config.channel}: no provider is called {config.provider!r}",
            fix=f"known: {', '.join(sorted(PROVIDERS))}, and entry points of the group {GROUP}",
        )
    return factory(config)


def is_known(provider: str) -> bool:
    """Return whether a provider of this name is installed."""
    return provider in PROVIDERS or bool(entry_points(group=GROUP, name=provider))


def stand_in(provider: str) -> StandIn | None:
    """Return what builds a provider's requests without an account.

    It is the function `stand_in` beside the provider's factory. None: there is no such provider, or its
    package offers none, and its limits show only when it sends.
    """
    try:
        factory = _factory(provider)
    except (ImportError, AttributeError):
        # The package is broken, and delivery will say so when it opens the provider.
        return None
    make = getattr(sys.modules.get(getattr(factory, "__module__", "")), "stand_in", None)
    made = make() if callable(make) else None
    return made if isinstance(made, StandIn) else None


def _factory(provider: str) -> Callable[[ChannelConfig], Provider] | None:
    factory = PROVIDERS.get(provider)
    if factory is None:
        for point in entry_points(group=GROUP, name=provider):
            factory = point.load()
    return factory
