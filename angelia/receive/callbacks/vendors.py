"""Xiaomi, OPPO and Meizu: receipts without a signature, so their address holds a secret.

Sources: dev.mi.com "server API and parameters" (extra.callback, .param, .type; a form with `data`, an object
by message id) and the server SDK's page (type 16: the target is invalid); OPPO's page "message receipts"
(call_back_url, call_back_parameter; a list in JSON), read 2026-11-28; github.com/MEIZUPUSH/PushAPI, README,
"delivery and receipts" (extra.callback, .param, .type; a form with `cb`, an object by message id and type,
and an `access_token` that nothing says how to check), read 2026-11-29. Surprise: the parameter they bring
back is the dispatch id; nobody but this server and the vendor sees the address, and no log holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from angelia.contracts.ids import is_list
from angelia.errors import InvalidInput
from angelia.receive.callbacks.base import (
    HARD,
    Callback,
    Reported,
    make_event,
    of_json,
    of_ms,
    read_items,
    same,
    text_of,
)
from angelia.receive.journal import Event

MIN_KEY = 16
MAX_DEVICES = 20_000  # of a request of Xiaomi's, whose items may name many
# Xiaomi's `type` -> kind and reason; 16 and 64: the target is no device of this app any more.
XIAOMI: dict[int, tuple[str, str | None]] = {
    1: ("delivered", None),
    2: ("opened", None),
    16: ("bounced", HARD),
    32: ("bounced", "push_disabled"),
    64: ("bounced", "not_matching"),
    128: ("bounced", "day_limit"),
}
OPPO: dict[str, tuple[str, str | None]] = {
    "push_arrive": ("delivered", None),
    "push_click": ("opened", None),
    "regid_invalid": ("bounced", HARD),
    "user_daily_limit": ("bounced", "day_limit"),
}


MEIZU: dict[int, tuple[str, str | None]] = {1: ("delivered", None), 2: ("opened", None)}


class _Keyed:
    """Whoever knows the address's key is believed."""

    is_blocking = False

    def __init__(self, channel: str, key: str) -> None:
        self._channel, self._key = channel, key

    @classmethod
    def of(cls, channel: str, account: Mapping[str, Any], _hash_of: Callable[[str, str], str]) -> Any:
        """Return the reader of an account's document. Raises: InvalidInput."""
        key = text_of(account, "key", channel)
        if len(key) < MIN_KEY:
            raise InvalidInput(
                f"ANGELIA_RECEIVE_CREDENTIALS: callbacks.{channel}.key is too short",
                fix=f"use at least {MIN_KEY} random characters: it is all that protects this address",
            )
        return cls(channel, key)

    def looks_signed(self, headers: Mapping[str, str], query: str, now: datetime) -> bool:
        """See `Reader.looks_signed`."""
        return same(self._key, parse_qs(query).get("key", [""])[0])

    def is_signed(self, request: Callback) -> bool:
        """See `Reader.is_signed`."""
        return same(self._key, request.parameter("key"))


class XiaomiCallbacks(_Keyed):
    """The receipts of one app."""

    def read(self, request: Callback) -> Reported:
        """See `Reader.read`."""
        document = of_json(dict(request.form()).get("data", ""))
        if not isinstance(document, dict):
            raise ValueError("a form whose data is an object")
        items = [
            (name, raw, token) for name, raw in document.items() if name != "extra" for token in _targets(raw)
        ]
        return read_items(
            items, lambda item: self._event(item[0], item[1], item[2], request.now), MAX_DEVICES
        )

    def _event(self, name: str, raw: Mapping[str, Any], token: str, now: datetime) -> Event | None:
        meaning = XIAOMI.get(int(raw["type"]))
        if meaning is None:
            return None
        kind, reason = meaning
        return make_event(
            self._channel,
            f"{name}:{raw['type']}",
            raw.get("param"),
            kind,
            now,
            at=of_ms(raw["timestamp"]),
            reason=reason,
            token=token,
        )


def _targets(raw: object) -> list[str]:
    """Return the devices an item of Xiaomi's is about, if its message is a list's."""
    if not isinstance(raw, dict) or not is_list(str(raw.get("param"))):
        return [""]
    return [token.strip() for token in str(raw.get("targets") or "").split(",")]


class OppoCallbacks(_Keyed):
    """The receipts of one app."""

    def read(self, request: Callback) -> Reported:
        """See `Reader.read`."""
        return read_items(of_json(request.body), lambda raw: self._event(raw, request.now))

    def _event(self, raw: Mapping[str, Any], now: datetime) -> Event | None:
        meaning = OPPO.get(str(raw["eventType"]))
        if meaning is None:
            return None
        kind, reason = meaning
        return make_event(
            self._channel,
            f"{raw['messageId']}:{raw['eventType']}",
            raw.get("param"),
            kind,
            now,
            at=of_ms(raw["eventTime"]),
            reason=reason,
        )


class MeizuCallbacks(_Keyed):
    """The receipts of one app; Meizu tells no time."""

    def read(self, request: Callback) -> Reported:
        """See `Reader.read`."""
        document = of_json(dict(request.form()).get("cb", ""))
        if not isinstance(document, dict):
            raise ValueError("a form whose cb is an object")
        return read_items(list(document.items()), lambda item: self._event(item[0], item[1], request.now))

    def _event(self, name: str, raw: Mapping[str, Any], now: datetime) -> Event | None:
        meaning = MEIZU.get(int(raw["type"]))
        if meaning is None:
            return None
        return make_event(self._channel, name, raw.get("param"), meaning[0], now, reason=meaning[1])
