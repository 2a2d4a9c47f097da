"""Text messages by Amazon SNS: a row's address is a phone number in E.164.

A channel's credentials name a JSON file with `region`, `access_key_id` and `secret_access_key`; optional
`session_token`, `sms_type` (`Transactional`, else `Promotional`) and `sender_id`. Surprise: SNS answers
before a carrier does; only the account's delivery logs show what became of a text.
"""

from __future__ import annotations

import re

from angelia.delivery.channels import sns
from angelia.delivery.channels.base import (
    Capabilities,
    ChannelConfig,
    Message,
    Provider,
    StandIn,
    Verdict,
    require_size,
)
from angelia.delivery.channels.sns import Publisher
from angelia.delivery.channels.tokens import plain_text, require_id
from angelia.errors import InvalidInput
from angelia.transport.addresses import PHONE
from angelia.transport.wire import Answer, Request

# Source: botocore's service model sns, Publish (Message: at most 1,600 characters in one action; sender ids
# of SetSMSAttributes), and docs.aws.amazon.com/sns/latest/dg/sms_publish-to-phone, read 2026-11-28.
TEXT_LIMIT_CHARS = 1600
ERRORS = sns.ERRORS
_NUMBER = re.compile(PHONE)


class SnsSmsAdapter:
    """Builds text messages of one account."""

    def __init__(
        self, publisher: Publisher, sms_type: str = "Promotional", sender: str | None = None
    ) -> None:
        self._publisher = publisher
        self._attributes = {"AWS.SNS.SMS.SMSType": sms_type}
        if sender:
            self._attributes["AWS.SNS.SMS.SenderID"] = sender

    def build_request(self, message: Message) -> Request:
        """See `Adapter.build_request`."""
        number = require_id(_NUMBER, re.sub(r"[\s().\-]", "", message.address))
        text = plain_text(message)
        require_size(len(text), TEXT_LIMIT_CHARS, "characters")
        return self._publisher.request({"PhoneNumber": number, "Message": text}, self._attributes)

    def classify(self, answer: Answer) -> Verdict:
        """See `Adapter.classify`."""
        return self._publisher.classify(answer)


CAPABILITIES = Capabilities(
    address="phone number, E.164",
    limit=f"{TEXT_LIMIT_CHARS:,} characters of title, body and link",
    collapse=None,
    ttl=None,
    receipts="delivery logs in CloudWatch, not read",
)


def stand_in() -> StandIn:
    """Return text messages without an account."""
    return StandIn(SnsSmsAdapter(sns.stand_in_publisher()), "+4915112345678")


def open_provider(config: ChannelConfig) -> Provider:
    """Return text messages of an account and region."""
    publisher, url, account = sns.open_publisher(config)
    kind, sender = account.get("sms_type", "Promotional"), account.get("sender_id")
    if kind not in ("Promotional", "Transactional") or not re.fullmatch(r"[A-Za-z0-9-]{1,11}", sender or "A"):
        raise InvalidInput(
            f"channel {config.channel}: sms_type or sender_id is malformed",
            fix="write sms_type as Promotional or Transactional, sender_id as 1 to 11 letters and digits",
        )
    return sns.provide(SnsSmsAdapter(publisher, kind, sender), url)
