"""Settings of an account by class of messages: one word for all, or one a class.

Phone makers count and show marketing and service messages differently, and know the class by a category or
channel that was applied for. Reads an account's file as it was loaded; writes nothing. Surprise: where a file
names no transactional setting, such messages go by that of service.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from angelia.contracts.outcomes import MARKETING, SERVICE, TRANSACTIONAL
from angelia.delivery.channels.base import ChannelConfig
from angelia.errors import InvalidInput

CLASSES = (MARKETING, SERVICE, TRANSACTIONAL)
ClassSetting = Mapping[str, str] | str | None


def for_class(setting: ClassSetting, wire_class: str) -> str | None:
    """Return a class's word of a setting, None if it has none."""
    if setting is None or isinstance(setting, str):
        return setting or None
    return setting.get(wire_class) or (setting.get(SERVICE) if wire_class == TRANSACTIONAL else None)


def read_setting(config: ChannelConfig, account: Mapping[str, Any], name: str) -> ClassSetting:
    """Return a setting of an account: a word for all classes, or a word a class.

    Raises:
        InvalidInput: it names an unknown class, or has no text for one.
    """
    value = account.get(name)
    if not isinstance(value, Mapping):
        return str(value) if value else None
    if not set(value) <= set(CLASSES) or not all(isinstance(word, str) and word for word in value.values()):
        raise InvalidInput(
            f"{name} of channel {config.channel} names an unknown class of messages, or none for one",
            fix=f"write one text, or one for each of {', '.join(CLASSES)}",
        )
    return dict(value)
