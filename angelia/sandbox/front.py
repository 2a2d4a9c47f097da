"""Choose the front end that answers, by path."""

from __future__ import annotations

from angelia.sandbox import apns, webhook
from angelia.sandbox.fcm import FcmSandbox, Reply
from angelia.sandbox.providers.base import ProviderSandbox
from angelia.transport.header_blocks import Headers


class Front:
    """All HTTP front ends of the sandbox."""

    def __init__(
        self,
        fcm_front: FcmSandbox,
        apns_front: apns.ApnsSandbox,
        webhook_front: webhook.WebhookSandbox,
        *others: ProviderSandbox,
    ) -> None:
        self.fcm, self.apns, self.webhook = fcm_front, apns_front, webhook_front
        self.phones = fcm_front.phones
        self._others = others

    def answer(
        self, method: bytes, path: bytes, authorization: bytes, headers: Headers, body: bytes
    ) -> Reply:
        """Return the answer to one request; `headers` are in lower case."""
        if path.startswith(apns.PATH):
            return self.apns.answer(method, path, authorization, headers, body)
        if path.startswith(webhook.PATH):
            return self.webhook.answer(method, path, headers, body)
        for other in self._others:
            if path.startswith(other.paths) or (method == b"POST" and path in other.posted):
                return other.answer(method, path, authorization, headers, body)
        return self.fcm.answer(method, path, authorization, body)
