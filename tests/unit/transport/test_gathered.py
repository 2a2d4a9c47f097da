"""Rows that share a request are answered one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from angelia.transport.gathered import GatheredHttp
from angelia.transport.wire import NOT_SENT, UNKNOWN, Answer, Request


class Inner:
    """A transport that keeps what it is given."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.sent, self.is_closed = answer, [], False

    async def exchange(self, request: Request, authorization: bytes) -> Answer:
        self.sent.append((request.body, authorization))
        return self.answer

    async def close(self) -> None:
        self.is_closed = True


class Lines:
    """Joins bodies by commas, and answers each with its own; what begins with a digit is apart."""

    def key(self, request: Request) -> bytes | None:
        return None if request.body == b"alone" else request.body[:1] * request.body[:1].isdigit()

    def join(self, requests: Sequence[Request]) -> Request:
        return requests[0]._replace(body=b",".join(request.body for request in requests))

    def split(self, answer: Answer, requests: Sequence[Request]) -> list[Answer]:
        return [answer._replace(body=request.body) for request in requests]


class Broken(Lines):
    """Meets an error of its own in one of its steps, where a body says so."""

    def key(self, request: Request) -> bytes | None:
        return {}[request.body] if request.body == b"key" else b""

    def join(self, requests: Sequence[Request]) -> Request:
        return {}["join"] if any(request.body == b"join" for request in requests) else super().join(requests)

    def split(self, answer: Answer, requests: Sequence[Request]) -> list[Answer]:
        if any(request.body == b"split" for request in requests):
            raise UnicodeError
        return super().split(answer, requests)[any(request.body == b"fewer" for request in requests) :]


def gather(
    answer: Answer,
    rows: Sequence[tuple[bytes, bytes]],
    *,
    wait: bool = True,
    gatherer: Lines = Lines(),
) -> tuple[Inner, dict[int, Answer]]:
    inner, taken = Inner(answer), {}

    async def main() -> None:
        transport = GatheredHttp(inner, gatherer, 3)  # type: ignore[arg-type]
        for number, (body, token) in enumerate(rows):
            transport.submit(Request(b"/", (), body), token, taken.__setitem__, number)
        if wait:
            await asyncio.sleep(0.05)
        await transport.close()

    asyncio.run(main())
    return inner, taken


def test_rows_with_another_key_are_another_request() -> None:
    rows = [(b"a", b"t"), (b"1b", b"t"), (b"1c", b"t"), (b"alone", b"t"), (b"2d", b"t"), (b"e", b"t")]
    inner, taken = gather(Answer(200, b"whole"), rows)
    assert inner.sent[0] == (b"alone", b"t"), "it waits for nobody"
    assert sorted(inner.sent[1:]) == [(b"1b,1c", b"t"), (b"2d", b"t"), (b"a,e", b"t")]
    assert taken.keys() == set(range(6))


def test_rows_share_a_request_and_have_their_own_answers() -> None:
    rows = [(b"a", b"t"), (b"b", b"t"), (b"c", b"t"), (b"d", b"t"), (b"e", b"other")]
    inner, taken = gather(Answer(200, b"whole"), rows)
    # Three fill a request; another token is another request, and who is alone goes out as it is.
    assert sorted(inner.sent) == [(b"a,b,c", b"t"), (b"d", b"t"), (b"e", b"other")]
    assert [taken[n].body for n in range(5)] == [b"a", b"b", b"c", b"whole", b"whole"]
    assert [taken[n].shared for n in range(5)] == [1, 1, 1, 0, 0], "whose request it was"
    assert inner.is_closed


@pytest.mark.parametrize("failure", [NOT_SENT, UNKNOWN])
def test_what_befalls_a_request_befalls_each_row(failure: str) -> None:
    lost = Answer(0, failure=failure, detail="ReadError")
    _, taken = gather(lost, [(b"a", b""), (b"b", b"")])
    assert taken == dict.fromkeys((0, 1), lost._replace(shared=1))


def test_who_still_waits_at_the_end_was_not_sent() -> None:
    inner, taken = gather(Answer(200), [(b"a", b""), (b"b", b"")], wait=False)
    assert inner.sent == []
    assert {answer.failure for answer in taken.values()} == {NOT_SENT}
    assert len(taken) == 2


@pytest.mark.parametrize("body", [b"key", b"join"])
def test_what_cannot_be_joined_goes_out_alone(body: bytes) -> None:
    inner, taken = gather(Answer(200, b"whole"), [(body, b""), (b"b", b"")], gatherer=Broken())
    assert sorted(inner.sent) == sorted([(body, b""), (b"b", b"")])
    assert {answer.status for answer in taken.values()} == {200}
    assert len(taken) == 2


@pytest.mark.parametrize("body", [b"split", b"fewer"])
def test_an_answer_that_cannot_be_split_is_unknown(body: bytes) -> None:
    inner, taken = gather(Answer(200, b"whole"), [(body, b""), (b"b", b"")], gatherer=Broken())
    assert len(inner.sent) == 1
    assert [(taken[n].failure, taken[n].shared) for n in range(2)] == [(UNKNOWN, 1)] * 2
