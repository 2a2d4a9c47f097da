"""Amazon SES's side of the wire: verifies Signature Version 4, reads a raw mail or a bulk.

Source of the shapes: botocore's service model sesv2 (2019-09-27), SendEmail, read 2026-11-28, and
SendBulkEmail, read 2026-11-29. Of a bulk each entry is a message of its own, which rules find by itself.
"""

from __future__ import annotations

import base64
import email
import email.policy
import json
import re
import secrets
from pathlib import Path
from typing import Any

from angelia.delivery.channels.ses_bulk import MOST
from angelia.sandbox.fcm import Reply
from angelia.sandbox.keys import write_account
from angelia.sandbox.phones import Phones
from angelia.sandbox.providers.amazon import AwsAccount
from angelia.sandbox.providers.base import ProviderSandbox
from angelia.sandbox.rules import Rules, Then
from angelia.transport.header_blocks import Headers

PATH, BULK_PATH = b"/v2/email/outbound-emails", b"/v2/email/outbound-bulk-emails"


def _filled(text: str, data: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda match: data[match[1]], text)


class SesSandbox(ProviderSandbox):
    """Answers `POST /v2/email/outbound-emails`, and `…/outbound-bulk-emails`."""

    paths = (PATH, BULK_PATH)

    def __init__(self, folder: Path, url: str, phones: Phones, rules: Rules) -> None:
        super().__init__(phones, rules)
        self._account = AwsAccount("ses", url)
        sender = {"from": "Angelia <news@sandbox.example>", "unsubscribe_url": f"{url}/unsubscribe"}
        hidden = {"unsubscribe_secret": secrets.token_hex(32)}
        write_account(folder / "email_ses.json", {**self._account.document, **sender, **hidden})

    def answer(
        self, method: bytes, path: bytes, authorization: bytes, headers: Headers, body: bytes
    ) -> Reply:
        """See `ProviderSandbox.answer`."""
        self.phones.n_requests += 1
        if not self._account.has_signed(method, path, authorization, dict(headers), body):
            return self._error(403, "InvalidSignatureException")
        try:
            document = json.loads(body)
            if path == BULK_PATH:
                return self._bulk(document)
            (recipient,) = document["Destination"]["ToAddresses"]
            tags = {tag["Name"]: tag["Value"] for tag in document["EmailTags"]}
            raw = base64.b64decode(document["Content"]["Raw"]["Data"], validate=True)
            message = email.message_from_bytes(raw, policy=email.policy.default)
            text, dispatch = message.get_content(), tags["dispatch_id"]
        except (ValueError, KeyError, TypeError):
            return self._error(400, "BadRequestException")
        done = {"MessageId": f"{secrets.token_hex(8)}-000000"}
        title = str(message["Subject"])
        return self.serve(
            dispatch, recipient, title, text, Reply(200, json.dumps(done).encode()), self._scripted
        )

    def _bulk(self, document: dict[str, Any]) -> Reply:
        """Take each entry by itself. Raises: ValueError, KeyError, TypeError."""
        entries, template = document["BulkEmailEntries"], document["DefaultContent"]["Template"]
        content, default = template["TemplateContent"], json.loads(template["TemplateData"])
        if not 1 <= len(entries) <= MOST or not document["FromEmailAddress"]:
            raise ValueError
        results, fate = [], None
        for entry in entries:
            (recipient,) = entry["Destination"]["ToAddresses"]
            tags = {tag["Name"]: tag["Value"] for tag in entry["ReplacementTags"]}
            headers = {header["Name"]: header["Value"] for header in entry["ReplacementHeaders"]}
            own = entry["ReplacementEmailContent"]["ReplacementTemplate"]["ReplacementTemplateData"]
            data = {**default, **json.loads(own)}
            if not headers["List-Unsubscribe"].startswith("<https://"):
                raise ValueError
            texts = [_filled(content[name], data) for name in ("Subject", "Text")]
            item = {"Status": "SUCCESS", "MessageId": f"{secrets.token_hex(8)}-000000"}
            accepted = Reply(200, json.dumps(item).encode())
            reply = self.serve(
                tags["dispatch_id"], recipient, texts[0], texts[1], accepted, self._failed_item
            )
            results.append(json.loads(reply.body))
            # An answer that is lost is lost for all.
            if reply.then is not None and (reply.then.reset or reply.then.silent):
                fate = reply.then
        return Reply(200, json.dumps({"BulkEmailEntryResults": results}).encode(), then=fate)

    def _failed_item(self, then: Then) -> Reply:
        return Reply(200, json.dumps({"Status": then.error or "FAILED", "Error": "Scripted."}).encode())

    def _scripted(self, then: Then) -> Reply:
        kind = ((b"x-amzn-errortype", then.error.encode()),) if then.error else ()
        return Reply(then.status, b'{"message":"Scripted."}', headers=kind)

    def _error(self, status: int, code: str) -> Reply:
        self.phones.outcomes[f"ses_{code}"] += 1
        return Reply(status, b'{"message":"Refused."}', headers=((b"x-amzn-errortype", code.encode()),))
