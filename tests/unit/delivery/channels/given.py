"""What the adapters' tests start from: answers' meanings, accounts, a request's fields."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from angelia.delivery.channels import open_provider
from angelia.delivery.channels.base import Adapter, ChannelConfig, MessageRejected, Provider
from angelia.transport.wire import Answer, Request
from tests.unit.delivery.given import MESSAGE


def meaning(adapter: Adapter, status: int, document: Any) -> tuple[str, str | None]:
    """Return kind and reason of an answer whose body is a document; None = an empty body."""
    text = "" if document is None else document if isinstance(document, str) else json.dumps(document)
    verdict = adapter.classify(Answer(status, text.encode()))
    return verdict.kind, verdict.reason


def opened(folder: Path, provider: str, account: dict[str, Any]) -> Provider:
    """Open a provider by an account's file."""
    path = folder / "account.json"
    path.write_text(json.dumps(account))
    return open_provider(ChannelConfig("second", provider, 60.0, credentials=path))


def fields(request: Request) -> dict[str, Any]:
    """Return the fields of a request that is a form."""
    return dict(parse_qsl(request.body.decode()))


def document(request: Request) -> dict[str, Any]:
    """Return the JSON of a request."""
    return dict(json.loads(request.body))


def refusal(adapter: Adapter, **changes: Any) -> tuple[str, int | None, int | None]:
    """Return why a message is refused before it is sent: reason, size and limit."""
    with pytest.raises(MessageRejected) as refused:
        adapter.build_request(MESSAGE._replace(**changes))
    return refused.value.reason, refused.value.n_bytes, refused.value.limit
