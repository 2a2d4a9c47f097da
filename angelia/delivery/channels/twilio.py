"""Text messages by Twilio: a row's address is a phone number in E.164.

`ANGELIA_SMS_CREDENTIALS` names a JSON file with `account_sid`, `auth_token` and either `from` or
`messaging_service_sid`; optional `status_callback` (https), called with the dispatch id as a parameter.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from angelia.delivery.channels.answers import judge
from angelia.delivery.channels.base import (
    ACCEPTED,
    AMBIGUOUS,
    GONE,
    HALT,
    OPTED_OUT,
    REJECTED,
    THROTTLED,
    Capabilities,
    ChannelConfig,
    Message,
    Provider,
    StandIn,
    Verdict,
    load_credentials,
    require_size,
)
from angelia.delivery.channels.tokens import FixedToken, json_object, plain_text, pooled, require_id
from angelia.errors import InvalidInput
from angelia.transport.addresses import PHONE
from angelia.transport.wire import Answer, Request

BASE_URL = "https://api.twilio.com"
# Source: twilio.com/docs/messaging/api/message-resource (Body) and /docs/api/errors/90007 (ValidityPeriod,
# whole seconds from 1 to 36,000), read 2026-11-28.
TEXT_LIMIT_CHARS, VALIDITY_MAX_S = 1600, 36_000
# Error code -> meaning. Source: twilio.com/docs/api/errors/CODE, read 2026-11-28 (21611, 30001, 90007), or
# docs/reference/channels.md, written down 2026-11-21 (the others). 21610: the person answered STOP.
ERRORS: dict[str, str] = {
    "20003": HALT, "20404": HALT, "20429": THROTTLED, "21211": GONE, "21408": REJECTED, "21606": HALT,
    "21610": OPTED_OUT, "21611": THROTTLED, "21612": REJECTED, "21614": GONE, "21617": REJECTED,
    "30001": THROTTLED, "90007": REJECTED,
}  # fmt: skip
_NUMBER = re.compile(PHONE)


class TwilioAdapter:
    """Builds messages of one account."""

    def __init__(self, account_sid: str, sender: Mapping[str, str], callback: str | None = None) -> None:
        self._path = f"/2010-04-01/Accounts/{quote(account_sid, safe='')}/Messages.json".encode()
        self._sender, self._callback = dict(sender), callback
        self._headers = ((b"content-type", b"application/x-www-form-urlencoded"),)

    def build_request(self, message: Message) -> Request:
        """See `Adapter.build_request`."""
        number = require_id(_NUMBER, re.sub(r"[\s().\-]", "", message.address))
        text = plain_text(message)
        require_size(len(text), TEXT_LIMIT_CHARS, "characters")
        form = {"To": number, **self._sender, "Body": text}
        form["ValidityPeriod"] = str(min(max(message.ttl_s, 1), VALIDITY_MAX_S))
        if self._callback:
            mark = "&" if "?" in self._callback else "?"
            form["StatusCallback"] = f"{self._callback}{mark}dispatch_id={quote(message.dispatch_id)}"
        return Request(self._path, self._headers, urlencode(form).encode())

    def classify(self, answer: Answer) -> Verdict:
        """See `Adapter.classify`."""
        document = json_object(answer)
        code, sid = document.get("code"), document.get("sid")
        if answer.status in (200, 201):
            known = isinstance(sid, str)
            return Verdict(ACCEPTED, None, str(sid)) if known else Verdict(AMBIGUOUS, "answer_without_sid")
        return judge(answer, code, ERRORS)


CAPABILITIES = Capabilities(
    address="phone number, E.164",
    limit=f"{TEXT_LIMIT_CHARS:,} characters of title, body and link",
    collapse=None,
    ttl=f"ValidityPeriod, at most {VALIDITY_MAX_S:,} s in Twilio's queue",
    receipts="StatusCallback, with the dispatch id in its URL",
)


def stand_in() -> StandIn:
    """Return text messages without an account."""
    return StandIn(TwilioAdapter("AC" + "0" * 32, {"From": "+15005550006"}), "+4915112345678")


def open_provider(config: ChannelConfig) -> Provider:
    """Return Twilio for an account."""
    account = load_credentials(config, ("account_sid", "auth_token"))
    service, number = account.get("messaging_service_sid"), account.get("from")
    if not (service or number):
        raise InvalidInput(
            f"channel {config.channel}: the credentials name no sender",
            fix="add from (a number) or messaging_service_sid to the file",
        )
    sender = {"MessagingServiceSid": str(service)} if service else {"From": str(number)}
    callback = str(account["status_callback"]) if account.get("status_callback") else None
    pair = f"{account['account_sid']}:{account['auth_token']}".encode()
    url = config.base_url or BASE_URL
    return Provider(
        TwilioAdapter(str(account["account_sid"]), sender, callback),
        url,
        FixedToken("Basic " + base64.b64encode(pair).decode(), "Twilio"),
        concurrency=32,
        open_transport=pooled(url),
    )
