"""Group commit: requests share a transaction, and a fault stays with its request."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from angelia.intake import writing
from angelia.intake.database import Unavailable
from angelia.intake.message import Draft
from angelia.intake.store import Accepted, IntakeStore, Verdict
from angelia.intake.writing import Busy, GroupWriter

Make = Callable[..., Draft]


class SlowStore(IntakeStore):
    """A store whose first commit waits until it is let go, and that counts commits."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.entered, self.go, self.groups = threading.Event(), threading.Event(), []

    def accept(self, drafts: Sequence[Draft]) -> list[Verdict]:
        self.groups.append(len(drafts))
        self.entered.set()
        assert self.go.wait(20)
        return super().accept(drafts)


async def _after(store: SlowStore, writer: GroupWriter, *requests: list[Draft]) -> list[object]:
    """Return the outcomes of requests that gather while the first one's commit waits."""
    first = asyncio.create_task(writer.write(requests[0]))
    await asyncio.to_thread(store.entered.wait, 20)
    rest = [asyncio.create_task(writer.write(drafts)) for drafts in requests[1:]]
    await asyncio.sleep(0)
    store.go.set()
    return await asyncio.gather(first, *rest, return_exceptions=True)


def test_requests_that_gather_share_a_commit(engine: Engine, draft: Make) -> None:
    store = SlowStore(engine)
    writer = GroupWriter(store)
    outcomes = asyncio.run(_after(store, writer, *([draft(user_id=f"u{i}")] for i in range(8))))
    writer.close()
    assert store.groups == [1, 7]
    ids = [outcome[0].id for outcome in outcomes]  # type: ignore[index]
    users = [(store.get("shop", message_id) or {})["user_id"] for message_id in ids]
    assert users == [f"u{i}" for i in range(8)]


def test_a_fault_stays_with_its_request(engine: Engine, draft: Make) -> None:
    store = SlowStore(engine)
    writer = GroupWriter(store)
    twice = draft()
    outcomes = asyncio.run(_after(store, writer, [twice], [draft()], [twice], [draft()]))
    writer.close()
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, False, True, False]
    assert isinstance(outcomes[2], Unavailable)
    assert len(store.newest("shop", 0)) == 3


def test_too_much_waiting_is_refused(engine: Engine, draft: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MAX_WAITING_ROWS", 2)
    store = SlowStore(engine)
    writer = GroupWriter(store)
    outcomes = asyncio.run(_after(store, writer, [draft()], [draft()], [draft()]))
    assert isinstance(outcomes[2], Busy)
    assert isinstance(asyncio.run(writer.write([draft()]))[0], Accepted)
    writer.close()


def test_a_defect_does_not_end_the_writer(
    engine: Engine, draft: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = IntakeStore(engine)
    writer = GroupWriter(store)
    with monkeypatch.context() as patched:
        patched.setattr(store, "accept", lambda _: [][0])
        with pytest.raises(IndexError):
            asyncio.run(writer.write([draft()]))
    assert isinstance(asyncio.run(writer.write([draft()]))[0], Accepted)
    writer.close()


def test_closing_writes_what_has_come_in(engine: Engine, draft: Make) -> None:
    store = SlowStore(engine)
    writer = GroupWriter(store)

    async def leave() -> None:
        tasks = [asyncio.create_task(writer.write([draft()])) for _ in range(3)]
        await asyncio.to_thread(store.entered.wait, 20)
        store.go.set()
        await asyncio.to_thread(writer.close)
        await asyncio.gather(*tasks)

    asyncio.run(leave())
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM intake_messages")).scalar() == 3
