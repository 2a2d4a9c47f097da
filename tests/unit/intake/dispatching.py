"""A dispatcher over a fake wire: a night of people, an intake database, no socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from angelia.delivery.channels.base import ChannelConfig, Provider
from angelia.delivery.channels.fcm import FcmAdapter
from angelia.delivery.ledger.ledger import Owner
from angelia.intake.codes import Codes, Secret
from angelia.intake.dispatching import sample_night
from angelia.intake.dispatching.batches import Batches
from angelia.intake.dispatching.dispatcher import Dispatcher
from angelia.intake.dispatching.terms import DispatchTerms, Report
from angelia.intake.message import Draft, now, parse_message
from angelia.intake.people.addressed import address_drafts
from angelia.intake.store import Accepted, IntakeStore
from angelia.lake import Lake
from angelia.transport.wire import Answer, Request
from tests.unit.delivery.given import OK

NIGHT = "2026-11-26"


ORDER = {"campaign_id": "order", "class": "transactional"}
SECRET = Secret(b"k" * 32)


class Wire:
    """Answers by a script, and keeps the bodies of what was requested."""

    def __init__(self, script: Callable[[dict[str, Any]], Answer]) -> None:
        self.script = script
        self.sent: list[dict[str, Any]] = []

    def submit(
        self, request: Request, _authorization: bytes, done: Callable[[Any, Answer], None], tag: Any
    ) -> None:
        message = json.loads(request.body)["message"]
        self.sent.append(message)
        asyncio.get_running_loop().call_soon(done, tag, self.script(message))

    async def close(self) -> None:
        pass


class Key:
    """Credentials that never end."""

    def current(self) -> bytes:
        return b"Bearer 1"

    async def refresh(self, stale: bytes | None) -> None:
        pass


class Bench:
    """An intake and its dispatchers on one lake."""

    def __init__(self, lake: Lake, engine: Engine) -> None:
        self.lake, self.engine, self.store = lake, engine, IntakeStore(engine)
        self.wire, self.codes = Wire(lambda _: OK), Codes(engine, SECRET)

    def night(self, people: int = 8, **given: Any) -> None:
        sample_night.make(self.lake, people, NIGHT, **given)

    def accept(self, *fields: dict[str, Any], client: str = "shop") -> list[str]:
        drafts = []
        for each in fields:
            whom = {} if "to" in each else {"user_id": "u0000000"}
            document = {"campaign_id": "sale", "class": "marketing", **whom, **each}
            drafts.append(parse_message(json.dumps(document).encode(), client, now()))
        if any(draft.to for draft in drafts if isinstance(draft, Draft)):
            address_drafts(self.lake, drafts)
        verdicts = self.store.accept(drafts)
        assert all(isinstance(verdict, Accepted) for verdict in verdicts), verdicts
        return [verdict.id for verdict in verdicts if isinstance(verdict, Accepted)]

    def batches(self, owner: Owner | None = None) -> Batches:
        return Batches(self.engine, owner or Owner.this_process(), 30_000_000)

    def dispatch(self, **terms: Any) -> Report:
        given = DispatchTerms(**{"once": True, "lanes": 1, **terms})

        async def main() -> Report:
            return await Dispatcher(
                self.lake, self.batches(), given, self.codes, transport=lambda _, __: self.wire
            ).run()

        return asyncio.run(main())

    def states(self, ids: Sequence[str], client: str = "shop") -> list[str]:
        return [str((self.store.get(client, message) or {})["status"]) for message in ids]

    def steps(self, message: str, client: str = "shop") -> list[tuple[str, str]]:
        rows = self.store.steps(client, [message]).get(message, [])
        return [(row["step"], row["reason"] or row["channel"]) for row in rows]


@pytest.fixture
def bench(lake: Lake, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Bench:
    def provider(_config: ChannelConfig) -> Provider:
        return Provider(FcmAdapter("p"), "https://sandbox.test", Key(), concurrency=50)

    monkeypatch.setattr("angelia.intake.dispatching.dispatcher.open_provider", provider)
    return Bench(lake, engine)


def with_policy(**changes: Any) -> list[dict[str, Any]]:
    return [each | changes if each["kind"] == "policy" else each for each in sample_night.DOCUMENTS]
