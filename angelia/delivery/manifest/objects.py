"""Objects of the ledger as they are written and read back: each has a checksum.

A damaged one is named by its key, and nothing about it is guessed. Objects are JSON documents or bytes; a
document is `sha256:<hex of the rest>`, a line break, JSON. Surprise: a document that begins with its JSON
was written before there were checksums and is read as it is. A damaged mark cannot pass for such a document:
with the mark in front, the whole is not JSON.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from angelia.errors import Corrupt
from angelia.lake.store import Store

_MARK = b"SHA256"
_SEAL = b"sha256:%s\n"
_SEAL_BYTES = len(_SEAL) - 2 + 64
_ARROW_END = b"ARROW1"
_FIX = "restore it from a backup, then rerun; nothing of it was sent or changed"


def to_bytes(document: dict[str, Any]) -> bytes:
    """Return a document as it is stored: its checksum, then canonical JSON."""
    body = json.dumps(document, sort_keys=True).encode()
    return _seal(body) + body


def from_bytes(data: bytes, key: str, *, list_as: str | None = None) -> dict[str, Any]:
    """Return the document an object holds.

    A bare list, as older versions wrote, becomes a document with the one field `list_as`.

    Raises:
        Corrupt: the bytes are not those that were written, or no JSON object.
    """
    body = data
    if data[:1] not in (b"{", b"["):
        body = data[_SEAL_BYTES:]
        if data[:_SEAL_BYTES] != _seal(body):
            raise damaged(key)
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise damaged(key) from None
    if list_as is not None and isinstance(document, list):
        document = {list_as: document}
    if not isinstance(document, dict):
        raise damaged(key)
    return document


def read_json(store: Store, key: str) -> dict[str, Any]:
    """Return the document an object of the store holds.

    Raises:
        NotFound: there is no such object.
        Corrupt: it is damaged.
    """
    return from_bytes(store.read(key), key)


def create_json(store: Store, key: str, document: dict[str, Any]) -> bool:
    """Create an object that holds a document; False = there is one already, and it stands."""
    return store.create(key, to_bytes(document))


@contextmanager
def fields_of(key: str) -> Iterator[None]:
    """Name the object if its fields are not what they should be.

    A checksum cannot see that in an object that has none.

    Raises:
        Corrupt: a field is missing, or of another kind.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError):
        raise damaged(key) from None


def damaged(key: str) -> Corrupt:
    """Return the error that names an object."""
    return Corrupt(f"{key} is damaged", fix=_FIX)


def seal_bytes(data: bytes) -> bytes:
    """Return the bytes with their checksum behind them."""
    return data + _MARK + hashlib.sha256(data).digest()


def open_bytes(data: bytes, key: str) -> bytes:
    """Return the bytes without their checksum.

    What ends as an Arrow file does was written before there was one, or is opened already.

    Raises:
        Corrupt: they are not what was written.
    """
    if data.endswith(_ARROW_END):
        return data
    body, mark, digest = data[:-38], data[-38:-32], data[-32:]
    if mark != _MARK or hashlib.sha256(body).digest() != digest:
        raise damaged(key)
    return body


def _seal(body: bytes) -> bytes:
    return _SEAL % hashlib.sha256(body).hexdigest().encode()
