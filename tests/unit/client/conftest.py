"""The intake as it is served, on a port of its own, and a client of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from angelia.client import IntakeClient
from angelia.intake.api import create_app
from angelia.intake.codes import Codes, Secret
from angelia.intake.database import connect
from angelia.intake.keys import SCOPES, Keys
from angelia.intake.wire.short_way import short_protocol
from angelia.lake import Lake
from angelia.lake.store import LocalStore


@dataclass(frozen=True)
class Served:
    """An intake that answers."""

    address: str
    key: str


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("served")
    engine = connect(f"sqlite:///{home / 'intake.db'}")
    codes = Codes(engine, Secret(b"k" * 32))
    app = create_app(engine, codes=codes, lake=Lake(LocalStore(Path(home, "lake"))))
    _, key = Keys(engine).make("shop", SCOPES, 10_000, 0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, http=short_protocol(app), log_level="error"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}", key)
        server.should_exit = True
        thread.join(30)
    engine.dispose()


@pytest.fixture
def intake(served: Served) -> Iterator[IntakeClient]:
    with IntakeClient(served.address, served.key) as client:
        yield client
