"""A caller that is slow or unsigned keeps nobody else out of `angelia receive`.

Over real sockets.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
import uvicorn

from angelia.delivery.channels.smtp import unsubscribe_token
from angelia.delivery.channels.webhook import sign
from angelia.receive import protocol
from angelia.receive import receiver as receiving
from angelia.receive.api import create_app
from angelia.receive.protocol import DeadlineProtocol
from angelia.receive.receiver import CallbackReceiver
from tests.unit.receive.callers import MAIL, NOW, SECRET

MANY = 128
BODY = json.dumps(
    {"events": [{"id": "e1", "dispatch_id": "0" * 32, "kind": "stop", "at": NOW.isoformat()}]}
).encode()
STAMP = str(int(NOW.timestamp()))
FORGED = f"webhook-id: 1\r\nwebhook-timestamp: {STAMP}\r\nwebhook-signature: v1,{'A' * 43}=\r\n"
TOKEN = unsubscribe_token(MAIL, "1")
SLOW = {
    "no headers": "POST /events HTT",
    "half the headers": "POST /events HTTP/1.1\r\ncontent-length: 100\r\n",
    "unsigned": "POST /events HTTP/1.1\r\ncontent-length: 100\r\n\r\n{",
    "forged": f"POST /events HTTP/1.1\r\ncontent-length: 100\r\n{FORGED}\r\n{{",
    "a link without its token": "POST /unsubscribe?d=1&t=2 HTTP/1.1\r\ncontent-length: 100\r\n\r\nL",
    "a link": f"POST /unsubscribe?d=1&t={TOKEN} HTTP/1.1\r\ncontent-length: 100\r\n\r\nL",
}


@pytest.fixture
def port(receiver: CallbackReceiver) -> Iterator[int]:
    config = uvicorn.Config(
        create_app(receiver), http=DeadlineProtocol, log_level="critical", access_log=False
    )
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0), backlog=2 * MANY)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    yield int(listener.getsockname()[1])
    server.should_exit = server.force_exit = True
    thread.join()
    listener.close()


def tell(port: int) -> int:
    """Return how a signed request is answered."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {
        "webhook-id": "msg",
        "webhook-timestamp": STAMP,
        "webhook-signature": sign(SECRET, "msg", STAMP, BODY),
    }
    connection.request("POST", "/events", BODY, headers)
    status = connection.getresponse().status
    connection.close()
    return status


def opened(port: int, text: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(text.encode())
    return connection


@pytest.mark.parametrize("how", SLOW)
def test_slow_connections_keep_nobody_out(how: str, port: int) -> None:
    with ExitStack() as stack:
        for _ in range(MANY):
            stack.enter_context(opened(port, SLOW[how]))
        for _ in range(3):
            assert tell(port) == 200


@pytest.mark.parametrize("how", SLOW)
def test_a_request_that_drips_on_is_given_up(how: str, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "TIMEOUT_S", 0.3)
    monkeypatch.setattr(protocol, "REQUEST_S", 0.5)
    with opened(port, SLOW[how]) as connection:
        connection.settimeout(0.05)
        answer = b""
        for _ in range(1_000):
            with suppress(TimeoutError):
                try:
                    connection.sendall(b"x")
                    more = connection.recv(1_000)
                except ConnectionError:
                    break
                answer += more
                if not more:
                    break
        else:
            pytest.fail("it was never given up")
    wanted = {"unsigned": b"401", "a link without its token": b"401", "forged": b"408", "a link": b"408"}
    assert answer.startswith(b"HTTP/1.1 " + wanted[how] if how in wanted else b"")


def test_a_long_unsigned_body_is_refused_and_the_answer_arrives(
    port: int, receiver: CallbackReceiver
) -> None:
    for _ in range(20):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("POST", "/events", b"x" * (1 << 20))
        assert connection.getresponse().status == 401
        connection.close()
    assert receiver.counts["broken"] == 0


def test_bodies_that_would_fill_the_memory_are_refused(
    port: int, receiver: CallbackReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "MAX_HELD", 100)
    with opened(port, SLOW["a link"].replace("length: 100", "length: 300") + "x" * 150):
        while not receiver._held:
            time.sleep(0.005)
        assert tell(port) == 503
    while receiver._held:
        time.sleep(0.005)
    assert tell(port) == 200
    assert receiver.counts["503"] == 1


def test_connections_beyond_the_limit_are_closed(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before = DeadlineProtocol.n_crowded
    with opened(port, "POST"), monkeypatch.context() as few:
        few.setattr(protocol, "max_connections", lambda: 1)
        with opened(port, "") as second, suppress(ConnectionError):
            assert second.recv(1) == b""
    assert DeadlineProtocol.n_crowded == before + 1
    assert tell(port) == 200
