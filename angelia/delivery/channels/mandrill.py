"""E-mail by Mailchimp Transactional (Mandrill): one raw message a request.

A channel's credentials name a JSON file with what SMTP needs (`from`, `unsubscribe_url`,
`unsubscribe_secret`) and `api_key`. The message is the one SMTP would send, one-click headers and all; the
dispatch id is also its metadata, which webhooks bring back. Surprises: the key travels in the body, and every
failure of a request comes with HTTP 500.
"""

from __future__ import annotations

import json
import re

from angelia.delivery.channels.answers import judge, provider_id
from angelia.delivery.channels.base import (
    ACCEPTED,
    GONE,
    HALT,
    OPTED_OUT,
    REJECTED,
    RETRY,
    Capabilities,
    ChannelConfig,
    Message,
    MessageRejected,
    Provider,
    StandIn,
    Verdict,
    load_credentials,
)
from angelia.delivery.channels.mail_format import Mailbox
from angelia.delivery.channels.smtp import ACCOUNT, PAYLOAD_LIMIT, SmtpAdapter, mail_of
from angelia.delivery.channels.tokens import json_object, pooled
from angelia.transport.wire import Answer, Request

# Source: rubydoc.info/gems/mandrill-api (messages/send-raw: fields and answers; its errors' names) and
# api-evangelist/mailchimp (openapi's schemas Error and SendResult), read 2026-11-28.
BASE_URL, PATH = "https://mandrillapp.com", b"/api/1.0/messages/send-raw.json"
SENT = ("sent", "queued", "scheduled")
# `name` of an error -> meaning. Same source.
ERRORS: dict[str, str] = {
    "Invalid_Key": HALT, "PaymentRequired": HALT, "PoorReputation": HALT, "Unknown_Subaccount": HALT,
    "Unknown_Sender": HALT, "ServiceUnavailable": RETRY, "GeneralError": RETRY, "ValidationError": REJECTED,
}  # fmt: skip
# `reject_reason`, or the status `invalid`, of the one recipient -> meaning. Same source.
REJECTS: dict[str, str] = {
    "hard-bounce": GONE, "invalid": GONE, "unsub": OPTED_OUT, "spam": OPTED_OUT, "soft-bounce": REJECTED,
    "custom": REJECTED, "rule": REJECTED, "invalid-sender": HALT, "test-mode-limit": HALT, "unsigned": HALT,
}  # fmt: skip
# Letters of an id that need no encoding in a header of JSON. Metadata has at most 200 bytes. Source:
# mandrill.zendesk.com/hc/en-us/articles/205582417 (X-MC-Metadata), read 2026-11-28.
_TAG = re.compile(r"[A-Za-z0-9_-]{1,128}")


class MandrillAdapter:
    """Builds mails of one account."""

    def __init__(self, mail: SmtpAdapter, sender: str, key: str) -> None:
        self._mail, self._sender, self._key = mail, sender, key
        self._headers = ((b"content-type", b"application/json"),)

    def build_request(self, message: Message) -> Request:
        """See `Adapter.build_request`."""
        if not _TAG.fullmatch(message.dispatch_id):
            raise MessageRejected("control_character:header")
        mail = self._mail.build_request(message)
        mark = f'X-MC-Metadata: {{"dispatch_id":"{message.dispatch_id}"}}\r\n'
        document = {
            "key": self._key,
            "raw_message": mark + mail.body.decode("ascii"),
            "from_email": self._sender,
            "to": [mail.path.decode("ascii")],
            "async": False,
        }
        return Request(PATH, self._headers, json.dumps(document, separators=(",", ":")).encode())

    def classify(self, answer: Answer) -> Verdict:
        """See `Adapter.classify`."""
        if answer.status != 200:
            return judge(answer, json_object(answer).get("name"), ERRORS)
        try:
            listed = json.loads(answer.body)
        except ValueError:
            listed = None
        given = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], dict) else {}
        status, reason = given.get("status"), given.get("reject_reason")
        if status in SENT:
            return Verdict(ACCEPTED, None, provider_id(given.get("_id")))
        return judge(answer, reason if status == "rejected" and reason else status, REJECTS)


CAPABILITIES = Capabilities(
    address="mail address",
    limit=f"{PAYLOAD_LIMIT:,} bytes of message",
    collapse=None,
    ttl=None,
    receipts="webhooks, with the dispatch id as metadata; one-click unsubscribe",
    multicast=None,
)


def stand_in() -> StandIn:
    """Return Mandrill without an account."""
    mail = SmtpAdapter(Mailbox("n" * 60, "a@stand-in.example"), "https://stand-in.example/u", b"stand-in")
    return StandIn(MandrillAdapter(mail, "a@stand-in.example", "stand-in"), "a@b.example")


def open_provider(config: ChannelConfig) -> Provider:
    """Return Mandrill for an account."""
    account = load_credentials(config, (*ACCOUNT, "api_key"))
    sender, mail = mail_of(config, account)
    url = config.base_url or BASE_URL
    adapter = MandrillAdapter(mail, sender.address, str(account["api_key"]))
    return Provider(adapter, url, None, concurrency=32, open_transport=pooled(url))
