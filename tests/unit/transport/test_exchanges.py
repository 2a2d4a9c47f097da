"""Each message of an exchange is answered once, however its task ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from angelia.transport.exchanges import Exchanges
from angelia.transport.wire import UNKNOWN, Answer


async def defect() -> Sequence[Answer]:
    raise KeyError("ann@people.example")


async def endless() -> Sequence[Answer]:
    await asyncio.Event().wait()
    return ()


@pytest.mark.parametrize("is_begun", [False, True])
@pytest.mark.parametrize("exchange", [defect, endless])
def test_what_ends_without_an_answer_is_unknown(
    exchange: Any, is_begun: bool, caplog: pytest.LogCaptureFixture
) -> None:
    taken: list[tuple[int, Answer]] = []

    async def main() -> None:
        exchanges = Exchanges()
        rows = [(lambda tag, answer: taken.append((tag, answer)), tag) for tag in (1, 2)]
        exchanges.begin_all(exchange(), rows)
        if is_begun:
            await asyncio.sleep(0)
        if exchange is defect:
            await exchanges.finish()
        else:
            await exchanges.cancel()
        assert not exchanges._tasks

    asyncio.run(main())
    assert [(tag, answer.status, answer.failure) for tag, answer in taken] == [
        (1, 0, UNKNOWN),
        (2, 0, UNKNOWN),
    ]
    assert {answer.detail for _, answer in taken} == {"KeyError" if exchange is defect else "closed"}
    assert ("KeyError" in caplog.text) is (exchange is defect)
    assert "people.example" not in caplog.text


def test_one_taker_costs_no_other_its_answer() -> None:
    taken: dict[int, Answer] = {}

    def take(tag: int, answer: Answer) -> None:
        if tag == 1:
            raise KeyError(tag)
        taken[tag] = answer

    async def both() -> Sequence[Answer]:
        return Answer(200), Answer(201)

    async def main() -> None:
        exchanges = Exchanges()
        exchanges.begin_all(both(), [(take, 1), (take, 2)])
        await exchanges.finish()

    asyncio.run(main())
    assert taken == {2: Answer(201)}


def test_one_message_s_answer_is_waited_for_and_forgotten() -> None:
    """A worker sends millions: what is answered must not be kept."""
    taken: list[tuple[str, Answer]] = []

    async def late() -> Answer:
        await asyncio.sleep(0.01)
        return Answer(202)

    async def main() -> None:
        exchanges = Exchanges()
        exchanges.begin(late(), lambda tag, answer: taken.append((tag, answer)), "ann")
        await exchanges.finish()
        assert not exchanges._tasks

    asyncio.run(main())
    assert taken == [("ann", Answer(202))]
