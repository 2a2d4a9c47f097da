"""What the sandbox's tests start from: a stand-in with its account, and requests to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from angelia.delivery.channels import open_provider
from angelia.delivery.channels.base import ChannelConfig, Provider, Verdict
from angelia.delivery.channels.tokens import IssuedToken
from angelia.sandbox.fcm import Reply
from angelia.sandbox.phones import Phones
from angelia.sandbox.rules import RuleFile, Rules
from angelia.transport.wire import Answer, Request

URL = "https://127.0.0.1:8443"
HOST = (b"host", b"127.0.0.1:8443")


def rules(*fates: dict[str, Any]) -> Rules:
    """Return rules that give messages these fates, each once."""
    return Rules(RuleFile.model_validate({"rules": [{"match": {"max": 1}, "then": fate} for fate in fates]}))


class Stand:
    """A stand-in of a provider, and an adapter with the account that it wrote."""

    def __init__(self, kind: Callable[..., Any], folder: Path, *fates: dict[str, Any]) -> None:
        self.folder, self.phones = folder, Phones()
        self.sandbox = kind(folder, URL, self.phones, rules(*fates))

    def provider(self, provider: str, account: str | None = None, **changes: Any) -> Provider:
        """Open a provider by the account's file, some of it changed."""
        path = self.folder / f"{account or provider}.json"
        if changes:
            path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        url = None if provider == "webpush" else URL
        return open_provider(ChannelConfig("c", provider, 60.0, base_url=url, credentials=path))

    def token(self, provider: Provider, at: float) -> str | None:
        """Ask for a token at a time; None = it was refused."""
        credentials = provider.credentials
        assert isinstance(credentials, IssuedToken)
        method, request = credentials.ask(at)
        issued = credentials.read(json.loads(self.post(request, method=method).body))
        assert bool(issued.token) != bool(issued.refusal)
        return str(issued.token) if issued.token else None

    def post(
        self, request: Request, authorization: bytes = b"", method: str = "POST", path: bytes | None = None
    ) -> Reply:
        """Hand a request to the stand-in, as a front end does."""
        headers = (*request.headers, *request.extra, HOST)
        given = dict(headers).get(b"authorization", authorization)
        reply = self.sandbox.answer(method.encode(), path or request.path, given, headers, request.body)
        assert isinstance(reply, Reply)
        return reply


def verdict(provider: Provider, reply: Reply) -> Verdict:
    """Return what the adapter makes of a stand-in's answer."""
    return provider.adapter.classify(Answer(reply.status, reply.body, reply.headers))
