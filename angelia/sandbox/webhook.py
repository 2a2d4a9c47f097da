"""The webhook receiver: verifies signature and age, answers 204, redirects when scripted."""

from __future__ import annotations

import json
import time

from angelia.delivery.channels.webhook import verify
from angelia.sandbox.fcm import Reply
from angelia.sandbox.phones import Phones
from angelia.sandbox.rules import Rules
from angelia.transport.header_blocks import Headers

PATH = b"/hook/"


class WebhookSandbox:
    """Answers `POST /hook/{name}`."""

    def __init__(self, secret: bytes, phones: Phones, rules: Rules) -> None:
        self._secret, self.phones, self._rules = secret, phones, rules

    def answer(self, method: bytes, path: bytes, headers: Headers, body: bytes) -> Reply:
        """Return the answer to one request."""
        self.phones.n_requests += 1
        given = dict(headers)
        if method != b"POST":
            return self._refused(405, "method")
        name, stamp, signature = (
            given.get(key, b"").decode("latin-1")
            for key in (b"webhook-id", b"webhook-timestamp", b"webhook-signature")
        )
        if not verify(self._secret, name, stamp, body, signature, time.time()):
            return self._refused(401, "signature")
        try:
            message = json.loads(body)
            dispatch, title, text = message["dispatch_id"], message["title"], message["body"]
        except (ValueError, KeyError, TypeError):
            return self._refused(400, "payload")
        token = path[len(PATH) :].decode("latin-1")
        then = self._rules.find(token, dispatch) if self._rules.active else None
        if then is not None and then.is_unseen:
            self.phones.outcomes["broken_before"] += 1
            return Reply(204, b"", then=then)
        if then is not None and then.status >= 300:
            self.phones.outcomes[str(then.status)] += 1
            moved = ((b"location", then.location.encode()),) if then.location else ()
            retry = then.retry_after.encode() if then.retry_after else None
            return Reply(then.status, (then.body or "").encode(), retry_after=retry, then=then, headers=moved)
        self.phones.receive(dispatch, token, title, text)
        self.phones.outcomes["accepted"] += 1
        return Reply(204, b"", then=then)

    def _refused(self, status: int, reason: str) -> Reply:
        self.phones.outcomes[f"webhook_{reason}"] += 1
        return Reply(status, json.dumps({"error": reason}).encode())
