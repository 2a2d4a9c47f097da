"""Channel providers by name; a package outside adds one by the entry-point group `angelia.channels`.

The name is the provider's, the object a factory.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

from angelia.delivery.channels import apns, fcm, smtp, webhook
from angelia.delivery.channels.base import ChannelConfig, Provider
from angelia.errors import InvalidInput

GROUP = "angelia.channels"
PROVIDERS: dict[str, Callable[[ChannelConfig], Provider]] = {
    "apns": apns.open_provider,
    "fcm_v1": fcm.open_provider,
    "smtp": smtp.open_provider,
    "webhook": webhook.open_provider,
}


def open_provider(config: ChannelConfig) -> Provider:
    """Return a channel's provider, ready to use.

    Raises:
        InvalidInput: no provider has this name, or its configuration is incomplete.
    """
    factory = PROVIDERS.get(config.provider)
    if factory is None:
        for point in entry_points(group=GROUP, name=config.provider):
            factory = point.load()
    if factory is None:
        raise InvalidInput(
            f"channel {config.channel}: no provider is called {config.provider!r}",
            fix=f"known: {', '.join(sorted(PROVIDERS))}, and entry points of the group {GROUP}",
        )
    return factory(config)
