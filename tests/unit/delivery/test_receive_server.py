"""A caller that is slow or unsigned keeps nobody else out of `angelia receive`.

Over real sockets.
"""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import ExitStack, suppress

import pytest

from angelia.delivery.channels.smtp import unsubscribe_token
from angelia.delivery.channels.webhook import sign
from angelia.receive import server as module
from angelia.receive.server import CallbackServer
from tests.unit.delivery.callers import MAIL, NOW, SECRET

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


def tell(server: CallbackServer) -> int:
    """Return how a signed request is answered."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    headers = {
        "webhook-id": "msg",
        "webhook-timestamp": STAMP,
        "webhook-signature": sign(SECRET, "msg", STAMP, BODY),
    }
    connection.request("POST", "/events", BODY, headers)
    status = connection.getresponse().status
    connection.close()
    return status


def opened(server: CallbackServer, text: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.server_port), timeout=20)
    connection.sendall(text.encode())
    return connection


@pytest.mark.parametrize("how", SLOW)
def test_slow_connections_keep_nobody_out(how: str, server: CallbackServer) -> None:
    with ExitStack() as stack:
        for _ in range(2 * module._AT_ONCE):
            stack.enter_context(opened(server, SLOW[how]))
        for _ in range(3):
            assert tell(server) == 200


@pytest.mark.parametrize("how", SLOW)
def test_a_request_that_drips_on_is_given_up(
    how: str, server: CallbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TIMEOUT_S", 0.3)
    with opened(server, SLOW[how]) as connection:
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


def test_a_long_unsigned_body_is_refused_and_the_answer_arrives(server: CallbackServer) -> None:
    for _ in range(20):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
        connection.request("POST", "/events", b"x" * (1 << 20))
        assert connection.getresponse().status == 401
        connection.close()
    assert server.counts["broken"] == 0


def test_a_room_that_is_full_says_so(server: CallbackServer) -> None:
    for _ in range(module._AT_ONCE):
        server.room.acquire()
    assert tell(server) == 503
    server.room.release()
    assert tell(server) == 200
