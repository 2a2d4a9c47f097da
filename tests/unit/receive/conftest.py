"""The application in this process, asked without a socket, and messages it may hear of."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from angelia.lake import Lake
from angelia.receive.api import create_app
from angelia.receive.callbacks import readers_of
from angelia.receive.inbox.beacons import PERSON, BeaconTrust
from angelia.receive.inbox.routes import InboxTrust
from angelia.receive.journal import Journal
from angelia.receive.receiver import CallbackReceiver
from angelia.receive.trust import Trust
from angelia.users.suppressions import address_hash, address_key
from tests.unit.delivery.conftest import bench as bench
from tests.unit.receive.callers import CALLBACKS, MAIL, NOW, PAGE, PEOPLE, SECRET, WORKER, Post

with warnings.catch_warnings():
    # It wants the successor of httpx, which is not in the lock; httpx does.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient


@pytest.fixture
def secret() -> Any:
    return SECRET


@pytest.fixture
def receiver(lake: Lake, secret: Any) -> CallbackReceiver:
    callers = {"": secret} if isinstance(secret, bytes) else secret

    def hashed(channel: str, address: str) -> str:
        return address_hash(address_key(lake.store), channel, address)

    beacons = BeaconTrust(PEOPLE, lambda user: hashed(PERSON, user))
    trust = Trust(callers, MAIL, readers_of(CALLBACKS, hashed), InboxTrust(WORKER, PEOPLE), PAGE, beacons)
    return CallbackReceiver(Journal(lake.store), trust, lambda: NOW, lake)


@pytest.fixture
def post(receiver: CallbackReceiver) -> Iterator[Post]:
    """Ask the application in this process, without a socket."""
    with TestClient(create_app(receiver)) as client:

        def ask(
            path: str, body: bytes, headers: dict[str, str] | None = None, method: str = "POST"
        ) -> tuple[int, dict[str, Any]]:
            answer = client.request(method, path, content=body, headers=headers)
            return answer.status_code, answer.json() if answer.content else {}

        yield ask


@pytest.fixture
def dispatches(bench: Any) -> list[str]:
    """Deliver five messages; return their dispatch ids by user."""
    bench.plan(5)
    bench.deliver()
    return [
        str(row["dispatch_id"]) for row in sorted(bench.ledger().values(), key=lambda row: row["user_id"])
    ]
