"""A body is read up to its limit, and described without references."""

from __future__ import annotations

import asyncio
import json

import pytest
from starlette.requests import Request

from angelia.intake.answers import BatchRequest
from angelia.intake.bodies import body_of, read_body
from angelia.intake.errors import Refused


def asked(*parts: bytes) -> Request:
    """Return a request whose body arrives in these parts, without a content-length."""
    left = list(parts)

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


def test_a_body_of_exactly_the_limit_is_read() -> None:
    assert asyncio.run(read_body(asked(b"abc", b"", b"de"), 5)) == b"abcde"


def test_a_byte_more_is_refused_without_the_rest() -> None:
    request = asked(b"abc", b"def", b"never read")
    with pytest.raises(Refused) as caught:
        asyncio.run(read_body(request, 5))
    assert caught.value.refusal.code == "too_large"
    assert "abc" not in caught.value.refusal.reason
    assert asyncio.run(request.receive())["body"] == b"never read"


def test_a_described_body_refers_to_nothing_outside() -> None:
    text = json.dumps(body_of(BatchRequest))
    assert "$ref" not in text
    assert '"user_id"' in text
