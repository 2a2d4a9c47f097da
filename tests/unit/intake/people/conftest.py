"""A client that asks about people, with a key of one scope."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Engine
from starlette.exceptions import StarletteDeprecationWarning

from angelia.intake.api import create_app
from angelia.intake.keys import Keys
from angelia.intake.message import now
from angelia.intake.people.addresses_api import MailQuestions
from angelia.lake import Lake

with warnings.catch_warnings():
    warnings.simplefilter("ignore", StarletteDeprecationWarning)
    from starlette.testclient import TestClient

Ask = Callable[..., Any]


class Mailbox(MailQuestions):
    """Asks by the channel `email`, and keeps whom it asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []

    def offers(self, channel: str) -> bool:
        """Say whether mails go through a channel."""
        return channel == "email"

    async def ask(self, user: str, channel: str, address: str) -> bool:
        """Keep whom it asked."""
        self.asked.append((user, channel, address))
        return True


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "access.jsonl"


@pytest.fixture
def ask(lake: Lake, engine: Engine, log: Path, mailbox: Mailbox) -> Iterator[Ask]:
    """Yield a function that asks with a key of one scope."""
    scopes = ("people", "read", "write")
    keys = {scope: Keys(engine).make("shop", (scope,), 999, now())[1] for scope in scopes}
    app = create_app(engine, log, lake=lake, questions=mailbox)
    with TestClient(app, raise_server_exceptions=False) as client:

        def send(method: str, path: str, body: Any = None, scope: str = "people") -> Any:
            content = None if body is None else json.dumps(body).encode()
            headers = {"Authorization": f"Bearer {keys[scope]}"}
            return client.request(method, path, content=content, headers=headers)

        yield send
