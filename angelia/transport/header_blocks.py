"""HPACK header blocks, remembered: known headers cost one dictionary look-up.

Encoding and decoding are the `hpack` package's (RFC 7541); only the memory around them is ours. A block may
be reused as long as the dynamic table has not changed, so each insertion empties the memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from hpack import Decoder, Encoder
from hpack.exceptions import HPACKError

COMPRESSION_ERROR = 9  # RFC 9113, section 7

Headers = tuple[tuple[bytes, bytes], ...]


class WireError(Exception):
    """The peer broke the protocol; the connection ends with GOAWAY and this code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class CachedDecoder:
    """HPACK decoding that remembers blocks.

    Equal bytes in an equal compression state mean equal headers.
    """

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._seen: dict[bytes, Headers] = {}

    def decode(self, block: bytes) -> Headers:
        """Return the headers of a block. Raises: WireError."""
        known = self._seen.get(block)
        if known is not None:
            return known
        table = self._decoder.header_table
        before = (
            len(table.dynamic_entries),
            table.dynamic_entries[0] if table.dynamic_entries else None,
            table.maxsize,
        )
        try:
            headers = cast(
                Headers,
                tuple((bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)),
            )
        except HPACKError as error:
            raise WireError(COMPRESSION_ERROR, str(error)) from None
        after = (
            len(table.dynamic_entries),
            table.dynamic_entries[0] if table.dynamic_entries else None,
            table.maxsize,
        )
        # `is`: an insertion makes a new tuple even where it repeats an entry.
        if before[0] != after[0] or before[1] is not after[1] or before[2] != after[2]:
            self._seen.clear()
        else:
            if len(self._seen) > 4096:
                self._seen.clear()
            self._seen[block] = headers
        return headers


class CachedEncoder:
    """HPACK encoding that remembers a header tuple's block once the state has settled."""

    def __init__(self) -> None:
        self._encoder = Encoder()
        self._seen: dict[Headers, bytes] = {}

    def resize(self, limit: int) -> None:
        """Obey the peer's SETTINGS_HEADER_TABLE_SIZE."""
        self._encoder.header_table_size = min(limit, 4096)
        self._seen.clear()

    def encode(self, headers: Headers) -> bytes:
        """Return the header block."""
        known = self._seen.get(headers)
        if known is not None:
            return known
        table = self._encoder.header_table
        before = (len(table.dynamic_entries), table.dynamic_entries[0] if table.dynamic_entries else None)
        block = bytes(self._encoder.encode(headers, huffman=False))
        after = (len(table.dynamic_entries), table.dynamic_entries[0] if table.dynamic_entries else None)
        if before[0] != after[0] or before[1] is not after[1]:
            self._seen.clear()  # indices moved
        else:
            if len(self._seen) > 1024:
                self._seen.clear()
            self._seen[headers] = block
        return block


def plain_block(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Encode headers as literals without indexing.

    Longer, but the same bytes in any compression state.
    """
    out = bytearray()
    for name, value in headers:
        out.append(0)
        for text in (name, value):
            length = len(text)
            if length < 127:
                out.append(length)
            else:
                out.append(127)
                length -= 127
                while length >= 128:
                    out.append(length % 128 + 128)
                    length //= 128
                out.append(length)
            out += text
    return bytes(out)
