"""A person's token, a worker's message, and what the inbox shows."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt

from angelia.delivery.channels import open_provider
from angelia.delivery.channels.base import ChannelConfig, Message
from angelia.transport.wire import Answer
from tests.unit.receive.callers import NOW, PEOPLE, WORKER, Post

USER = "u00000001"


def token(user: str = USER, secret: str = PEOPLE, **changes: Any) -> dict[str, str]:
    claims = {"sub": user, "aud": "angelia", "exp": int((NOW + timedelta(hours=1)).timestamp())} | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    return {"authorization": f"Bearer {jwt.encode(claims, secret, algorithm='HS256')}"}


def send(post: Post, tmp_path: Path, message: Message, secret: str = WORKER) -> Answer:
    """Hand a message in by the adapter's request and the channel's credentials."""
    path = tmp_path / "inbox.json"
    path.write_text(json.dumps({"secret": secret}))
    config = ChannelConfig("inbox", "inbox", 60.0, base_url="https://back.example", credentials=path)
    provider = open_provider(config)
    request = provider.adapter.build_request(message)
    assert provider.credentials is not None
    headers = {"authorization": (provider.credentials.current() or b"").decode()}
    status, _ = post(request.path.decode(), request.body, headers)
    return Answer(status)


def message(dispatch: str, user: str = USER, **changes: Any) -> Message:
    return Message(user, dispatch, "Sale", "From 5 pm", "https://shop.example/x", None, 3600, False)._replace(
        **changes
    )


def shown(post: Post, **changes: Any) -> list[tuple[str, str]]:
    status, answer = post("/inbox", b"", token(**changes), "GET")
    assert status == 200
    return [(row["dispatch_id"], row["state"]) for row in answer["messages"]]
