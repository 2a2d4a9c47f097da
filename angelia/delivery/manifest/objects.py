"""Objects of the ledger as they are read back: JSON documents, and bytes with their own checksum. What is
damaged is named, never guessed at.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from angelia.errors import Corrupt
from angelia.lake.store import Store

_MARK = b"SHA256"
_FIX = "restore it from a backup, then rerun; nothing was sent or changed"


def read_json(store: Store, key: str) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        NotFound: there is none.
        Corrupt: its bytes are no JSON object.
    """
    try:
        document = json.loads(store.read(key))
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Corrupt(f"{key} is unreadable", fix=_FIX)
    return document


def seal_bytes(data: bytes) -> bytes:
    """Return the bytes with their checksum behind them."""
    return data + _MARK + hashlib.sha256(data).digest()


def open_bytes(data: bytes, legacy_end: bytes) -> bytes:
    """Return the bytes without their checksum; what ends in `legacy_end` was written before there was one.

    Raises:
        Corrupt: they are not what was written.
    """
    if data.endswith(legacy_end):
        return data
    body, mark, digest = data[:-38], data[-38:-32], data[-32:]
    if mark != _MARK or hashlib.sha256(body).digest() != digest:
        raise Corrupt("an outcome object of the ledger is damaged", fix=_FIX)
    return body
