"""Plain POSTs are answered as by the framework, and all others by it. Over real sockets."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import uvicorn
from sqlalchemy.engine import Engine

from angelia.intake.api import MAX_BODY_BYTES, create_app
from angelia.intake.database import writing
from angelia.intake.keys import SCOPES, Keys
from angelia.intake.message import now
from angelia.intake.tables import messages
from angelia.intake.wire.short_way import Answering, JsonReply, reply_of, short_protocol
from tests.unit.intake.conftest import SMALL

ONE, MANY = "/v1/messages", "/v1/messages:batch"
NO_NAME = b'{"user_id": "anna"}'


class Heard(NamedTuple):
    status: int
    headers: dict[str, str]
    body: dict[str, object]


class Door:
    """A server on a socket, which notes the ways that requests took."""

    def __init__(self, engine: Engine, log: Path) -> None:
        self.app = create_app(engine, log)
        self.key = Keys(engine).make("shop", SCOPES, 1_000, now())[1]
        self.slow_key = Keys(engine).make("slow", SCOPES, 1, now())[1]
        self.reader = Keys(engine).make("shop", ("read",), 1_000, now())[1]
        self.ways: list[bool] = []
        admitted = self.app.admitted

        def noted(path: bytes, authorization: str, length: int) -> Answering | None:
            answering = admitted(path, authorization, length)
            self.ways.append(answering is not None)
            return answering

        self.app.admitted = noted  # type: ignore[method-assign]
        config = uvicorn.Config(
            self.app, http=short_protocol(self.app), log_level="critical", access_log=False
        )
        self.server = uvicorn.Server(config)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(
            target=self.server.run, kwargs={"sockets": [self.listener]}, daemon=True
        )
        self.thread.start()
        while not self.server.started:
            time.sleep(0.005)
        for key in (self.key, self.slow_key, self.reader):  # from here on the keys are remembered
            self.ask(head("GET", ONE, key))

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join()
        self.listener.close()

    def ask(self, *requests: bytes, answers: int = 1) -> list[Heard]:
        with socket.create_connection(self.listener.getsockname(), timeout=20) as connection:
            for request in requests:
                connection.sendall(request)
            with connection.makefile("rb") as file:
                return [heard(file.readline, file.read) for _ in range(answers)]


def heard(line: Callable[[], bytes], read: Callable[[int], bytes]) -> Heard:
    status = int(line().split()[1])
    headers = {}
    while (text := line().decode().strip()) != "":
        name, _, value = text.partition(": ")
        headers[name] = value
    return Heard(status, headers, json.loads(read(int(headers["content-length"]))))


def head(method: str, path: str, key: str, *lines: str, version: str = "1.1") -> bytes:
    text = [f"{method} {path} HTTP/{version}", "host: here", f"authorization: Bearer {key}", *lines]
    return "\r\n".join([*text, "", ""]).encode()


def post(key: str, body: bytes, *lines: str, path: str = ONE, version: str = "1.1") -> bytes:
    return head("POST", path, key, f"content-length: {len(body)}", *lines, version=version) + body


@pytest.fixture
def door(engine: Engine, tmp_path: Path) -> Iterator[Door]:
    opened = Door(engine, tmp_path / "access.jsonl")
    yield opened
    opened.close()


def keyed(name: str) -> bytes:
    return json.dumps({**SMALL, "idempotency_key": name}).encode()


def test_both_ways_give_the_same_answers(door: Door, tmp_path: Path) -> None:
    batch = json.dumps({"messages": [json.loads(keyed("a")), {}]}).encode()
    for path, body in ((ONE, keyed("a")), (MANY, batch), (ONE, NO_NAME), (ONE, b"{"), (MANY, b"[]")):
        door.ask(post(door.key, body, path=path))  # so that both of the next say that it is repeated
        door.ways.clear()
        (short,) = door.ask(post(door.key, body, path=path))
        (framed,) = door.ask(post(door.key, body, "connection: close", path=path))
        assert door.ways == [True]
        assert framed.headers.pop("connection") == "close"
        assert short.headers.pop("date")  # a second may pass between the two
        assert framed.headers.pop("date")
        assert short == framed
    door.close()
    lines = [json.loads(line) for line in (tmp_path / "access.jsonl").read_text().splitlines()]
    assert {line["status"] for line in lines if line["route"] == ONE} == {200, 202, 422, 400}
    assert {line["client"] for line in lines} == {"shop", "slow"}


def test_what_is_not_plain_takes_the_frameworks_way(door: Door) -> None:
    door.ways.clear()
    body, parts = keyed("b"), f"{len(keyed('b')):x}\r\n".encode() + keyed("b") + b"\r\n0\r\n\r\n"
    for request, status in (
        (head("POST", ONE, door.key, "transfer-encoding: chunked") + parts, 202),
        (post(door.key, body, version="1.0"), 202),
        (post(door.key, body, path=f"{ONE}?x=1"), 202),
        (post(door.reader, body), 403),
        (post("ank_0_none", body), 401),
        (post(door.key, b" " * (MAX_BODY_BYTES + 1)), 413),
        (head("PUT", ONE, door.key, "content-length: 0"), 405),
    ):
        assert [answer.status for answer in door.ask(request)] == [status]
    assert True not in door.ways


def test_a_client_that_waits_for_a_go_ahead_gets_it(door: Door) -> None:
    body = keyed("c")
    with socket.create_connection(door.listener.getsockname(), timeout=20) as connection:
        connection.sendall(
            head("POST", ONE, door.key, f"content-length: {len(body)}", "expect: 100-continue")
        )
        assert connection.recv(1_000).startswith(b"HTTP/1.1 100 Continue")
        connection.sendall(body)
        assert connection.recv(1_000).startswith(b"HTTP/1.1 202 ")


def test_requests_in_one_packet_are_answered_in_order(door: Door) -> None:
    door.ways.clear()
    bodies = [keyed("d"), NO_NAME, keyed("d")]
    answers = door.ask(b"".join(post(door.key, body) for body in bodies), answers=3)
    assert [answer.status for answer in answers] == [202, 422, 202]
    assert answers[0].body["id"] == answers[2].body["id"]
    assert door.ways[0]
    # One after the other on one connection, each takes the short way.
    door.ways.clear()
    with socket.create_connection(door.listener.getsockname(), timeout=20) as connection:
        for _ in range(3):
            whole = post(door.key, keyed("e"))
            connection.sendall(whole[:90])
            time.sleep(0.01)
            connection.sendall(whole[90:])
            assert connection.recv(1_000).startswith(b"HTTP/1.1 202 ")
    assert door.ways == [True] * 3


def test_over_the_rate_says_when_to_come_again(door: Door) -> None:
    door.ways.clear()
    answers = [door.ask(post(door.slow_key, keyed("f")))[0] for _ in range(2)]
    assert [answer.status for answer in answers] == [202, 429]
    assert int(answers[1].headers["retry-after"]) >= 1
    assert door.ways == [True, True]


def test_a_client_that_hangs_up_harms_nobody(door: Door) -> None:
    for cut in (40, -1, None):
        with socket.create_connection(door.listener.getsockname()) as connection:
            connection.sendall(post(door.key, keyed("g"))[:cut])
    assert door.ask(post(door.key, keyed("h")))[0].status == 202


def test_a_dead_database_is_503_on_the_short_way(door: Door, engine: Engine) -> None:
    with writing(engine) as connection:
        messages.drop(connection)
    door.ways.clear()
    (answer,) = door.ask(post(door.key, keyed("i")))
    assert (answer.status, answer.headers["retry-after"], door.ways) == (503, "1", [True])


def test_a_defect_is_500_and_the_server_goes_on(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("angelia.intake.api.parse_message", lambda *_: 1 / 0)
    assert door.ask(post(door.key, keyed("j")))[0].status == 500
    assert door.ask(post(door.key, keyed("j"), path=MANY))[0].status == 422


def test_a_server_that_ends_answers_what_came_in(door: Door) -> None:
    whole = post(door.key, keyed("k"))
    with socket.create_connection(door.listener.getsockname(), timeout=20) as connection:
        connection.sendall(whole[:-1])
        time.sleep(0.1)
        door.server.should_exit = True
        time.sleep(0.2)
        connection.sendall(whole[-1:])
        answer = connection.recv(1_000)
        assert answer.startswith(b"HTTP/1.1 202 ")
        assert b"\r\nconnection: close\r\n" in answer
        connection.settimeout(3)  # before the five seconds after which an idle connection ends anyway
        assert connection.recv(10) == b""
    door.thread.join(10)
    assert not door.thread.is_alive()


def test_a_frameworks_headers_are_kept_but_for_two() -> None:
    headers = [(b"content-length", b"2"), (b"retry-after", b"1"), (b"content-type", b"application/json")]
    assert reply_of(429, b"{}", headers) == JsonReply(429, b"{}", ((b"retry-after", b"1"),))
