"""HTTP/2 framing on an asyncio transport, shared by client and sandbox (RFC 9113).

Why not a whole client library: measured per CPU-second on this wire, pyreqwest does 13,000 small requests and
aiohttp 7,000; the calls around each request cost more than its bytes. Here a request is two frames appended
to a list, and the list is written once per turn of the event loop; `header_blocks` makes a known header block
a dictionary look-up. `h2` (the reference implementation) is the peer in the tests.
"""

from __future__ import annotations

import asyncio
import struct
from typing import cast

from angelia.transport.header_blocks import CachedDecoder, CachedEncoder, Headers, WireError

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITISED = 0x20
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 6, 7, 8, 11
(
    SETTINGS_HEADER_TABLE_SIZE,
    SETTINGS_ENABLE_PUSH,
    SETTINGS_MAX_CONCURRENT_STREAMS,
    SETTINGS_INITIAL_WINDOW_SIZE,
    SETTINGS_MAX_FRAME_SIZE,
) = range(1, 6)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_FRAME = 16_384  # ours stays at the protocol's default, so larger frames are an error of the peer
WINDOW = 65_535
OUR_STREAM_WINDOW = 1 << 20
OUR_CONNECTION_WINDOW = 1 << 30
_HEAD = struct.Struct(">HBBBI")
_SETTING = struct.Struct(">HI")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one frame."""
    return _HEAD.pack(len(payload) >> 8, len(payload) & 255, kind, flags, stream) + payload


class Http2Protocol(asyncio.Protocol):
    """One connection: parsing, settings, flow control, ping, batched writes.

    Subclasses get `on_headers`, `on_data`, `on_reset`, `on_goaway`.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.decoder, self.encoder = CachedDecoder(), CachedEncoder()
        self.peer_max_streams = 100  # until the peer says otherwise
        self.peer_stream_window = WINDOW
        self.peer_max_frame = MAX_FRAME
        self.send_window = WINDOW
        self.unsent: dict[int, bytes] = {}  # bodies that wait for window, by stream
        self.stream_windows: dict[int, int] = {}  # of the streams in `unsent`
        self._received = 0
        self._rest = b""
        self._out: list[bytes] = []
        self._scheduled = False
        self._queued_at = 0.0  # when the oldest of `_out` was queued
        self._failed = False
        self._block: tuple[int, int, bytearray] | None = None
        self.settings_seen = False

    # ---- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send our settings and open the connection's receive window wide.

        Bodies here are small and bounded, so the window protects nothing.
        """
        self.transport = cast(asyncio.Transport, transport)
        self.push(self.hello())
        self.push(frame(WINDOW_UPDATE, 0, 0, (OUR_CONNECTION_WINDOW - WINDOW).to_bytes(4, "big")))

    def hello(self) -> bytes:
        """Return the first bytes of our side."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        """Parse whole frames; keep the rest for later. After an error, bytes are ignored."""
        if self._failed:
            return
        buffer = self._rest + data if self._rest else data
        position, size = 0, len(buffer)
        unpack = _HEAD.unpack_from
        try:
            while size - position >= 9:
                high, low, kind, flags, stream = unpack(buffer, position)
                length = high << 8 | low
                if length > MAX_FRAME:
                    raise WireError(FRAME_SIZE_ERROR, "frame larger than announced")
                end = position + 9 + length
                if end > size:
                    break
                payload = buffer[position + 9 : end]
                position = end
                # A header block that spans frames must not be interrupted (RFC 9113, 6.10).
                if self._block is not None and kind != CONTINUATION:
                    raise WireError(PROTOCOL_ERROR, "header block interrupted")
                if kind == DATA:
                    if flags & PADDED:
                        payload = self._unpad(payload)
                    self._received += length
                    self.on_data(stream & 0x7FFFFFFF, payload, bool(flags & END_STREAM))
                elif kind == HEADERS:
                    self._headers(stream & 0x7FFFFFFF, flags, payload)
                else:
                    self._control(kind, flags, stream & 0x7FFFFFFF, payload)
        except WireError as error:
            self._rest = b""
            self.fail(error)
            return
        self._rest = buffer[position:]
        # One update for half a window: an update per frame would cost as much as the frame.
        if self._received > OUR_CONNECTION_WINDOW >> 1:
            self.push(frame(WINDOW_UPDATE, 0, 0, self._received.to_bytes(4, "big")))
            self._received = 0

    # ---- frames

    @staticmethod
    def _unpad(payload: bytes) -> bytes:
        if not payload or payload[0] >= len(payload):
            raise WireError(PROTOCOL_ERROR, "padding longer than the frame")
        return payload[1 : len(payload) - payload[0]]

    def _headers(self, stream: int, flags: int, payload: bytes) -> None:
        if not stream:
            raise WireError(PROTOCOL_ERROR, "HEADERS on stream 0")
        if flags & PADDED:
            payload = self._unpad(payload)
        if flags & PRIORITISED:
            payload = payload[5:]
        if flags & END_HEADERS:
            self.on_headers(stream, self.decoder.decode(payload), bool(flags & END_STREAM))
        else:
            self._block = (stream, flags, bytearray(payload))

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == WINDOW_UPDATE:
            if len(payload) != 4:
                raise WireError(FRAME_SIZE_ERROR, "WINDOW_UPDATE length")
            more = int.from_bytes(payload, "big") & 0x7FFFFFFF
            if not stream:
                self.send_window += more
            # An update for a stream that has ended is legal and means nothing.
            elif stream in self.stream_windows:
                self.stream_windows[stream] += more
            if self.unsent:
                self._send_waiting()
            self.on_window()
        elif kind == SETTINGS:
            if not flags & ACK:
                self._settings(payload)
        elif kind == PING:
            if not flags & ACK:
                self.push(frame(PING, ACK, 0, payload))
        elif kind == RST_STREAM:
            self.on_reset(stream, int.from_bytes(payload[:4], "big"))
        elif kind == GOAWAY:
            self.on_goaway(
                int.from_bytes(payload[:4], "big") & 0x7FFFFFFF, int.from_bytes(payload[4:8], "big")
            )
        elif kind == CONTINUATION:
            if self._block is None or self._block[0] != stream:
                raise WireError(PROTOCOL_ERROR, "CONTINUATION out of place")
            self._block[2].extend(payload)
            # Without a bound, endless CONTINUATION frames would fill our memory (the CONTINUATION flood).
            if len(self._block[2]) > 65_536:
                raise WireError(ENHANCE_YOUR_CALM, "header block too large")
            if flags & END_HEADERS:
                _, first_flags, block = self._block
                self._block = None
                self.on_headers(stream, self.decoder.decode(bytes(block)), bool(first_flags & END_STREAM))
        elif kind == PUSH_PROMISE:
            raise WireError(PROTOCOL_ERROR, "push was switched off")
        # PRIORITY and unknown kinds are to be ignored (RFC 9113, 5.5)

    def _settings(self, payload: bytes) -> None:
        if len(payload) % 6:
            raise WireError(FRAME_SIZE_ERROR, "SETTINGS length")
        for offset in range(0, len(payload), 6):
            name, value = _SETTING.unpack_from(payload, offset)
            if name == SETTINGS_MAX_CONCURRENT_STREAMS:
                self.peer_max_streams = value
            elif name == SETTINGS_INITIAL_WINDOW_SIZE:
                if value > 0x7FFFFFFF:
                    raise WireError(FLOW_CONTROL_ERROR, "window too large")
                for waiting in self.stream_windows:
                    self.stream_windows[waiting] += value - self.peer_stream_window
                self.peer_stream_window = value
            elif name == SETTINGS_MAX_FRAME_SIZE:
                self.peer_max_frame = min(max(value, MAX_FRAME), 1 << 24)
            elif name == SETTINGS_HEADER_TABLE_SIZE:
                self.encoder.resize(value)
        self.push(frame(SETTINGS, ACK, 0))
        self.settings_seen = True
        self._send_waiting()
        self.on_window()

    # ---- output

    def push(self, data: bytes) -> None:
        """Queue bytes; they leave in one write at the end of this turn of the event loop."""
        self._out.append(data)
        if not self._scheduled:
            self._scheduled = True
            self._queued_at = self.loop.time()
            self.loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what is queued."""
        self._scheduled = False
        if self._out and self.transport is not None and not self.transport.is_closing():
            self.transport.write(b"".join(self._out))
        self._out.clear()

    def head_and_body(self, stream: int, block: bytes, body: bytes) -> None:
        """Queue a header block and a body that ends the stream.

        The body waits where the peer's window is too small.
        """
        size = len(body)
        head = _HEAD.pack(
            len(block) >> 8,
            len(block) & 255,
            HEADERS,
            END_HEADERS if body else END_HEADERS | END_STREAM,
            stream,
        )
        if not size:
            self.push(head + block)
        elif (
            size <= self.send_window
            and size <= self.peer_stream_window
            and size <= self.peer_max_frame
            and not self.unsent
        ):
            self.send_window -= size
            self.push(
                b"".join((head, block, _HEAD.pack(size >> 8, size & 255, DATA, END_STREAM, stream), body))
            )
        else:
            self.push(head + block)
            self.unsent[stream] = body
            self.stream_windows[stream] = self.peer_stream_window
            self._send_waiting()

    def forget(self, stream: int) -> None:
        """Send no more of a stream's body."""
        if self.unsent and self.unsent.pop(stream, None) is not None:
            del self.stream_windows[stream]

    def _send_waiting(self) -> None:
        for stream in list(self.unsent):
            body = self.unsent[stream]
            while body and self.send_window > 0 and self.stream_windows[stream] > 0:
                size = min(len(body), self.send_window, self.stream_windows[stream], self.peer_max_frame)
                chunk, body = body[:size], body[size:]
                self.send_window -= size
                self.stream_windows[stream] -= size
                self.push(frame(DATA, 0 if body else END_STREAM, stream, chunk))
            if body:
                self.unsent[stream] = body
            else:
                del self.unsent[stream], self.stream_windows[stream]

    def fail(self, error: WireError) -> None:
        """End the connection with GOAWAY."""
        self._failed = True
        self.push(frame(GOAWAY, 0, 0, (0).to_bytes(4, "big") + error.code.to_bytes(4, "big")))
        self.flush()
        if self.transport is not None:
            self.transport.close()

    # ---- what subclasses answer

    def on_headers(self, stream: int, headers: Headers, ended: bool) -> None:
        """A header block is complete."""
        raise NotImplementedError

    def on_data(self, stream: int, payload: bytes, ended: bool) -> None:
        """Body bytes arrived."""
        raise NotImplementedError

    def on_reset(self, stream: int, code: int) -> None:
        """The peer gave a stream up."""

    def on_goaway(self, last: int, code: int) -> None:
        """The peer takes no new streams; those above `last` were not processed."""

    def on_window(self) -> None:
        """Send windows or settings changed."""


def settings(pairs: dict[int, int]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(name, value) for name, value in pairs.items()))
