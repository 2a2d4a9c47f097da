"""A connection by hand: bytes up to a mark within a limit, and an end that is seen as one."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from angelia.sandbox.keys import make_tls
from angelia.sandbox.raw_wire import Ended, Wire


def talk(
    tmp_path: Path, serve: Callable[[Wire], Awaitable[Any]], ask: bytes, broken: str | None = None
) -> Any:
    """Return what a server made of a client's bytes, after which the client hangs up."""
    tls = make_tls(tmp_path, ("localhost",))
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

    async def client(end: socket.socket) -> bool:
        try:
            _, writer = await asyncio.open_connection(sock=end, ssl=trusting, server_hostname="localhost")
            writer.write(ask)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        except (OSError, ssl.SSLError):
            return False
        return True

    async def main() -> tuple[Any, bool]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        wire, asking = Wire(ours, tls), asyncio.create_task(client(theirs))
        try:
            await wire.shake_hands(broken)
            answer = await serve(wire)
        except Ended:
            answer = Ended
        wire.close()
        return answer, await asking

    return asyncio.run(main())


def test_bytes_are_given_up_to_the_mark_and_no_further(tmp_path: Path) -> None:
    async def serve(wire: Wire) -> tuple[bytes, bytes]:
        return await wire.until(b"\n", 100), await wire.exactly(3)

    answer, _ = talk(tmp_path, serve, b"head\nbody")
    assert answer == (b"head\n", b"bod")


def test_a_head_without_end_ends_the_connection(tmp_path: Path) -> None:
    answer, _ = talk(tmp_path, lambda wire: wire.until(b"\n", 100), b"too little")
    assert answer is Ended


@pytest.mark.parametrize("broken", ["cut", "clear", "close"])
def test_a_broken_handshake_serves_nobody(tmp_path: Path, broken: str) -> None:
    answer, is_connected = talk(tmp_path, lambda wire: wire.until(b"\n", 100), b"head\n", broken)
    assert (answer, is_connected) == (Ended, False)
