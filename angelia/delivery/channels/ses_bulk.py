"""SES in bulk (`SendBulkEmail`): up to 50 mails in a request, an outcome for each.

Grain: one mail; each has its own receiver, texts, unsubscribe link and dispatch id. A bulk request takes a
template, not mails, so what is sent is one of two variables, written as plain text, and SES makes the mail.
Source: botocore's service model sesv2 (2019-09-27), SendBulkEmail, and the page
"Using templates to send personalized email with the Amazon SES API" (50 destinations), read 2026-11-29.
Surprise: a row that finds no company goes out in a bulk request of its own, so that it looks the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from angelia.delivery.channels.base import (
    ACCEPTED,
    AMBIGUOUS,
    HALT,
    REJECTED,
    RETRY,
    SPENT,
    THROTTLED,
    Adapter,
    Message,
    MessageRejected,
    Verdict,
)
from angelia.delivery.channels.smtp import SmtpAdapter
from angelia.delivery.channels.tokens import json_object
from angelia.transport.wire import Answer, Request

TAG = re.compile(r"[A-Za-z0-9_-]{1,256}")  # what a tag's value may hold, by the same model
PATH, MOST = "/v2/email/outbound-bulk-emails", 50
# Status of an entry -> meaning, by the same model.
STATUSES: dict[str, str] = {
    "SUCCESS": ACCEPTED, "MESSAGE_REJECTED": REJECTED, "MAIL_FROM_DOMAIN_NOT_VERIFIED": HALT,
    "CONFIGURATION_SET_NOT_FOUND": HALT, "TEMPLATE_NOT_FOUND": HALT, "ACCOUNT_SUSPENDED": HALT,
    "ACCOUNT_THROTTLED": THROTTLED, "ACCOUNT_DAILY_QUOTA_EXCEEDED": SPENT, "INVALID_SENDING_POOL_NAME": HALT,
    "ACCOUNT_SENDING_PAUSED": HALT, "CONFIGURATION_SET_SENDING_PAUSED": HALT, "INVALID_PARAMETER": REJECTED,
    "TRANSIENT_FAILURE": RETRY, "FAILED": REJECTED,
}  # fmt: skip
_TEMPLATE = {"Subject": "{{title}}", "Text": "{{text}}"}
_NOTHING = json.dumps({"title": "", "text": ""})  # of a variable that an entry lacks; none does


class SesBulk:
    """Builds bulk requests of one account, joins them, and reads each entry's outcome."""

    def __init__(
        self,
        single: Adapter,
        mail: SmtpAdapter,
        url: str,
        signer: SigV4Auth,
        configuration_set: str | None = None,
    ) -> None:
        """Take what signs, and `single`, which judges failures of a whole request."""
        self._single, self._mail, self._url = single, mail, url.rstrip("/") + PATH
        self._signer, self._set = signer, configuration_set

    def build_request(self, message: Message) -> Request:
        """See `Adapter.build_request`. The mail that SMTP would send is made to be judged."""
        if not TAG.fullmatch(message.dispatch_id):
            raise MessageRejected("control_character:header")
        recipient = self._mail.build_request(message).path.decode("ascii")
        text = f"{message.body}\n\n{message.link}\n" if message.link else f"{message.body}\n"
        headers = [
            ("List-Unsubscribe", f"<{self._mail.unsubscribe_link(message.dispatch_id)}>"),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            *([("Importance", "high")] if message.is_urgent else []),
        ]
        data = json.dumps({"title": message.title, "text": text}, ensure_ascii=False)
        entry = {
            "Destination": {"ToAddresses": [recipient]},
            "ReplacementTags": [{"Name": "dispatch_id", "Value": message.dispatch_id}],
            "ReplacementEmailContent": {"ReplacementTemplate": {"ReplacementTemplateData": data}},
            "ReplacementHeaders": [{"Name": name, "Value": value} for name, value in headers],
        }
        document: dict[str, Any] = {
            "FromEmailAddress": self._mail.from_header,
            "DefaultContent": {"Template": {"TemplateContent": _TEMPLATE, "TemplateData": _NOTHING}},
            "BulkEmailEntries": [entry],
        }
        if self._set:
            document["ConfigurationSetName"] = self._set
        return self._signed(document)

    def classify(self, answer: Answer) -> Verdict:
        """See `Adapter.classify`. A failure of the whole is an exception, as of a single mail."""
        if answer.status != 200:
            return self._single.classify(answer)
        results = json_object(answer).get("BulkEmailEntryResults")
        item = results[0] if isinstance(results, list) and len(results) == 1 else None
        status = item.get("Status") if isinstance(item, dict) else None
        if not isinstance(item, dict) or not isinstance(status, str):
            return Verdict(AMBIGUOUS, "answer_without_status")
        kind = STATUSES.get(status, REJECTED)
        if kind != ACCEPTED:
            return Verdict(kind, status)
        name = item.get("MessageId")
        return Verdict(ACCEPTED, None, str(name) if name else None)

    def key(self, request: Request) -> bytes:
        """See `Gatherer.key`. Each message keeps its own texts, so any may go together."""
        return b""

    def join(self, requests: Sequence[Request]) -> Request:
        """See `Gatherer.join`."""
        documents = [json.loads(request.body) for request in requests]
        entries = [entry for document in documents for entry in document["BulkEmailEntries"]]
        return self._signed({**documents[0], "BulkEmailEntries": entries})

    def split(self, answer: Answer, requests: Sequence[Request]) -> list[Answer]:
        """See `Gatherer.split`. Outcomes stand in the order of the entries."""
        results = json_object(answer).get("BulkEmailEntryResults")
        if answer.status != 200:
            return [answer] * len(requests)
        # A list of another length tells nobody's outcome for certain.
        fits = isinstance(results, list) and len(results) == len(requests)
        listed: list[Any] = list(results) if fits and isinstance(results, list) else [None] * len(requests)
        own = (json.dumps({"BulkEmailEntryResults": [item]}).encode() for item in listed)
        return [Answer(200, body, answer.headers) for body in own]

    def _signed(self, document: dict[str, Any]) -> Request:
        body = json.dumps(document, separators=(",", ":")).encode()
        signed = AWSRequest("POST", self._url, {"Content-Type": "application/json"}, body)
        self._signer.add_auth(signed)
        extra = tuple((name.lower().encode(), value.encode()) for name, value in signed.headers.items())
        return Request(PATH.encode(), (), body, extra)
