"""Callbacks of providers: one module a provider, `PROVIDERS` by name.

Enter at `readers_of`, which makes a reader of each account that ANGELIA_RECEIVE_CREDENTIALS names. Reads and
writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from angelia.errors import InvalidInput
from angelia.receive.callbacks.base import Reader
from angelia.receive.callbacks.huawei import HuaweiCallbacks
from angelia.receive.callbacks.mandrill import MandrillCallbacks
from angelia.receive.callbacks.ses import SesCallbacks
from angelia.receive.callbacks.twilio import TwilioCallbacks
from angelia.receive.callbacks.vendors import MeizuCallbacks, OppoCallbacks, XiaomiCallbacks

Make = Callable[[str, Mapping[str, Any], Callable[[str, str], str]], Reader]
PROVIDERS: dict[str, Make] = {
    "huawei": HuaweiCallbacks.of,
    "mandrill": MandrillCallbacks.of,
    "meizu": MeizuCallbacks.of,
    "oppo": OppoCallbacks.of,
    "ses_v2": SesCallbacks.of,
    "twilio": TwilioCallbacks.of,
    "xiaomi": XiaomiCallbacks.of,
}


def readers_of(
    accounts: Mapping[str, Mapping[str, Any]], hash_of: Callable[[str, str], str]
) -> dict[str, Reader]:
    """Return a reader for each channel's account.

    Args:
        accounts: by channel: `provider`, and what its callbacks need.
        hash_of: returns the keyed hash of (channel, address).

    Raises:
        InvalidInput: a provider has no callbacks here, or a field is missing.
    """
    readers = {}
    for channel, account in accounts.items():
        make = PROVIDERS.get(str(account.get("provider"))) if isinstance(account, dict) else None
        if make is None:
            raise InvalidInput(
                f"ANGELIA_RECEIVE_CREDENTIALS: callbacks.{channel}.provider has no callbacks",
                fix=f"use one of {', '.join(PROVIDERS)}; report the events of others to POST /events",
            )
        readers[channel] = make(channel, account, hash_of)
    return readers
