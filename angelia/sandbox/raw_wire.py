"""A TCP connection with TLS done by hand over it, which can break anywhere.

Within the handshake or an answer, with RST or end of file.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct

_CHUNK = 1 << 16
_LINGER_S = 2.0


class Ended(Exception):
    """The connection is over, by the peer or by ourselves."""


class Wire:
    """One accepted connection."""

    def __init__(self, connection: socket.socket, tls: ssl.SSLContext) -> None:
        self._socket, self._loop = connection, asyncio.get_running_loop()
        self._from_peer, self._to_peer = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = tls.wrap_bio(self._from_peer, self._to_peer, server_side=True)
        self._buffer = bytearray()
        self._writing = asyncio.Lock()

    @property
    def protocol(self) -> str | None:
        """Return what ALPN settled on."""
        return self._tls.selected_alpn_protocol()

    async def shake_hands(self, broken: str | None) -> None:
        """Do the TLS handshake, or break it as scripted (`Handshake.handshake`). Raises: Ended."""
        if broken == "silent":
            await asyncio.sleep(3600)
            raise Ended
        while True:
            try:
                self._tls.do_handshake()
                is_done = True
            except ssl.SSLWantReadError:
                is_done = False
            data = self._to_peer.read()
            if data and broken is not None and broken != "after":
                await self._break_handshake(broken, data)
            if data:
                await self._send(data)
            if is_done:
                break
            await self._receive()
        if broken == "after":
            self.reset()
            raise Ended

    async def _break_handshake(self, broken: str, flight: bytes) -> None:
        if broken == "reset":
            self.reset()
            raise Ended
        if broken == "cut":
            await self._send(flight[: len(flight) // 2])
        elif broken == "clear":
            await self._send(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
        await self.hang_up()
        raise Ended

    async def exactly(self, size: int) -> bytes:
        """Return the next `size` bytes. Raises: Ended."""
        while len(self._buffer) < size:
            await self._more()
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    async def until(self, mark: bytes, limit: int) -> bytes:
        """Return the bytes up to and with `mark`. Raises: Ended."""
        while (end := self._buffer.find(mark)) < 0:
            if len(self._buffer) > limit:
                raise Ended
            await self._more()
        return await self.exactly(end + len(mark))

    async def write(self, data: bytes) -> None:
        """Send plain bytes as TLS records. Raises: Ended."""
        async with self._writing:  # records leave in the order they were made
            self._tls.write(data)
            await self._send(self._to_peer.read())

    async def _more(self) -> None:
        while True:
            try:
                data = self._tls.read(_CHUNK)
            except ssl.SSLWantReadError:
                await self._receive()
                continue
            except ssl.SSLError:
                raise Ended from None
            if not data:
                raise Ended
            self._buffer += data
            return

    async def _receive(self) -> None:
        try:
            data = await self._loop.sock_recv(self._socket, _CHUNK)
        except (OSError, ValueError):  # ValueError: closed by another task of this connection
            raise Ended from None
        if not data:
            raise Ended
        self._from_peer.write(data)

    async def _send(self, data: bytes) -> None:
        try:
            await self._loop.sock_sendall(self._socket, data)
        except (OSError, ValueError):  # ValueError: closed by another task of this connection
            raise Ended from None

    def reset(self) -> None:
        """Close with RST, so that the peer loses whatever it has not read yet."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    async def hang_up(self) -> None:
        """End our side without a TLS goodbye, and read on until the peer has gone.

        Closing at once would send a RST that overtakes our last bytes.
        """
        with contextlib.suppress(OSError, TimeoutError):
            self._socket.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(_LINGER_S):
                while await self._loop.sock_recv(self._socket, _CHUNK):
                    pass
        self.close()

    def close(self) -> None:
        """Close the socket; a second time does nothing."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()
