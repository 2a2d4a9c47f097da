"""Amazon SES's side of the wire: verifies Signature Version 4, and reads the raw message.

Source of the shapes: botocore's service model sesv2 (2019-09-27), SendEmail, read 2026-11-28.
"""

from __future__ import annotations

import base64
import email
import email.policy
import json
import secrets
from pathlib import Path

from angelia.sandbox.fcm import Reply
from angelia.sandbox.keys import write_account
from angelia.sandbox.phones import Phones
from angelia.sandbox.providers.amazon import AwsAccount
from angelia.sandbox.providers.base import ProviderSandbox
from angelia.sandbox.rules import Rules, Then
from angelia.transport.header_blocks import Headers

PATH = b"/v2/email/outbound-emails"


class SesSandbox(ProviderSandbox):
    """Answers `POST /v2/email/outbound-emails`."""

    paths = (PATH,)

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

    def _scripted(self, then: Then) -> Reply:
        kind = ((b"x-amzn-errortype", then.error.encode()),) if then.error else ()
        return Reply(then.status, b'{"message":"Scripted."}', headers=kind)

    def _error(self, status: int, code: str) -> Reply:
        self.phones.outcomes[f"ses_{code}"] += 1
        return Reply(status, b'{"message":"Refused."}', headers=((b"x-amzn-errortype", code.encode()),))
