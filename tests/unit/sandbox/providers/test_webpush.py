"""The push service's stand-in: VAPID, the sealed body, and the headers RFC 8030 asks for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from angelia.sandbox.providers.webpush import WebPushSandbox
from angelia.transport.wire import Request
from tests.unit.delivery.given import MESSAGE
from tests.unit.sandbox.given import Stand

PATH = b"/wp/a"


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    return Stand(WebPushSandbox, tmp_path)


@pytest.fixture
def request_(stand: Stand) -> Request:
    address = json.dumps(stand.sandbox.subscription("a"))
    return stand.provider("webpush").adapter.build_request(MESSAGE._replace(address=address))


def test_a_sealed_message_is_opened_and_shown(stand: Stand, request_: Request) -> None:
    reply = stand.post(request_, path=PATH)
    assert (reply.status, reply.headers[0][0]) == (201, b"location")
    assert list(stand.phones.recent) == [(MESSAGE.dispatch_id, "a", MESSAGE.title, MESSAGE.body)]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({b"ttl": b"soon"}, 400),
        ({b"topic": b"t" * 33}, 400),
        ({b"content-encoding": b"aesgcm"}, 400),
        ({b"authorization": b"vapid t=a.b.c, k=d"}, 403),
        ({b"authorization": b"Bearer x"}, 403),
    ],
)
def test_headers_that_a_push_service_refuses(
    headers: dict[bytes, bytes], status: int, stand: Stand, request_: Request
) -> None:
    merged: dict[bytes, Any] = {**dict(request_.headers), **dict(request_.extra), **headers}
    changed = request_._replace(headers=(), extra=tuple(merged.items()))
    assert stand.post(changed, path=PATH).status == status
    assert stand.phones.received == {}


def test_methods_sizes_and_bodies_that_are_none(stand: Stand, request_: Request) -> None:
    assert stand.post(request_, method="GET", path=PATH).status == 405
    assert stand.post(request_._replace(body=b"x" * 4097), path=PATH).status == 413
    flipped = request_.body[:-1] + bytes([request_.body[-1] ^ 1])
    assert stand.post(request_._replace(body=flipped), path=PATH).status == 400
    assert stand.phones.received == {}
