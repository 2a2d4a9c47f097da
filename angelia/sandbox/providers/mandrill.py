"""Mailchimp Transactional's side of the wire: verifies the key, and reads the raw message.

Sources of the shapes: those named in `angelia.delivery.channels.mandrill`.
"""

from __future__ import annotations

import email
import email.policy
import hmac
import json
import secrets
from pathlib import Path

from angelia.delivery.channels import mandrill
from angelia.sandbox.fcm import Reply
from angelia.sandbox.keys import write_account
from angelia.sandbox.phones import Phones
from angelia.sandbox.providers.base import ProviderSandbox
from angelia.sandbox.rules import Rules, Then
from angelia.transport.header_blocks import Headers


class MandrillSandbox(ProviderSandbox):
    """Answers `POST /api/1.0/messages/send-raw.json`."""

    paths = (b"/api/1.0/",)

    def __init__(self, folder: Path, url: str, phones: Phones, rules: Rules) -> None:
        super().__init__(phones, rules)
        self._key = f"md-{secrets.token_urlsafe(16)}"
        sender = {"from": "Angelia <news@sandbox.example>", "unsubscribe_url": f"{url}/unsubscribe"}
        hidden = {"unsubscribe_secret": secrets.token_hex(32), "api_key": self._key}
        write_account(folder / "email_mandrill.json", {**sender, **hidden})

    def answer(
        self, method: bytes, path: bytes, authorization: bytes, headers: Headers, body: bytes
    ) -> Reply:
        """See `ProviderSandbox.answer`."""
        self.phones.n_requests += 1
        try:
            document = json.loads(body)
            if not hmac.compare_digest(str(document["key"]).encode(), self._key.encode()):
                return self._error("Invalid_Key")
            (recipient,) = document["to"]
            raw = document["raw_message"].encode("ascii")
            message = email.message_from_bytes(raw, policy=email.policy.default)
            text, title = message.get_content(), str(message["Subject"])
            dispatch = json.loads(message["X-MC-Metadata"])["dispatch_id"]
            if (
                path != mandrill.PATH
                or document["async"]
                or "One-Click" not in message["List-Unsubscribe-Post"]
            ):
                raise ValueError
        except (ValueError, KeyError, TypeError):
            return self._error("ValidationError")
        done = [{"email": recipient, "status": "sent", "_id": secrets.token_hex(16), "reject_reason": None}]
        accepted = Reply(200, json.dumps(done).encode())
        return self.serve(dispatch, recipient, title, text, accepted, lambda then: _scripted(then, recipient))

    def _error(self, name: str) -> Reply:
        document = {"status": "error", "code": -1, "name": name, "message": "Refused."}
        return self.refused(500, f"mandrill_{name}", dict(document))


def _scripted(then: Then, recipient: str) -> Reply:
    """Return a failure; with status 200 the recipient is rejected for the reason in `error`."""
    if then.status == 200:
        given = {"email": recipient, "status": "rejected", "reject_reason": then.error, "_id": "1"}
        return Reply(200, json.dumps([given]).encode())
    document = {"status": "error", "code": -1, "name": then.error, "message": "Scripted."}
    return Reply(then.status, json.dumps(document).encode() if then.error else b"")
